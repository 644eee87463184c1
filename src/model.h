/* model.h: the numbers and pointers of one network, all checked once when the file is opened.
 *
 * What a .bnp file says of its network, beside the tensors (keys of the metadata section; text,
 * u64 or f64; every key is required unless a default stands in brackets):
 *
 *     arch.name        text   "bitnet-b1.58", "bitnet", "llama", "qwen3": for people
 *     arch.n_layers n_embd n_ff n_heads n_kv_heads head_dim n_vocab n_ctx     u64
 *     arch.norm_eps    f64
 *     arch.out_norm_eps f64   [none]     of the norm that comes with every M.out_scale, below
 *     arch.ffn_act     text   "relu2" | "silu"
 *     arch.act         text   activations that weights meet: "i8" per token, "i8g32", "i8g128"
 *                             in groups, "f32", "i4" per token, "sign"
 *     rope.base        f64
 *     rope.pairing     text   "half": (j, j + n_rot/2) | "adjacent": (2j, 2j+1)
 *     rope.n_rot       u64    [head_dim]
 *     rope.scaling     text   ["none"] | "linear" | "yarn"
 *     rope.factor      f64    [1]        rope.n_ctx_orig  u64 [n_ctx]
 *     rope.attn_factor f64    [1]        multiplies yarn's 1 + 0.1 ln(factor)
 *     rope.beta_fast   f64    [32]       rope.beta_slow   f64 [1]
 *     pool             text   ["none"] | "last": an embedding model
 *     chat.template    text   [none]     name of a built-in template (src/template.h)
 *     info.*           text   provenance, never needed to run: info.name, info.source,
 *                             info.source_hash, info.converter, info.licence
 *
 * Any other key, or tensor, is one that this version does not understand: the file is refused.
 *
 * Tensors, [rows x columns]; N = 0 .. n_layers-1; q = n_heads*head_dim, kv = n_kv_heads*head_dim:
 *
 *     token_embd            [n_vocab x n_embd]    i8, f16, i6, i4 or any other encoding
 *     output                [n_vocab x n_embd]    absent: token_embd is the head too
 *     output_norm           [1 x n_embd]   f32, like every norm gain
 *     blk.N.attn_norm       [1 x n_embd]
 *     blk.N.attn_q          [q x n_embd]          blk.N.attn_k, attn_v   [kv x n_embd]
 *     blk.N.attn_q_norm     [1 x head_dim]        optional, with attn_k_norm
 *     blk.N.attn_sub_norm   [1 x q]               optional
 *     blk.N.attn_output     [n_embd x q]
 *     blk.N.ffn_norm        [1 x n_embd]
 *     blk.N.ffn_gate, ffn_up [n_ff x n_embd]
 *     blk.N.ffn_sub_norm    [1 x n_ff]            optional
 *     blk.N.ffn_down        [n_embd x n_ff]
 *
 * Any matrix M of a layer may have companions that change its input x or output y:
 *     M.norm_in  [1 x columns] f32   x is RMS-normed with this gain before M sees it
 *     M.in_bias  [1 x columns] f32   sum of in_bias[k] * x[k] is added to every y
 *     M.out_scale [1 x rows] f32     y[r] is multiplied by out_scale[r], then all of y layer-normed
 *                                    without gain or bias: (y - mean) / sqrt(variance + eps) with
 *                                    eps = arch.out_norm_eps, which the file must then have
 */
#ifndef BITNET_MODEL_H
#define BITNET_MODEL_H

#include "kernels/kernels.h"
#include "src/base.h"
#include "src/bnp.h"

struct linear {
    struct matrix w;
    const float *norm_in, *in_bias; /* [n_cols] or NULL */
    const float *out_scale;         /* [n_rows] or NULL */
};

struct layer {
    const float *attn_norm, *attn_sub_norm, *q_norm, *k_norm, *ffn_norm, *ffn_sub_norm;
    struct linear q, k, v, o, gate, up, down;
};

struct rope {
    double base, factor, attn_factor, beta_fast, beta_slow;
    size_t n_rot, n_ctx_orig;
    enum { ROPE_NONE, ROPE_LINEAR, ROPE_YARN } scaling;
    bool adjacent;
};

struct model {
    struct bitnet_shape shape;
    struct rope rope;
    struct layer *layers; /* [n_layers] */
    struct matrix embd, head;
    const float *output_norm;
    float norm_eps, out_norm_eps;
    enum { FFN_RELU2, FFN_SILU } ffn_act;
    enum bitnet_act act;
};

/* Checks that the file holds one whole network of a known kind: every key, tensor and shape. The
 * model points into the file's mapping, which must outlive it. */
bool model_open(struct model *m, const struct bnp *file, struct bitnet_error *err);
void model_close(struct model *m);

#endif
