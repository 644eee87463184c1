/* avx2_peak.c: see peak.h. The int8 product is what our kernels do: maddubs, then madd by ones,
 * then add, which holds for all bytes; ternary kernels get by with fewer and can pass 100 %. */
#include <immintrin.h>

#include "kernels/peak.h"
#include "kernels/unroll.h"

static uint64_t read_bytes(const uint8_t *p, size_t n_bytes)
{
    __m256i sum[4];
    UNROLL for (int j = 0; j < 4; j++) { sum[j] = _mm256_setzero_si256(); }
    for (size_t i = 0; i < n_bytes / 2; i += 64) {
        UNROLL for (size_t j = 0; j < 4; j++)
        {
            const uint8_t *line = p + j / 2 * (n_bytes / 2) + i;
            if (j % 2 == 0) {
                _mm_prefetch((const char *)line + 8192, _MM_HINT_T1);
                _mm_prefetch((const char *)line + 1536, _MM_HINT_T0);
            }
            __m256i v = _mm256_loadu_si256((const __m256i *)(line + j % 2 * 32));
            sum[j] = _mm256_add_epi64(sum[j], v);
        }
    }
    UNROLL for (int j = 1; j < 4; j++) { sum[0] = _mm256_add_epi64(sum[0], sum[j]); }
    uint64_t lane[4];
    _mm256_storeu_si256((__m256i *)lane, sum[0]);
    return lane[0] + lane[1] + lane[2] + lane[3];
}

static uint64_t multiply_i8(size_t n_rounds)
{
    __m256i acc[8], a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(5);
    const __m256i ones = _mm256_set1_epi16(1);
    UNROLL for (int j = 0; j < 8; j++) { acc[j] = _mm256_setzero_si256(); }
    for (size_t i = 0; i < n_rounds; i++) {
        UNROLL for (int j = 0; j < 8; j++)
        {
            __asm__("" : "+x"(a)); /* a new product each time */
            __m256i pairs = _mm256_maddubs_epi16(a, b);
            acc[j] = _mm256_add_epi32(acc[j], _mm256_madd_epi16(pairs, ones));
        }
    }
    UNROLL for (int j = 1; j < 8; j++) { acc[0] = _mm256_add_epi32(acc[0], acc[j]); }
    return (uint64_t)(uint32_t)_mm256_extract_epi32(acc[0], 0);
}

static uint64_t multiply_f32(size_t n_rounds)
{
    __m256 acc[8], a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(0.25f);
    UNROLL for (int j = 0; j < 8; j++) { acc[j] = _mm256_setzero_ps(); }
    for (size_t i = 0; i < n_rounds; i++) {
        UNROLL for (int j = 0; j < 8; j++)
        {
            __asm__("" : "+x"(a));
            acc[j] = _mm256_add_ps(acc[j], _mm256_mul_ps(a, b));
        }
    }
    UNROLL for (int j = 1; j < 8; j++) { acc[0] = _mm256_add_ps(acc[0], acc[j]); }
    return (uint64_t)_mm256_cvtss_f32(acc[0]);
}

void fill_avx2_peak(struct peak *p)
{
    *p = (struct peak){read_bytes, multiply_i8, multiply_f32, 8 * 32, 8 * 8};
}
