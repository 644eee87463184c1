/* avx2_math.h: what the float files of the AVX2 tier share: 32 lanes in four registers, exp. */
#ifndef KERNELS_AVX2_MATH_H
#define KERNELS_AVX2_MATH_H

#include <immintrin.h>

#include "kernels/expf.h"
#include "kernels/unroll.h"

/* As fold_lanes, down to 4 lanes: register i holds lanes 8i .. 8i+7. */
INLINE __m128 fold_to_4(const __m256 lane[4])
{
    __m256 sum8 = _mm256_add_ps(_mm256_add_ps(lane[0], lane[2]), _mm256_add_ps(lane[1], lane[3]));
    return _mm_add_ps(_mm256_castps256_ps128(sum8), _mm256_extractf128_ps(sum8, 1));
}

INLINE void store_lanes(float out[32], const __m256 lane[4])
{
    UNROLL for (int i = 0; i < 4; i++) { _mm256_storeu_ps(out + 8 * i, lane[i]); }
}

/* As exp_spec. */
INLINE __m256 exp8(__m256 x)
{
    const __m256 magic = _mm256_set1_ps(ROUND_MAGIC), one = _mm256_set1_ps(1.0f);
    x = _mm256_max_ps(_mm256_set1_ps(EXP_MIN), x);
    x = _mm256_min_ps(_mm256_set1_ps(EXP_MAX), x);
    __m256 t = _mm256_add_ps(_mm256_mul_ps(x, _mm256_set1_ps(EXP_LOG2E)), magic);
    __m256 n = _mm256_sub_ps(t, magic);
    __m256 r = _mm256_sub_ps(x, _mm256_mul_ps(n, _mm256_set1_ps(EXP_LN2_HIGH)));
    r = _mm256_sub_ps(r, _mm256_mul_ps(n, _mm256_set1_ps(EXP_LN2_LOW)));
    __m256 p = _mm256_set1_ps(EXP_C6);
    p = _mm256_add_ps(_mm256_mul_ps(p, r), _mm256_set1_ps(EXP_C5));
    p = _mm256_add_ps(_mm256_mul_ps(p, r), _mm256_set1_ps(EXP_C4));
    p = _mm256_add_ps(_mm256_mul_ps(p, r), _mm256_set1_ps(EXP_C3));
    p = _mm256_add_ps(_mm256_mul_ps(p, r), _mm256_set1_ps(EXP_C2));
    __m256 tail = _mm256_add_ps(r, _mm256_mul_ps(_mm256_mul_ps(r, r), p));
    __m256i power = _mm256_add_epi32(_mm256_slli_epi32(_mm256_castps_si256(t), 23),
                                     _mm256_set1_epi32(127 << 23));
    return _mm256_mul_ps(_mm256_add_ps(one, tail), _mm256_castsi256_ps(power));
}

#endif
