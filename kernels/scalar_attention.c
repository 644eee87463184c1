/* scalar_attention.c: the specification of attention's inner loops, one head at a time. */
#include "kernels/expf.h"
#include "kernels/kernels.h"

static void qk_f16(float *scores, const float *q, const uint16_t *k, size_t pos_stride,
                   size_t n_pos, size_t head_dim, float scale)
{
    for (size_t p = 0; p < n_pos; p++, k += pos_stride) {
        float lane[32] = {0};
        for (size_t d = 0; d < head_dim; d++) {
            lane[d % 32] += q[d] * half_to_float(k[d]);
        }
        scores[p] = fold_lanes(lane) * scale;
    }
}

static void qk_i8(float *scores, const float *q, const int8_t *k, const float *k_scale,
                  size_t pos_stride, size_t scale_stride, size_t n_pos, size_t head_dim,
                  float scale)
{
    for (size_t p = 0; p < n_pos; p++, k += pos_stride) {
        float lane[32] = {0};
        for (size_t d = 0; d < head_dim; d++) {
            lane[d % 32] += q[d] * (float)k[d];
        }
        scores[p] = fold_lanes(lane) * (k_scale[p * scale_stride] * scale);
    }
}

static void av_f16(float *out, const float *p_weight, const uint16_t *v, size_t pos_stride,
                   size_t n_pos, size_t head_dim)
{
    memset(out, 0, head_dim * sizeof *out);
    for (size_t p = 0; p < n_pos; p++, v += pos_stride) {
        for (size_t d = 0; d < head_dim; d++) {
            out[d] += p_weight[p] * half_to_float(v[d]);
        }
    }
}

static void av_i8(float *out, const float *p_weight, const int8_t *v, const float *v_scale,
                  size_t pos_stride, size_t scale_stride, size_t n_pos, size_t head_dim)
{
    memset(out, 0, head_dim * sizeof *out);
    for (size_t p = 0; p < n_pos; p++, v += pos_stride) {
        float weight = p_weight[p] * v_scale[p * scale_stride];
        for (size_t d = 0; d < head_dim; d++) {
            out[d] += weight * (float)v[d];
        }
    }
}

static void softmax(float *x, size_t n)
{
    float max = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        max = x[i] > max ? x[i] : max;
    }
    float lane[32] = {0};
    for (size_t i = 0; i < n; i++) {
        x[i] = exp_spec(x[i] - max);
        lane[i % 32] += x[i];
    }
    float inverse = 1.0f / fold_lanes(lane);
    for (size_t i = 0; i < n; i++) {
        x[i] *= inverse;
    }
}

void fill_scalar_attention(struct attention_kernels *a)
{
    a->qk_f16 = qk_f16;
    a->qk_i8 = qk_i8;
    a->av_f16 = av_f16;
    a->av_i8 = av_i8;
    a->softmax = softmax;
}
