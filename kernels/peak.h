/* peak.h: what a tier can do at most, for `bitnet bench kernels` to measure its kernels against:
 * reading memory, multiplying and adding int8 into int32, multiplying and adding floats. */
#ifndef KERNELS_PEAK_H
#define KERNELS_PEAK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct peak {
    /* Reads every line in two streams, with the prefetches that served the kernels best. */
    uint64_t (*read)(const uint8_t *p, size_t n_bytes); /* a multiple of 1024 */
    /* Runs n_rounds of independent multiply-adds on registers; the result is of no use. */
    uint64_t (*multiply_i8)(size_t n_rounds);
    uint64_t (*multiply_f32)(size_t n_rounds); /* multiply, then add: what our floats do */
    size_t macs_i8, macs_f32;                  /* of one round */
};

/* The loops of the named tier, or of the best below it that has any; false: no such tier. */
bool kernels_peak(struct peak *p, const char *tier);

void fill_scalar_peak(struct peak *p);
void fill_avx2_peak(struct peak *p);
void fill_avx512_peak(struct peak *p);
void fill_neon_peak(struct peak *p);
void fill_neondot_peak(struct peak *p);
void fill_neoni8mm_peak(struct peak *p);

#endif
