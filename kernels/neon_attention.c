/* neon_attention.c: scalar_attention.c, 32 lanes in eight registers; columns past the last whole
 * 32 (4 for the values) go through the specification's own scalar line. */
#include "kernels/kernels.h"
#include "kernels/neon_math.h"

/* Keys and values of either kind: element `at` and the seven after it. */
INLINE void load_8(float32x4_t out[2], const void *base, size_t at, const bool f16)
{
    if (f16) {
        uint16x8_t half = vld1q_u16((const uint16_t *)base + at);
        out[0] = vcvt_f32_f16(vreinterpret_f16_u16(vget_low_u16(half)));
        out[1] = vcvt_f32_f16(vreinterpret_f16_u16(vget_high_u16(half)));
        return;
    }
    int16x8_t wide = vmovl_s8(vld1_s8((const int8_t *)base + at));
    out[0] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide)));
    out[1] = vcvtq_f32_s32(vmovl_s16(vget_high_s16(wide)));
}

INLINE float load_1(const void *base, size_t at, const bool f16)
{
    return f16 ? half_to_float(((const uint16_t *)base)[at]) : (float)((const int8_t *)base)[at];
}

/* As fold_lanes. */
INLINE float fold(const float32x4_t lane[8])
{
    float32x4_t a = vaddq_f32(vaddq_f32(lane[0], lane[4]), vaddq_f32(lane[2], lane[6]));
    float32x4_t b = vaddq_f32(vaddq_f32(lane[1], lane[5]), vaddq_f32(lane[3], lane[7]));
    float32x4_t sum4 = vaddq_f32(a, b);
    float32x2_t sum2 = vadd_f32(vget_low_f32(sum4), vget_high_f32(sum4));
    return vget_lane_f32(sum2, 0) + vget_lane_f32(sum2, 1);
}

INLINE float dot(const float *q, const void *k, size_t at, size_t head_dim, const bool f16)
{
    float32x4_t sum[8];
    zero_lanes(sum);
    size_t d = 0;
    for (; d + 32 <= head_dim; d += 32) {
        UNROLL for (size_t j = 0; j < 8; j += 2)
        {
            float32x4_t k8[2];
            load_8(k8, k, at + d + 4 * j, f16);
            sum[j] = vaddq_f32(sum[j], vmulq_f32(vld1q_f32(q + d + 4 * j), k8[0]));
            sum[j + 1] = vaddq_f32(sum[j + 1], vmulq_f32(vld1q_f32(q + d + 4 * j + 4), k8[1]));
        }
    }
    if (d == head_dim) {
        return fold(sum);
    }
    float lane[32];
    store_lanes(lane, sum);
    for (; d < head_dim; d++) {
        lane[d % 32] += q[d] * load_1(k, at + d, f16);
    }
    return fold_lanes(lane);
}

static void qk_f16(const struct attend *a)
{
    for (size_t r = 0; r < a->n_rows; r++) {
        const float *q = a->q + r * a->head_dim;
        for (size_t p = 0; p < a->n_pos; p++) {
            float sum = dot(q, a->kv, p * a->pos_stride, a->head_dim, true);
            a->scores[r * a->score_stride + p] = sum * a->scale;
        }
    }
}

static void qk_i8(const struct attend *a)
{
    for (size_t r = 0; r < a->n_rows; r++) {
        const float *q = a->q + r * a->head_dim;
        for (size_t p = 0; p < a->n_pos; p++) {
            float sum = dot(q, a->kv, p * a->pos_stride, a->head_dim, false);
            float scale = a->kv_scale[p * a->scale_stride] * a->scale;
            a->scores[r * a->score_stride + p] = sum * scale;
        }
    }
}

/* The weight of position p for row r. */
INLINE float weight(const struct attend *a, size_t r, size_t p, const bool f16)
{
    float w = a->scores[r * a->score_stride + p];
    return f16 ? w : w * a->kv_scale[p * a->scale_stride];
}

/* nv pairs of registers of row r of the output, columns d on, over the positions. */
INLINE void weighted_sum(const struct attend *a, size_t r, size_t d, const int nv, const bool f16)
{
    float *out = a->out + r * a->head_dim + d;
    float32x4_t acc[8][2];
    UNROLL for (int i = 0; i < nv; i++)
    {
        acc[i][0] = vld1q_f32(out + 8 * i);
        acc[i][1] = vld1q_f32(out + 8 * i + 4);
    }
    for (size_t p = 0; p < a->n_pos; p++) {
        float32x4_t w = vdupq_n_f32(weight(a, r, p, f16));
        UNROLL for (int i = 0; i < nv; i++)
        {
            float32x4_t x[2];
            load_8(x, a->kv, p * a->pos_stride + d + 8 * (size_t)i, f16);
            acc[i][0] = vaddq_f32(acc[i][0], vmulq_f32(w, x[0]));
            acc[i][1] = vaddq_f32(acc[i][1], vmulq_f32(w, x[1]));
        }
    }
    UNROLL for (int i = 0; i < nv; i++)
    {
        vst1q_f32(out + 8 * i, acc[i][0]);
        vst1q_f32(out + 8 * i + 4, acc[i][1]);
    }
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
    float32x4_t most = vdupq_n_f32(-INFINITY);
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        most = vmaxq_f32(most, vld1q_f32(x + i));
    }
    float max = vmaxvq_f32(most);
    for (; i < n; i++) {
        max = x[i] > max ? x[i] : max;
    }
    return max;
}

static void softmax(float *x, size_t n)
{
    float max = max_of(x, n), lane[32];
    float32x4_t sum[8], max4 = vdupq_n_f32(max);
    zero_lanes(sum);
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        UNROLL for (size_t j = 0; j < 8; j++)
        {
            float32x4_t e = exp4(vsubq_f32(vld1q_f32(x + i + 4 * j), max4));
            vst1q_f32(x + i + 4 * j, e);
            sum[j] = vaddq_f32(sum[j], e);
        }
    }
    store_lanes(lane, sum);
    for (; i < n; i++) {
        x[i] = exp_spec(x[i] - max);
        lane[i % 32] += x[i];
    }
    float inverse = 1.0f / fold_lanes(lane);
    for (i = 0; i + 4 <= n; i += 4) {
        vst1q_f32(x + i, vmulq_f32(vld1q_f32(x + i), vdupq_n_f32(inverse)));
    }
    for (; i < n; i++) {
        x[i] *= inverse;
    }
}

void fill_neon_attention(struct attention_kernels *a)
{
    a->qk_f16 = qk_f16;
    a->qk_i8 = qk_i8;
    a->av_f16 = av_f16;
    a->av_i8 = av_i8;
    a->softmax = softmax;
}
