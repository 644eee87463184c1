/* avx2_rows.h: what the matrix files of the AVX2 tier share. The 16 rows of a block are two halves
 * of 8, in dword lanes. */
#ifndef KERNELS_AVX2_ROWS_H
#define KERNELS_AVX2_ROWS_H

#include <immintrin.h>
#include <string.h>

#include "kernels/runs.h"

INLINE __m256i load(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

INLINE __m256i broadcast4(const int8_t *q)
{
    int32_t dword;
    memcpy(&dword, q, sizeof dword);
    return _mm256_set1_epi32(dword);
}

/* Into L2 well ahead, into L1 shortly before. Past the end of the weights it does nothing. */
INLINE void prefetch(const uint8_t *line)
{
    _mm_prefetch((const char *)line + 8192, _MM_HINT_T1);
    _mm_prefetch((const char *)line + 1536, _MM_HINT_T0);
}

/* A line of scales is not among those from which the lines of weights are prefetched. */
INLINE void prefetch_scales(const struct runs *r, const uint8_t *block, size_t i)
{
    if (r->grouped)
        prefetch(block + run_scales(r, i));
}

/* The matrix's scale of 8 rows. */
INLINE __m256 matrix_scale(const struct matrix *w, size_t row)
{
    switch (w->scale_kind) {
    case SCALE_TENSOR: return _mm256_set1_ps(w->scale[0]);
    case SCALE_ROW: return _mm256_loadu_ps(w->scale + row);
    default: return _mm256_set1_ps(1.0f);
    }
}

/* 8 halves as floats. */
INLINE __m256 halves(const uint8_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

INLINE __m256i table(int a, int b, int c, int d, int e, int f, int g, int h, int i, int j, int k,
                     int l, int m, int n, int o, int p)
{
    return _mm256_broadcastsi128_si256(
        _mm_setr_epi8((char)a, (char)b, (char)c, (char)d, (char)e, (char)f, (char)g, (char)h,
                      (char)i, (char)j, (char)k, (char)l, (char)m, (char)n, (char)o, (char)p));
}

/* The five trits of each byte of t1.6.
 *
 * Let H, L be the nibbles. Below 192 a byte is c | t4 << 6, so c = 16 * (H & 3) + L, t4 = H / 4.
 * From 192 on it is 192 | (17 * t4 + c - 64): within one H, t4 steps up once at most, at the L
 * where 17 * t4 is passed, and c falls by 17 there. So c = L + base[H] - 17 * past and
 * t4 = fifth[H] + past, past = L > last[H]. Then c = 9 * high + low, each of them two trits that a
 * table knows. c / 9 is c * 7282 >> 16, exact here; for the odd bytes the even byte below acts as a
 * fraction and cannot carry, because c + 255/256 < 81. */
INLINE void trits_of(__m256i code[5], __m256i w)
{
    const __m256i base = table(0, 16, 32, 48, 0, 16, 32, 48, 0, 16, 32, 48, 64, 80, 79, 78);
    const __m256i last = table(99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 0, 1, 99);
    const __m256i fifth = table(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 0, 0, 1, 2);
    const __m256i nines = table(0, 9, 18, 27, 36, 45, 54, 63, 72, 81, 90, 0, 0, 0, 0, 0);
    const __m256i mod3 = table(0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0);
    const __m256i div3 = table(0, 0, 0, 1, 1, 1, 2, 2, 2, 0, 0, 0, 0, 0, 0, 0);
    const __m256i ninth = _mm256_set1_epi16(7282), even = _mm256_set1_epi16(0x00ff);
    const __m256i nibble = _mm256_set1_epi8(15);

    __m256i l = _mm256_and_si256(w, nibble);
    __m256i h = _mm256_and_si256(_mm256_srli_epi16(w, 4), nibble);
    __m256i past = _mm256_cmpgt_epi8(l, _mm256_shuffle_epi8(last, h)); /* 0 or -1 */
    __m256i c = _mm256_add_epi8(l, _mm256_shuffle_epi8(base, h));
    c = _mm256_add_epi8(c, _mm256_and_si256(past, _mm256_set1_epi8(-17)));
    __m256i high = _mm256_or_si256(_mm256_mulhi_epu16(_mm256_and_si256(c, even), ninth),
                                   _mm256_andnot_si256(even, _mm256_mulhi_epu16(c, ninth)));
    __m256i low = _mm256_sub_epi8(c, _mm256_shuffle_epi8(nines, high));
    code[0] = _mm256_shuffle_epi8(mod3, low);
    code[1] = _mm256_shuffle_epi8(div3, low);
    code[2] = _mm256_shuffle_epi8(mod3, high);
    code[3] = _mm256_shuffle_epi8(div3, high);
    code[4] = _mm256_sub_epi8(_mm256_shuffle_epi8(fifth, h), past);
}

/* Codes 0..2 of half a line, column quad by column quad: 4 of t2, 5 of t1.6. */
INLINE void codes_of(__m256i code[5], const uint8_t *half, const bool trits)
{
    const __m256i three = _mm256_set1_epi8(3);
    __m256i w = load(half);
    if (trits) {
        trits_of(code, w);
        return;
    }
    code[0] = _mm256_and_si256(w, three);
    code[1] = _mm256_and_si256(_mm256_srli_epi16(w, 2), three);
    code[2] = _mm256_and_si256(_mm256_srli_epi16(w, 4), three);
    code[3] = _mm256_and_si256(_mm256_srli_epi16(w, 6), three);
}

static inline void zero_floats(__m256 x[][2], size_t n)
{
    memset(x, 0, n * sizeof *x);
}

/* The scales of run i of a block. */
INLINE void run_d(__m256 d[2], const struct runs *r, const uint8_t *block, size_t i)
{
    d[0] = d[1] = _mm256_set1_ps(1.0f);
    if (r->grouped) {
        const uint8_t *scales = block + run_scales(r, i);
        d[0] = halves(scales), d[1] = halves(scales + 16);
    }
}

/* And of token t's activations over it. */
INLINE __m256 run_a(const struct tile *tile, size_t i, size_t t)
{
    return _mm256_set1_ps(run_act_scale(tile->r, tile->m->x, tile->t0 + t, i));
}

/* total + (float)isum * (d * a), the step of kernels.h from one run to the next */
INLINE void end_run(__m256 total[2], const __m256i isum[2], const __m256 d[2], __m256 a)
{
    UNROLL for (int s = 0; s < 2; s++)
    {
        __m256 sum = _mm256_mul_ps(_mm256_cvtepi32_ps(isum[s]), _mm256_mul_ps(d[s], a));
        total[s] = _mm256_add_ps(total[s], sum);
    }
}

static inline void store_tile(const struct tile *tile, const __m256 total[][2])
{
    const struct matmul *m = tile->m;
    for (size_t t = 0; t < tile->n_tok; t++) {
        __m256 a = _mm256_set1_ps(token_scale(m->x, tile->t0 + t));
        float *y = m->y + (tile->t0 + t) * m->y_stride;
        for (size_t row = tile->block * BLOCK_ROWS, s = 0; s < 2; s++, row += 8) {
            __m256 scale = _mm256_mul_ps(matrix_scale(m->w, row), a);
            _mm256_storeu_ps(y + row, _mm256_mul_ps(total[t][s], scale));
        }
    }
}

#endif
