/* unicode_tables.h: what tools/make_unicode.py wrote, for unicode.c alone. */
#ifndef BITNET_UNICODE_TABLES_H
#define BITNET_UNICODE_TABLES_H

#include <stddef.h>
#include <stdint.h>

/* Ascending; code << 8 | value: the value holds from this code to the next entry's. */
extern const uint32_t unicode_class_runs[];
extern const size_t n_unicode_class_runs;
extern const uint32_t unicode_combining_runs[];
extern const size_t n_unicode_combining_runs;

/* Triples code, first, second (0: a single code), ascending by code. */
extern const uint32_t unicode_decompositions[];
extern const size_t n_unicode_decompositions;
/* Numbers of the triples that compose again, ascending by first, then second. */
extern const uint16_t unicode_compositions[];
extern const size_t n_unicode_compositions;

#endif
