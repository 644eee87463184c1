/* avx512_math.h: what the float files of the AVX-512 tier share: masks, the fold, exp. */
#ifndef KERNELS_AVX512_MATH_H
#define KERNELS_AVX512_MATH_H

#include <immintrin.h>

#include "kernels/expf.h"
#include "kernels/unroll.h"

/* The first n of 16 lanes. */
INLINE __mmask16 first_lanes(size_t n)
{
    return n < 16 ? (__mmask16)((1u << n) - 1) : 0xffff;
}

/* As fold_lanes, down to 4 lanes: lanes 0..15 and 16..31. */
INLINE __m128 fold_to_4(__m512 low, __m512 high)
{
    __m512 sum16 = _mm512_add_ps(low, high);
    __m256 sum8 = _mm256_add_ps(_mm512_castps512_ps256(sum16), _mm512_extractf32x8_ps(sum16, 1));
    return _mm_add_ps(_mm256_castps256_ps128(sum8), _mm256_extractf128_ps(sum8, 1));
}

/* As fold_lanes: lanes 0..15 and 16..31. */
INLINE float fold(__m512 low, __m512 high)
{
    __m128 sum4 = fold_to_4(low, high);
    __m128 sum2 = _mm_add_ps(sum4, _mm_movehl_ps(sum4, sum4));
    return _mm_cvtss_f32(_mm_add_ss(sum2, _mm_shuffle_ps(sum2, sum2, 1)));
}

/* As exp_spec. */
INLINE __m512 exp16(__m512 x)
{
    const __m512 magic = _mm512_set1_ps(ROUND_MAGIC), one = _mm512_set1_ps(1.0f);
    x = _mm512_max_ps(_mm512_set1_ps(EXP_MIN), x);
    x = _mm512_min_ps(_mm512_set1_ps(EXP_MAX), x);
    __m512 t = _mm512_add_ps(_mm512_mul_ps(x, _mm512_set1_ps(EXP_LOG2E)), magic);
    __m512 n = _mm512_sub_ps(t, magic);
    __m512 r = _mm512_sub_ps(x, _mm512_mul_ps(n, _mm512_set1_ps(EXP_LN2_HIGH)));
    r = _mm512_sub_ps(r, _mm512_mul_ps(n, _mm512_set1_ps(EXP_LN2_LOW)));
    __m512 p = _mm512_set1_ps(EXP_C6);
    p = _mm512_add_ps(_mm512_mul_ps(p, r), _mm512_set1_ps(EXP_C5));
    p = _mm512_add_ps(_mm512_mul_ps(p, r), _mm512_set1_ps(EXP_C4));
    p = _mm512_add_ps(_mm512_mul_ps(p, r), _mm512_set1_ps(EXP_C3));
    p = _mm512_add_ps(_mm512_mul_ps(p, r), _mm512_set1_ps(EXP_C2));
    __m512 tail = _mm512_add_ps(r, _mm512_mul_ps(_mm512_mul_ps(r, r), p));
    __m512i power = _mm512_add_epi32(_mm512_slli_epi32(_mm512_castps_si512(t), 23),
                                     _mm512_set1_epi32(127 << 23));
    return _mm512_mul_ps(_mm512_add_ps(one, tail), _mm512_castsi512_ps(power));
}

#endif
