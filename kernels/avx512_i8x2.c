/* avx512_i8x2.c: one row of one plane of i8x2 times int8, in 512 bits.
 *
 * Columns lie in lanes, so that a row alone is read from one place. vpdpbusd adds four products to
 * an int32 lane without saturation. The two nibbles of a byte have sums of their own: one would
 * wait for the other.
 */
#include "kernels/avx512_rows.h"
#include "kernels/i8x2.h"

INLINE void times_tokens(int32_t *isum, const uint8_t *row, const uint8_t *next, size_t n_lines,
                         const int8_t *q, size_t q_stride, const int nt)
{
    const __m512i mask = _mm512_set1_epi8(15);
    __m512i acc[4][2];
    UNROLL for (int t = 0; t < nt; t++) { acc[t][0] = acc[t][1] = _mm512_setzero_si512(); }
    for (size_t i = 0; i < n_lines; i++) {
        _mm_prefetch((const char *)next + LINE_BYTES * i, _MM_HINT_T1);
        __m512i v = _mm512_loadu_si512(row + LINE_BYTES * i);
        __m512i low = _mm512_and_si512(v, mask);
        __m512i high = _mm512_and_si512(_mm512_srli_epi16(v, 4), mask);
        UNROLL for (int t = 0; t < nt; t++)
        {
            const int8_t *at = q + (size_t)t * q_stride + 128 * i;
            acc[t][0] = dot_add(acc[t][0], low, _mm512_loadu_si512(at));
            acc[t][1] = dot_add(acc[t][1], high, _mm512_loadu_si512(at + 64));
        }
    }
    UNROLL for (int t = 0; t < nt; t++)
    {
        isum[t] = _mm512_reduce_add_epi32(_mm512_add_epi32(acc[t][0], acc[t][1]));
    }
}

static void nibbles(int32_t isum[NIBBLES_TOK], const uint8_t *row, const uint8_t *next,
                    size_t n_lines, const int8_t *q, size_t q_stride, size_t n_tok)
{
    i8x2_by_tokens(times_tokens, isum, row, next, n_lines, q, q_stride, n_tok);
}

static void i8x2_i8(const struct matmul *m)
{
    i8x2_times(m, nibbles);
}

void fill_avx512_i8x2(struct matrix_kernels *m)
{
    m->i8x2_i8 = i8x2_i8;
    m->i8x2_nibbles = nibbles;
}
