/* scalar_attention.c: the specification of attention's inner loops. */
#include "kernels/expf.h"
#include "kernels/kernels.h"

static void qk_f16(const struct attend *a)
{
    for (size_t r = 0; r < a->n_rows; r++) {
        const float *q = a->q + r * a->head_dim;
        for (size_t p = 0; p < a->n_pos; p++) {
            const uint16_t *k = (const uint16_t *)a->kv + p * a->pos_stride;
            float lane[32] = {0};
            for (size_t d = 0; d < a->head_dim; d++) {
                lane[d % 32] += q[d] * half_to_float(k[d]);
            }
            a->scores[r * a->score_stride + p] = fold_lanes(lane) * a->scale;
        }
    }
}

static void qk_i8(const struct attend *a)
{
    for (size_t r = 0; r < a->n_rows; r++) {
        const float *q = a->q + r * a->head_dim;
        for (size_t p = 0; p < a->n_pos; p++) {
            const int8_t *k = (const int8_t *)a->kv + p * a->pos_stride;
            float lane[32] = {0};
            for (size_t d = 0; d < a->head_dim; d++) {
                lane[d % 32] += q[d] * (float)k[d];
            }
            float scale = a->kv_scale[p * a->scale_stride] * a->scale;
            a->scores[r * a->score_stride + p] = fold_lanes(lane) * scale;
        }
    }
}

static void av_f16(const struct attend *a)
{
    for (size_t r = 0; r < a->n_rows; r++) {
        float *out = a->out + r * a->head_dim;
        for (size_t p = 0; p < a->n_pos; p++) {
            const uint16_t *v = (const uint16_t *)a->kv + p * a->pos_stride;
            float weight = a->scores[r * a->score_stride + p];
            for (size_t d = 0; d < a->head_dim; d++) {
                out[d] += weight * half_to_float(v[d]);
            }
        }
    }
}

static void av_i8(const struct attend *a)
{
    for (size_t r = 0; r < a->n_rows; r++) {
        float *out = a->out + r * a->head_dim;
        for (size_t p = 0; p < a->n_pos; p++) {
            const int8_t *v = (const int8_t *)a->kv + p * a->pos_stride;
            float weight = a->scores[r * a->score_stride + p] * a->kv_scale[p * a->scale_stride];
            for (size_t d = 0; d < a->head_dim; d++) {
                out[d] += weight * (float)v[d];
            }
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
