/* avx512_attention.c: scalar_attention.c, 32 lanes in two registers. Four positions share the
 * loads of q and fold together; tails are masked, and a masked lane adds plus zero to sums that
 * began at plus zero, which changes no bit. */
#include "kernels/avx512_math.h"
#include "kernels/kernels.h"

/* 16 keys or values at element `at`, of either kind; whole: no mask, which frees an instruction. */
INLINE __m512 load_kv(const void *base, size_t at, __mmask16 mask, const bool whole,
                      const bool f16)
{
    if (f16) {
        const uint16_t *p = (const uint16_t *)base + at;
        return _mm512_cvtph_ps(whole ? _mm256_loadu_si256((const __m256i *)p)
                                     : _mm256_maskz_loadu_epi16(mask, p));
    }
    const int8_t *p = (const int8_t *)base + at;
    __m128i bytes = whole ? _mm_loadu_si128((const __m128i *)p) : _mm_maskz_loadu_epi8(mask, p);
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
}

/* dot(q, k[p]) for n <= 4 positions, the rest repeating position 0; whole: head_dim is a multiple
 * of 32. */
INLINE __m128 dot4_of(const float *q, const void *k, size_t pos_stride, size_t n,
                      size_t head_dim, const bool whole, const bool f16)
{
    __m512 low[4], high[4];
    size_t at[4];
    UNROLL for (size_t p = 0; p < 4; p++)
    {
        low[p] = high[p] = _mm512_setzero_ps();
        at[p] = p < n ? p * pos_stride : 0;
    }
    for (size_t d = 0; d < head_dim; d += 32) {
        size_t rest = head_dim - d;
        __mmask16 mask0 = first_lanes(rest), mask1 = rest > 16 ? first_lanes(rest - 16) : 0;
        __m512 q0 = _mm512_maskz_loadu_ps(mask0, q + d);
        __m512 q1 = _mm512_maskz_loadu_ps(mask1, q + d + 16);
        UNROLL for (size_t p = 0; p < 4; p++)
        {
            __m512 k0 = load_kv(k, at[p] + d, mask0, whole, f16);
            __m512 k1 = load_kv(k, at[p] + d + 16, mask1, whole, f16);
            low[p] = _mm512_add_ps(low[p], _mm512_mul_ps(q0, k0));
            high[p] = _mm512_add_ps(high[p], _mm512_mul_ps(q1, k1));
        }
    }
    __m128 sum[4];
    UNROLL for (size_t p = 0; p < 4; p++)
    {
        sum[p] = fold_to_4(low[p], high[p]);
    }
    _MM_TRANSPOSE4_PS(sum[0], sum[1], sum[2], sum[3]); /* sum[i]: lane i of each position */
    return _mm_add_ps(_mm_add_ps(sum[0], sum[2]), _mm_add_ps(sum[1], sum[3]));
}

INLINE __m128 dot4(const float *q, const void *k, size_t pos_stride, size_t n, size_t head_dim,
                   const bool f16)
{
    return head_dim % 32 == 0 ? dot4_of(q, k, pos_stride, n, head_dim, true, f16)
                              : dot4_of(q, k, pos_stride, n, head_dim, false, f16);
}

static void qk_f16(float *scores, const float *q, const uint16_t *k, size_t pos_stride,
                   size_t n_pos, size_t head_dim, float scale)
{
    for (size_t p = 0; p < n_pos; p += 4, k += 4 * pos_stride) {
        __mmask8 mask = (__mmask8)(first_lanes(n_pos - p) & 15);
        __m128 dots = dot4(q, k, pos_stride, n_pos - p, head_dim, true);
        _mm_mask_storeu_ps(scores + p, mask, _mm_mul_ps(dots, _mm_set1_ps(scale)));
    }
}

static void qk_i8(float *scores, const float *q, const int8_t *k, const float *k_scale,
                  size_t pos_stride, size_t scale_stride, size_t n_pos, size_t head_dim,
                  float scale)
{
    for (size_t p = 0; p < n_pos; p += 4, k += 4 * pos_stride) {
        __mmask8 mask = (__mmask8)(first_lanes(n_pos - p) & 15);
        __m128 dots = dot4(q, k, pos_stride, n_pos - p, head_dim, false);
        float scales[4] = {0};
        for (size_t i = 0; i < 4 && p + i < n_pos; i++) {
            scales[i] = k_scale[(p + i) * scale_stride];
        }
        __m128 factor = _mm_mul_ps(_mm_loadu_ps(scales), _mm_set1_ps(scale));
        _mm_mask_storeu_ps(scores + p, mask, _mm_mul_ps(dots, factor));
    }
}

/* nv registers of the output, columns d on, over all positions; one register alone goes by mask. */
INLINE void weighted_sum(float *out, const float *p_weight, const void *v, const float *v_scale,
                         size_t pos_stride, size_t scale_stride, size_t n_pos, size_t d,
                         __mmask16 mask, const int nv, const bool f16)
{
    __m512 acc[8];
    UNROLL for (int i = 0; i < nv; i++) { acc[i] = _mm512_setzero_ps(); }
    for (size_t p = 0; p < n_pos; p++) {
        float w = f16 ? p_weight[p] : p_weight[p] * v_scale[p * scale_stride];
        __m512 weight = _mm512_set1_ps(w);
        UNROLL for (int i = 0; i < nv; i++)
        {
            __m512 x = load_kv(v, p * pos_stride + d + 16 * (size_t)i, mask, nv > 1, f16);
            acc[i] = _mm512_add_ps(acc[i], _mm512_mul_ps(weight, x));
        }
    }
    UNROLL for (int i = 0; i < nv; i++)
    {
        _mm512_mask_storeu_ps(out + d + 16 * i, mask, acc[i]);
    }
}

INLINE void av(float *out, const float *p_weight, const void *v, const float *v_scale,
               size_t pos_stride, size_t scale_stride, size_t n_pos, size_t head_dim,
               const bool f16)
{
    size_t d = 0;
    for (; d + 128 <= head_dim; d += 128) {
        weighted_sum(out, p_weight, v, v_scale, pos_stride, scale_stride, n_pos, d, 0xffff, 8,
                     f16);
    }
    for (; d + 64 <= head_dim; d += 64) {
        weighted_sum(out, p_weight, v, v_scale, pos_stride, scale_stride, n_pos, d, 0xffff, 4,
                     f16);
    }
    for (; d < head_dim; d += 16) {
        weighted_sum(out, p_weight, v, v_scale, pos_stride, scale_stride, n_pos, d,
                     first_lanes(head_dim - d), 1, f16);
    }
}

static void av_f16(float *out, const float *p_weight, const uint16_t *v, size_t pos_stride,
                   size_t n_pos, size_t head_dim)
{
    av(out, p_weight, v, NULL, pos_stride, 0, n_pos, head_dim, true);
}

static void av_i8(float *out, const float *p_weight, const int8_t *v, const float *v_scale,
                  size_t pos_stride, size_t scale_stride, size_t n_pos, size_t head_dim)
{
    av(out, p_weight, v, v_scale, pos_stride, scale_stride, n_pos, head_dim, false);
}

static void softmax(float *x, size_t n)
{
    const __m512 lowest = _mm512_set1_ps(-INFINITY);
    __m512 max = lowest;
    for (size_t i = 0; i < n; i += 16) {
        max = _mm512_max_ps(_mm512_mask_loadu_ps(lowest, first_lanes(n - i), x + i), max);
    }
    max = _mm512_set1_ps(_mm512_reduce_max_ps(max));
    __m512 sum[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
    for (size_t i = 0; i < n; i += 32) {
        UNROLL for (size_t h = 0; h < 2; h++)
        {
            size_t at = i + 16 * h;
            __mmask16 mask = first_lanes(at < n ? n - at : 0);
            __m512 e = exp16(_mm512_sub_ps(_mm512_maskz_loadu_ps(mask, x + at), max));
            _mm512_mask_storeu_ps(x + at, mask, e);
            sum[h] = _mm512_add_ps(sum[h], _mm512_maskz_mov_ps(mask, e));
        }
    }
    __m512 inverse = _mm512_set1_ps(1.0f / fold(sum[0], sum[1]));
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = first_lanes(n - i);
        __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i), inverse);
        _mm512_mask_storeu_ps(x + i, mask, v);
    }
}

void fill_avx512_attention(struct attention_kernels *a)
{
    a->qk_f16 = qk_f16;
    a->qk_i8 = qk_i8;
    a->av_f16 = av_f16;
    a->av_i8 = av_i8;
    a->softmax = softmax;
}
