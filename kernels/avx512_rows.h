/* avx512_rows.h: what the matrix files of the AVX-512 tier share. The 16 rows of a block are the
 * dword lanes of one register. */
#ifndef KERNELS_AVX512_ROWS_H
#define KERNELS_AVX512_ROWS_H

#include <immintrin.h>
#include <string.h>

#include "kernels/runs.h"

/* acc += u8 x s8 over the four bytes of each dword. Not the intrinsic: gcc 12 copies accumulators
 * around it in hot loops. */
INLINE __m512i dot_add(__m512i acc, __m512i codes, __m512i q)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(codes), "v"(q));
    return acc;
}

INLINE __m512i broadcast4(const int8_t *q)
{
    int32_t dword;
    memcpy(&dword, q, sizeof dword);
    return _mm512_set1_epi32(dword);
}

/* As assembly, because gcc would reassociate the sums, and run out of registers. */
INLINE __m512i add8(__m512i acc, __m512i x)
{
    __asm__("vpaddb %1, %0, %0" : "+v"(acc) : "v"(x));
    return acc;
}

/* Byte 4r+j <- byte 16j+r: a row's four bytes of a line side by side. */
INLINE __m512i row_order(void)
{
    const __m512i row = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i spread = _mm512_mullo_epi32(row, _mm512_set1_epi32(0x01010101));
    return _mm512_add_epi32(spread, _mm512_set1_epi32(0x30201000));
}

/* Into L2 far ahead, into L1 shortly before: 1.3 to 1.8 times the bandwidth of doing without. Past
 * the end of the weights it does nothing. */
enum { FAR = 8192, NEAR = 1536 };
INLINE void prefetch_far(const uint8_t *line, size_t far)
{
    _mm_prefetch((const char *)line + far, _MM_HINT_T1);
    _mm_prefetch((const char *)line + NEAR, _MM_HINT_T0);
}

INLINE void prefetch(const uint8_t *line)
{
    prefetch_far(line, FAR);
}

/* A line of scales is not among those from which the lines of weights are prefetched. */
INLINE void prefetch_scales(const struct tile *tile, size_t i)
{
    if (tile->r->grouped)
        prefetch(tile_lines(tile) + run_scales(tile->r, i));
}

INLINE __m512 matrix_scale(const struct matrix *w, size_t block)
{
    switch (w->scale_kind) {
    case SCALE_TENSOR: return _mm512_set1_ps(w->scale[0]);
    case SCALE_ROW: return _mm512_loadu_ps(w->scale + block * BLOCK_ROWS);
    default: return _mm512_set1_ps(1.0f);
    }
}

/* 16 halves as floats. */
INLINE __m512 halves(const uint8_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

/* The scales of run i of a block. */
INLINE __m512 run_d(const struct tile *tile, size_t i)
{
    if (tile->r->grouped)
        return halves(tile_lines(tile) + run_scales(tile->r, i));
    return _mm512_set1_ps(1.0f);
}

/* And of token t's activations over it. */
INLINE __m512 run_a(const struct tile *tile, size_t i, size_t t)
{
    return _mm512_set1_ps(run_act_scale(tile->r, tile->m->x, tile->t0 + t, i));
}

/* total + (float)isum * (d * a), the step of kernels.h from one run to the next */
INLINE __m512 end_run(__m512 total, __m512i isum, __m512 d, __m512 a)
{
    __m512 sum = _mm512_mul_ps(_mm512_cvtepi32_ps(isum), _mm512_mul_ps(d, a));
    return _mm512_add_ps(total, sum);
}

/* The same for all tokens of a tile: total[token], isum[token]. */
static inline void end_tile(__m512 *total, const __m512i *isum, const struct tile *tile, size_t i)
{
    const __m512 d = run_d(tile, i);
    for (size_t t = 0; t < tile->n_tok; t++) {
        total[t] = end_run(total[t], isum[t], d, run_a(tile, i, t));
    }
}

static inline void store_tile(const struct tile *tile, const __m512 *total)
{
    const struct matmul *m = tile->m;
    const __m512 scale = matrix_scale(m->w, tile->block);
    for (size_t t = 0; t < tile->n_tok; t++) {
        __m512 a = _mm512_set1_ps(token_scale(m->x, tile->t0 + t));
        __m512 y = _mm512_mul_ps(total[t], _mm512_mul_ps(scale, a));
        _mm512_storeu_ps(m->y + (tile->t0 + t) * m->y_stride + tile->block * BLOCK_ROWS, y);
    }
}

#endif
