/* forward.c: the transformer, as the papers write it (Ma et al. 2024, arXiv:2402.17764, on the
 * Llama block of Touvron et al. 2023, arXiv:2302.13971):
 *
 *     x = embedding[token]
 *     for each layer:
 *         q, k, v = Wq h, Wk h, Wv h            h = norm(x)
 *         q, k = rope(q, pos), rope(k, pos)
 *         x = x + Wo subnorm(attention(q, K, V))
 *         x = x + Wdown subnorm(act(Wgate h) * Wup h)     h = norm(x)
 *     logits = Whead norm(x)
 *
 * Every W meets quantized activations (project.h). Tokens of one batch are independent but for the
 * keys and values of their own sequence, so how they are cut into batches changes no bit. */
#include "src/forward.h"

#include <string.h>

#include "src/fmath.h"

static size_t row_stride(size_t n)
{
    return (n + 15) / 16 * 16;
}

void forward_lay_out(struct forward *f, struct arena *a, const struct model *m, size_t n_threads,
                     const struct bitnet_session_options *o)
{
    const struct bitnet_shape *s = &m->shape;
    size_t n = o->max_batch, q = s->n_heads * s->head_dim, kv = s->n_kv_heads * s->head_dim;
    size_t max_cols = q > s->n_embd ? q : s->n_embd;
    max_cols = s->n_ff > max_cols ? s->n_ff : max_cols;
    size_t max_rows = 2 * o->max_logits > n ? 2 * o->max_logits : n;
    *f = (struct forward){.model = m, .embd_stride = row_stride(s->n_embd),
                          .q_stride = row_stride(q), .kv_stride = row_stride(kv),
                          .ff_stride = row_stride(s->n_ff)};
    f->projector.act = o->act;
    f->projector.norm_eps = m->norm_eps;
    f->projector.out_norm_eps = m->out_norm_eps;
    project_lay_out(&f->projector, a, n_threads, max_rows, max_cols);
    kv_lay_out(&f->kv, a, s, o->n_ctx, o->n_seqs, o->kv);
    rope_lay_out(&f->rope, a, &m->rope);
    f->x = arena_take(a, n, f->embd_stride * sizeof *f->x);
    f->y = arena_take(a, n, f->embd_stride * sizeof *f->y);
    f->q = arena_take(a, n, f->q_stride * sizeof *f->q);
    f->att = arena_take(a, n, f->q_stride * sizeof *f->att);
    f->k = arena_take(a, n, f->kv_stride * sizeof *f->k);
    f->v = arena_take(a, n, f->kv_stride * sizeof *f->v);
    f->gate = arena_take(a, n, f->ff_stride * sizeof *f->gate);
    f->up = arena_take(a, n, f->ff_stride * sizeof *f->up);
    f->cosine = arena_take(a, n, f->rope.n_pairs * sizeof *f->cosine);
    f->sine = arena_take(a, n, f->rope.n_pairs * sizeof *f->sine);
    attention_lay_out(&f->attention, a, &f->kv, s->n_heads, n_threads);
    f->seq = arena_take(a, n, sizeof *f->seq);
    f->pos = arena_take(a, n, sizeof *f->pos);
    f->hidden = arena_take(a, o->max_logits, f->embd_stride * sizeof *f->hidden);
    head_lay_out(&f->head, a, &f->projector, &m->head, o->max_logits);
}

/* What the steps of a layer between its products get. */
struct layer_run {
    struct forward *f;
    const struct layer *l;
    size_t layer_idx, n_tok;
};

/* Norms of heads, rotation, and the new position's keys and values into the cache. */
static void rotate_and_store(const struct layer_run *e, size_t t)
{
    struct forward *f = e->f;
    const struct bitnet_shape *s = &f->model->shape;
    const struct element_kernels *el = &f->kernels->element;
    float *q = f->q + t * f->q_stride, *k = f->k + t * f->kv_stride;
    if (e->l->q_norm) {
        for (size_t h = 0; h < s->n_heads; h++)
            el->rmsnorm(q + h * s->head_dim, q + h * s->head_dim, e->l->q_norm, s->head_dim,
                        f->model->norm_eps);
        for (size_t h = 0; h < s->n_kv_heads; h++)
            el->rmsnorm(k + h * s->head_dim, k + h * s->head_dim, e->l->k_norm, s->head_dim,
                        f->model->norm_eps);
    }
    const float *c = f->cosine + t * f->rope.n_pairs, *sn = f->sine + t * f->rope.n_pairs;
    size_t n_rot = f->model->rope.n_rot;
    if (f->model->rope.adjacent) {
        el->rope_adjacent(q, c, sn, s->n_heads, s->head_dim, n_rot);
        el->rope_adjacent(k, c, sn, s->n_kv_heads, s->head_dim, n_rot);
    } else {
        el->rope_half(q, c, sn, s->n_heads, s->head_dim, n_rot);
        el->rope_half(k, c, sn, s->n_kv_heads, s->head_dim, n_rot);
    }
    kv_store(&f->kv, f->kernels, e->layer_idx, f->seq[t], f->pos[t], k, f->v + t * f->kv_stride);
}

static void rotate_share(void *ctx, int worker, int n_workers)
{
    const struct layer_run *e = ctx;
    for (size_t t = (size_t)worker; t < e->n_tok; t += (size_t)n_workers)
        rotate_and_store(e, t);
}

/* gate = act(gate) * up, columns [begin, end) */
static void activate(void *ctx, size_t begin, size_t end)
{
    const struct layer_run *e = ctx;
    const struct element_kernels *el = &e->f->kernels->element;
    for (size_t t = 0; t < e->n_tok; t++) {
        float *gate = e->f->gate + t * e->f->ff_stride + begin;
        const float *up = e->f->up + t * e->f->ff_stride + begin;
        if (e->f->model->ffn_act == FFN_RELU2)
            el->relu2_mul(gate, gate, up, end - begin);
        else
            el->silu_mul(gate, gate, up, end - begin);
    }
}

/* x = x + y, columns [begin, end) */
static void add_block(void *ctx, size_t begin, size_t end)
{
    const struct layer_run *e = ctx;
    const size_t stride = e->f->embd_stride;
    for (size_t t = 0; t < e->n_tok; t++)
        e->f->kernels->element.add(e->f->x + t * stride + begin, e->f->y + t * stride + begin,
                                   end - begin);
}

static void run_layer(struct forward *f, size_t layer_idx, size_t n_tok)
{
    const struct layer *l = &f->model->layers[layer_idx];
    struct layer_run e = {f, l, layer_idx, n_tok};

    const struct products qkv = {{{&l->q, f->q, f->q_stride},
                                  {&l->k, f->k, f->kv_stride},
                                  {&l->v, f->v, f->kv_stride}}, 3, NULL, NULL};
    project(&f->projector, f->x, f->embd_stride, n_tok, l->attn_norm, &qkv);
    pool_run_sized(f->pool, n_tok * f->q_stride * sizeof *f->q, rotate_share, &e);
    const struct attention_batch heads = {f->q, f->att, f->q_stride, n_tok, f->seq, f->pos};
    attention_run(&f->attention, layer_idx, &heads);
    const struct products o = {{{&l->o, f->y, f->embd_stride}}, 1, add_block, &e};
    project(&f->projector, f->att, f->q_stride, n_tok, l->attn_sub_norm, &o);

    const struct products gate_up = {{{&l->gate, f->gate, f->ff_stride},
                                      {&l->up, f->up, f->ff_stride}}, 2, activate, &e};
    project(&f->projector, f->x, f->embd_stride, n_tok, l->ffn_norm, &gate_up);
    const struct products down = {{{&l->down, f->y, f->embd_stride}}, 1, add_block, &e};
    project(&f->projector, f->gate, f->ff_stride, n_tok, l->ffn_sub_norm, &down);
}

void forward_run(struct forward *f, const struct bitnet_input *in, size_t n_tok)
{
    const struct model *m = f->model;
    for (size_t t = 0; t < n_tok; t++) {
        f->seq[t] = in[t].seq;
        f->pos[t] = f->kv.n_tokens[in[t].seq]++;
        layout_row(f->x + t * f->embd_stride, &m->embd, (size_t)in[t].token);
        rope_angles(&f->rope, f->pos[t], f->cosine + t * f->rope.n_pairs,
                    f->sine + t * f->rope.n_pairs);
    }
    for (size_t i = 0; i < m->shape.n_layers; i++)
        run_layer(f, i, n_tok);

    size_t n_wanted = 0;
    for (size_t t = 0; t < n_tok; t++) {
        if (in[t].want_logits)
            f->kernels->element.rmsnorm(f->hidden + n_wanted++ * f->embd_stride,
                                        f->x + t * f->embd_stride, m->output_norm,
                                        m->shape.n_embd, m->norm_eps);
    }
    if (n_wanted > 0)
        head_run(&f->head, f->hidden, f->embd_stride, n_wanted);
}
