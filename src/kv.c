/* kv.c: see kv.h. */
#include "src/kv.h"

#include <math.h>
#include <string.h>

void kv_lay_out(struct kv *kv, struct arena *a, const struct bitnet_shape *s, size_t n_ctx,
                size_t n_seqs, enum bitnet_kv type)
{
    *kv = (struct kv){.n_layers = s->n_layers, .n_seqs = n_seqs, .n_kv_heads = s->n_kv_heads,
                      .n_ctx = n_ctx, .head_dim = s->head_dim, .type = type};
    uint64_t n_positions = s->n_layers * s->n_kv_heads;
    if (!mul_u64(n_positions, n_seqs, &n_positions) || !mul_u64(n_positions, n_ctx, &n_positions)) {
        a->overflow = true;
        return;
    }
    if (type == BITNET_KV_F16) {
        kv->k16 = arena_take(a, n_positions, s->head_dim * sizeof *kv->k16);
        kv->v16 = arena_take(a, n_positions, s->head_dim * sizeof *kv->v16);
    } else {
        kv->k8 = arena_take(a, n_positions, s->head_dim);
        kv->v8 = arena_take(a, n_positions, s->head_dim);
        kv->k_scale = arena_take(a, n_positions, sizeof *kv->k_scale);
        kv->v_scale = arena_take(a, n_positions, sizeof *kv->v_scale);
    }
    kv->n_tokens = arena_take(a, n_seqs, sizeof *kv->n_tokens);
}

size_t kv_position(const struct kv *kv, size_t layer, size_t seq, size_t head, size_t pos)
{
    return ((layer * kv->n_seqs + seq) * kv->n_kv_heads + head) * kv->n_ctx + pos;
}

/* One head's vector as int8: half to even, by the absolute maximum. A NaN becomes the scale, so that
 * whatever reads the vector shows it. */
static void store_i8(int8_t *out, float *scale, const float *x, size_t n)
{
    float max = 1e-5f;
    for (size_t i = 0; i < n; i++) {
        float a = fabsf(x[i]);
        max = a > max || isnan(a) ? a : max;
    }
    float inverse = 127.0f / max;
    for (size_t i = 0; i < n; i++) { /* adding 1.5 * 2^23 rounds to the nearest integer */
        float q = (x[i] * inverse + 12582912.0f) - 12582912.0f;
        out[i] = (int8_t)(q > -127 ? q : -127); /* NaN, which is no int8, becomes -127 */
    }
    *scale = max / 127.0f;
}

void kv_store(struct kv *kv, const struct kernels *kernels, size_t layer, size_t seq, size_t pos,
              const float *k, const float *v)
{
    size_t n = kv->head_dim;
    for (size_t head = 0; head < kv->n_kv_heads; head++) {
        size_t at = kv_position(kv, layer, seq, head, pos);
        if (kv->type == BITNET_KV_F16) {
            kernels->element.to_f16(kv->k16 + at * n, k + head * n, n);
            kernels->element.to_f16(kv->v16 + at * n, v + head * n, n);
        } else {
            store_i8(kv->k8 + at * n, &kv->k_scale[at], k + head * n, n);
            store_i8(kv->v8 + at * n, &kv->v_scale[at], v + head * n, n);
        }
    }
}

void kv_copy(struct kv *kv, size_t to, size_t from, size_t n_keep)
{
    if (to == from)
        return;
    for (size_t layer = 0; layer < kv->n_layers; layer++) {
        for (size_t head = 0; head < kv->n_kv_heads; head++) {
            size_t a = kv_position(kv, layer, to, head, 0), n = kv->head_dim;
            size_t b = kv_position(kv, layer, from, head, 0);
            if (kv->type == BITNET_KV_F16) {
                memcpy(kv->k16 + a * n, kv->k16 + b * n, n_keep * n * sizeof *kv->k16);
                memcpy(kv->v16 + a * n, kv->v16 + b * n, n_keep * n * sizeof *kv->v16);
            } else {
                memcpy(kv->k8 + a * n, kv->k8 + b * n, n_keep * n);
                memcpy(kv->v8 + a * n, kv->v8 + b * n, n_keep * n);
                memcpy(kv->k_scale + a, kv->k_scale + b, n_keep * sizeof *kv->k_scale);
                memcpy(kv->v_scale + a, kv->v_scale + b, n_keep * sizeof *kv->v_scale);
            }
        }
    }
}
