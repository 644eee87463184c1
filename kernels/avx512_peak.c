/* avx512_peak.c: see peak.h. */
#include <immintrin.h>

#include "kernels/peak.h"
#include "kernels/unroll.h"

/* All lanes, wrapping; _mm512_reduce_add_epi64 of gcc adds them as signed numbers. */
static uint64_t sum_lanes(__m512i v)
{
    uint64_t lanes[8], sum = 0;
    _mm512_storeu_si512(lanes, v);
    for (int i = 0; i < 8; i++) {
        sum += lanes[i];
    }
    return sum;
}

static uint64_t read_bytes(const uint8_t *p, size_t n_bytes)
{
    __m512i sum[8];
    UNROLL for (int j = 0; j < 8; j++) { sum[j] = _mm512_setzero_si512(); }
    for (size_t i = 0; i < n_bytes / 2; i += 256) {
        UNROLL for (size_t j = 0; j < 8; j++)
        {
            const uint8_t *line = p + (j % 2) * (n_bytes / 2) + i + j / 2 * 64;
            _mm_prefetch((const char *)line + 8192, _MM_HINT_T1);
            _mm_prefetch((const char *)line + 1536, _MM_HINT_T0);
            sum[j] = _mm512_add_epi64(sum[j], _mm512_loadu_si512(line));
        }
    }
    UNROLL for (int j = 1; j < 8; j++) { sum[0] = _mm512_add_epi64(sum[0], sum[j]); }
    return sum_lanes(sum[0]);
}

/* 16 sums: two instructions a cycle, each waiting five cycles on the one before it. */
static uint64_t multiply_i8(size_t n_rounds)
{
    __m512i acc[2][8], a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(5);
    UNROLL for (int j = 0; j < 8; j++) { acc[0][j] = acc[1][j] = _mm512_setzero_si512(); }
    for (size_t i = 0; i < n_rounds; i++) {
        UNROLL for (int j = 0; j < 8; j++)
        {
            __asm__("vpdpbusd %2, %1, %0" : "+v"(acc[0][j]) : "v"(a), "v"(b));
            __asm__("vpdpbusd %2, %1, %0" : "+v"(acc[1][j]) : "v"(a), "v"(b));
        }
    }
    __m512i sum = _mm512_setzero_si512();
    UNROLL for (int j = 0; j < 8; j++)
    {
        sum = _mm512_add_epi32(sum, _mm512_add_epi32(acc[0][j], acc[1][j]));
    }
    return sum_lanes(sum);
}

static uint64_t multiply_f32(size_t n_rounds)
{
    __m512 acc[8], a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(0.25f);
    UNROLL for (int j = 0; j < 8; j++) { acc[j] = _mm512_setzero_ps(); }
    for (size_t i = 0; i < n_rounds; i++) {
        UNROLL for (int j = 0; j < 8; j++)
        {
            __asm__("" : "+v"(a)); /* a new product each time */
            acc[j] = _mm512_add_ps(acc[j], _mm512_mul_ps(a, b));
        }
    }
    UNROLL for (int j = 1; j < 8; j++) { acc[0] = _mm512_add_ps(acc[0], acc[j]); }
    return (uint64_t)_mm512_reduce_add_ps(acc[0]);
}

void fill_avx512_peak(struct peak *p)
{
    *p = (struct peak){read_bytes, multiply_i8, multiply_f32, 16 * 64, 8 * 16};
}
