/* avx2_i8x2.c: one row of one plane of i8x2 times int8, in 256 bits.
 *
 * Columns lie in lanes, so that a row alone is read from one place. maddubs takes a nibble times q;
 * the four products of a line are added before widening, at most 4 * 2 * 15 * 127 = 15240.
 */
#include "kernels/avx2_rows.h"
#include "kernels/i8x2.h"

INLINE int32_t sum_of(__m256i x)
{
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1)));
}

INLINE void times_tokens(int32_t *isum, const uint8_t *row, const uint8_t *next, size_t n_lines,
                         const int8_t *q, size_t q_stride, const int nt)
{
    const __m256i mask = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
    __m256i acc[4];
    UNROLL for (int t = 0; t < nt; t++) { acc[t] = _mm256_setzero_si256(); }
    for (size_t i = 0; i < n_lines; i++) {
        _mm_prefetch((const char *)next + LINE_BYTES * i, _MM_HINT_T1);
        const __m256i v[2] = {load(row + LINE_BYTES * i), load(row + LINE_BYTES * i + 32)};
        __m256i code[4];
        UNROLL for (int s = 0; s < 2; s++)
        {
            code[s] = _mm256_and_si256(v[s], mask);
            code[2 + s] = _mm256_and_si256(_mm256_srli_epi16(v[s], 4), mask);
        }
        UNROLL for (int t = 0; t < nt; t++)
        {
            const uint8_t *at = (const uint8_t *)q + (size_t)t * q_stride + 128 * i;
            __m256i sum = _mm256_maddubs_epi16(code[0], load(at));
            UNROLL for (int j = 1; j < 4; j++)
            {
                sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(code[j], load(at + 32 * j)));
            }
            acc[t] = _mm256_add_epi32(acc[t], _mm256_madd_epi16(sum, ones));
        }
    }
    UNROLL for (int t = 0; t < nt; t++) { isum[t] = sum_of(acc[t]); }
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

void fill_avx2_i8x2(struct matrix_kernels *m)
{
    m->i8x2_i8 = i8x2_i8;
    m->i8x2_nibbles = nibbles;
}
