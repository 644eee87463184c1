/* base.h: what every module stands on: errors, checked sizes, little-endian loads, half floats,
 * the content hash, the clock. No module of ours is included here but the public header, for
 * struct bitnet_error. */
#ifndef BITNET_BASE_H
#define BITNET_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "include/bitnet.h"

/* Fills err with a formatted line unless an earlier failure stands in it; returns false always. */
bool fail(struct bitnet_error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Checked arithmetic on sizes that come from a file: false when the result does not fit. */
bool mul_u64(uint64_t a, uint64_t b, uint64_t *out);
bool add_u64(uint64_t a, uint64_t b, uint64_t *out);
uint64_t round_up(uint64_t n, uint64_t multiple); /* caller knows that it fits */

/* Little-endian loads and stores at any alignment. */
uint16_t load_u16(const void *p);
uint32_t load_u32(const void *p);
uint64_t load_u64(const void *p);
float load_f32(const void *p);
double load_f64(const void *p);
void store_u16(void *p, uint16_t v);
void store_u32(void *p, uint32_t v);
void store_u64(void *p, uint64_t v);
void store_f32(void *p, float v);
void store_f64(void *p, double v);

/* IEEE half and bfloat16. To half: round to nearest, ties to even, overflow to infinity. */
float f16_to_f32(uint16_t h);
uint16_t f32_to_f16(float f);
float bf16_to_f32(uint16_t h);

/* XXH64 (Collet, xxhash specification) with seed 0: the checksum of every .bnp section. The
 * streaming form gives the same value for the same bytes in any chunking. */
uint64_t hash64(const void *p, size_t n_bytes);
struct hasher {
    uint64_t lane[4], n_total;
    unsigned char tail[32];
    size_t n_tail;
};
void hasher_init(struct hasher *h);
void hasher_add(struct hasher *h, const void *p, size_t n_bytes);
uint64_t hasher_value(const struct hasher *h);

uint64_t now_ns(void); /* monotonic */

/* A growing byte buffer for building files and messages; ok turns false when memory ran out and
 * later appends do nothing, so a builder checks once at its end. */
struct buffer {
    uint8_t *data;
    size_t n_bytes, n_alloc;
    bool failed;
};
void buffer_add(struct buffer *b, const void *p, size_t n_bytes);
void buffer_add_u32(struct buffer *b, uint32_t v);
void buffer_add_u64(struct buffer *b, uint64_t v);
void buffer_pad(struct buffer *b, size_t multiple); /* zeros up to a multiple */
void buffer_free(struct buffer *b);

/* The whole decimal number in text, within [min, max]; false when it is anything else. */
bool parse_i64(const char *text, int64_t min, int64_t max, int64_t *out);
bool parse_f64(const char *text, double min, double max, double *out);

#endif
