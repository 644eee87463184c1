/* utf8.h: one code point of UTF-8 in or out. */
#ifndef BITNET_UTF8_H
#define BITNET_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Decodes the code point at p, of at most n_bytes > 0 bytes: returns how many it takes,
 * 1..4, or 0 when no valid one starts there (overlong, surrogate, past U+10FFFF, cut
 * short). */
size_t utf8_decode(const char *p, size_t n_bytes, uint32_t *code);

/* Writes code, a scalar value, into out[4]; returns how many bytes. */
size_t utf8_encode(uint32_t code, char *out);

/* How many of the bytes at the end may be the start of a code point whose rest is yet
 * to come: 0..3. What streams text holds these back. */
size_t utf8_unfinished(const char *p, size_t n_bytes);

#endif
