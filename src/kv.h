/* kv.h: the keys and values of all sequences, preallocated.
 *
 *     layer 0 [ seq 0 [ kv head 0 [ pos 0: head_dim values | pos 1: ... | pos n_ctx-1 ] head 1 ... ] seq 1 ... ]
 *     layer 1 ...
 *
 * One run of positions per head, so attention reads it front to back. Values are f16, or int8
 * with one f32 scale per position and head (absmax / 127). */
#ifndef BITNET_KV_H
#define BITNET_KV_H

#include "src/arena.h"
#include "src/model.h"

struct kv {
    size_t n_layers, n_seqs, n_kv_heads, n_ctx, head_dim;
    enum bitnet_kv type;
    uint16_t *k16, *v16;       /* BITNET_KV_F16 */
    int8_t *k8, *v8;           /* BITNET_KV_I8 */
    float *k_scale, *v_scale;  /* one per position and head, BITNET_KV_I8 */
    size_t *n_tokens;          /* [n_seqs] */
};

void kv_lay_out(struct kv *kv, struct arena *a, const struct bitnet_shape *s, size_t n_ctx,
                size_t n_seqs, enum bitnet_kv type);
/* Index of (layer, seq, head, pos) in units of positions: times head_dim it addresses k and v, as
 * it stands the scales. */
size_t kv_position(const struct kv *kv, size_t layer, size_t seq, size_t head, size_t pos);
/* Writes one position: k and v hold [n_kv_heads][head_dim] floats. */
void kv_store(struct kv *kv, const struct kernels *kernels, size_t layer, size_t seq, size_t pos,
              const float *k, const float *v);
/* The first n_keep positions of `from` to `to`, in every layer. */
void kv_copy(struct kv *kv, size_t to, size_t from, size_t n_keep);

#endif
