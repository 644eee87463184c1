/* avx2_attention.c: scalar_attention.c, 32 lanes in four registers. Two positions share the loads
 * of q; columns past the last whole 32 go through the specification's own scalar line. */
#include "kernels/avx2_math.h"
#include "kernels/kernels.h"

/* Keys and values of either kind. */
INLINE __m256 load_8(const void *base, size_t at, const bool f16)
{
    if (f16) {
        const uint16_t *half = (const uint16_t *)base + at;
        return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)half));
    }
    __m128i bytes = _mm_loadl_epi64((const __m128i *)((const int8_t *)base + at));
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
}

INLINE float load_1(const void *base, size_t at, const bool f16)
{
    return f16 ? half_to_float(((const uint16_t *)base)[at]) : (float)((const int8_t *)base)[at];
}

/* dot(q, k) for np positions, 1 or 2; no more than whole 32s of head_dim. */
INLINE void dot_lanes(__m256 lane[2][4], const float *q, const void *k, size_t at[2],
                      size_t head_dim, const int np, const bool f16)
{
    UNROLL for (int p = 0; p < np; p++)
    {
        lane[p][0] = lane[p][1] = lane[p][2] = lane[p][3] = _mm256_setzero_ps();
    }
    for (size_t d = 0; d + 32 <= head_dim; d += 32) {
        UNROLL for (size_t j = 0; j < 4; j++)
        {
            __m256 q8 = _mm256_loadu_ps(q + d + 8 * j);
            UNROLL for (int p = 0; p < np; p++)
            {
                __m256 k8 = load_8(k, at[p] + d + 8 * j, f16);
                lane[p][j] = _mm256_add_ps(lane[p][j], _mm256_mul_ps(q8, k8));
            }
        }
    }
}

/* Any head_dim, one position. */
INLINE float dot_1(const float *q, const void *k, size_t at, size_t head_dim, const bool f16)
{
    __m256 sum[2][4];
    size_t ats[2] = {at, at};
    dot_lanes(sum, q, k, ats, head_dim, 1, f16);
    float lane[32];
    store_lanes(lane, sum[0]);
    for (size_t d = head_dim / 32 * 32; d < head_dim; d++) {
        lane[d % 32] += q[d] * load_1(k, at + d, f16);
    }
    return fold_lanes(lane);
}

/* head_dim a multiple of 32, four positions. */
INLINE __m128 dot_4(const float *q, const void *k, size_t at, size_t pos_stride, size_t head_dim,
                    const bool f16)
{
    __m128 sum[4];
    UNROLL for (size_t p = 0; p < 4; p += 2)
    {
        __m256 lane[2][4];
        size_t ats[2] = {at + p * pos_stride, at + (p + 1) * pos_stride};
        dot_lanes(lane, q, k, ats, head_dim, 2, f16);
        sum[p] = fold_to_4(lane[0]);
        sum[p + 1] = fold_to_4(lane[1]);
    }
    _MM_TRANSPOSE4_PS(sum[0], sum[1], sum[2], sum[3]); /* sum[i]: lane i of each position */
    return _mm_add_ps(_mm_add_ps(sum[0], sum[2]), _mm_add_ps(sum[1], sum[3]));
}

static void qk_f16(const struct attend *a)
{
    for (size_t r = 0; r < a->n_rows; r++) {
        const float *q = a->q + r * a->head_dim;
        float *scores = a->scores + r * a->score_stride;
        size_t p = 0;
        for (; p + 4 <= a->n_pos && a->head_dim % 32 == 0; p += 4) {
            __m128 dots = dot_4(q, a->kv, p * a->pos_stride, a->pos_stride, a->head_dim, true);
            _mm_storeu_ps(scores + p, _mm_mul_ps(dots, _mm_set1_ps(a->scale)));
        }
        for (; p < a->n_pos; p++) {
            scores[p] = dot_1(q, a->kv, p * a->pos_stride, a->head_dim, true) * a->scale;
        }
    }
}

static void qk_i8(const struct attend *a)
{
    for (size_t r = 0; r < a->n_rows; r++) {
        const float *q = a->q + r * a->head_dim;
        float *scores = a->scores + r * a->score_stride;
        size_t p = 0, step = a->scale_stride;
        for (; p + 4 <= a->n_pos && a->head_dim % 32 == 0; p += 4) {
            const float *s = a->kv_scale + p * step;
            __m128 scales = _mm_setr_ps(s[0], s[step], s[2 * step], s[3 * step]);
            __m128 dots = dot_4(q, a->kv, p * a->pos_stride, a->pos_stride, a->head_dim, false);
            dots = _mm_mul_ps(dots, _mm_mul_ps(scales, _mm_set1_ps(a->scale)));
            _mm_storeu_ps(scores + p, dots);
        }
        for (; p < a->n_pos; p++) {
            float dot = dot_1(q, a->kv, p * a->pos_stride, a->head_dim, false);
            scores[p] = dot * (a->kv_scale[p * step] * a->scale);
        }
    }
}

/* The weight of position p for row r. */
INLINE float weight(const struct attend *a, size_t r, size_t p, const bool f16)
{
    float w = a->scores[r * a->score_stride + p];
    return f16 ? w : w * a->kv_scale[p * a->scale_stride];
}

/* nv registers of row r of the output, columns d on, over the positions. */
INLINE void weighted_sum(const struct attend *a, size_t r, size_t d, const int nv, const bool f16)
{
    float *out = a->out + r * a->head_dim + d;
    __m256 acc[8];
    UNROLL for (int i = 0; i < nv; i++) { acc[i] = _mm256_loadu_ps(out + 8 * i); }
    for (size_t p = 0; p < a->n_pos; p++) {
        __m256 w = _mm256_set1_ps(weight(a, r, p, f16));
        UNROLL for (int i = 0; i < nv; i++)
        {
            __m256 x = load_8(a->kv, p * a->pos_stride + d + 8 * (size_t)i, f16);
            acc[i] = _mm256_add_ps(acc[i], _mm256_mul_ps(w, x));
        }
    }
    UNROLL for (int i = 0; i < nv; i++) { _mm256_storeu_ps(out + 8 * i, acc[i]); }
}

INLINE void av_row(const struct attend *a, size_t r, const bool f16)
{
    size_t d = 0;
    for (; d + 64 <= a->head_dim; d += 64) { weighted_sum(a, r, d, 8, f16); }
    for (; d + 8 <= a->head_dim; d += 8) { weighted_sum(a, r, d, 1, f16); }
    for (; d < a->head_dim; d++) {
        float sum = a->out[r * a->head_dim + d];
        for (size_t p = 0; p < a->n_pos; p++) {
            sum += weight(a, r, p, f16) * load_1(a->kv, p * a->pos_stride + d, f16);
        }
        a->out[r * a->head_dim + d] = sum;
    }
}

static void av_f16(const struct attend *a)
{
    for (size_t r = 0; r < a->n_rows; r++) { av_row(a, r, true); }
}

static void av_i8(const struct attend *a)
{
    for (size_t r = 0; r < a->n_rows; r++) { av_row(a, r, false); }
}

static float max_of(const float *x, size_t n)
{
    __m256 most = _mm256_set1_ps(-INFINITY);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        most = _mm256_max_ps(_mm256_loadu_ps(x + i), most);
    }
    float lane[8], max = -INFINITY;
    _mm256_storeu_ps(lane, most);
    for (size_t j = 0; j < 8; j++) {
        max = lane[j] > max ? lane[j] : max;
    }
    for (; i < n; i++) {
        max = x[i] > max ? x[i] : max;
    }
    return max;
}

static void softmax(float *x, size_t n)
{
    float max = max_of(x, n), lane[32];
    __m256 max8 = _mm256_set1_ps(max);
    __m256 sum[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(),
                     _mm256_setzero_ps()};
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        UNROLL for (size_t j = 0; j < 4; j++)
        {
            __m256 e = exp8(_mm256_sub_ps(_mm256_loadu_ps(x + i + 8 * j), max8));
            _mm256_storeu_ps(x + i + 8 * j, e);
            sum[j] = _mm256_add_ps(sum[j], e);
        }
    }
    store_lanes(lane, sum);
    for (; i < n; i++) {
        x[i] = exp_spec(x[i] - max);
        lane[i % 32] += x[i];
    }
    float inverse = 1.0f / fold_lanes(lane);
    for (i = 0; i + 8 <= n; i += 8) {
        _mm256_storeu_ps(x + i, _mm256_mul_ps(_mm256_loadu_ps(x + i), _mm256_set1_ps(inverse)));
    }
    for (; i < n; i++) {
        x[i] *= inverse;
    }
}

void fill_avx2_attention(struct attention_kernels *a)
{
    a->qk_f16 = qk_f16;
    a->qk_i8 = qk_i8;
    a->av_f16 = av_f16;
    a->av_i8 = av_i8;
    a->softmax = softmax;
}
