/* attention.c: see attention.h. */
#include "src/attention.h"

#include <math.h>
#include <string.h>

enum {
    CHUNK = 64, /* positions: 16 KiB of keys of 128 halves, half of a first cache */
    MOST_ROWS = 16,
    MOST_SCORES = 1 << 19, /* of a thread: fewer rows together where the context is very long */
};

void attention_lay_out(struct attention *at, struct arena *a, const struct kv *kv, size_t n_heads,
                       size_t n_threads)
{
    at->kv = kv;
    at->n_heads = n_heads;
    at->scale = 1.0f / sqrtf((float)kv->head_dim);
    at->score_stride = (kv->n_ctx + 15) / 16 * 16;
    at->most_rows = MOST_ROWS;
    while (at->most_rows > 1 && at->most_rows * at->score_stride > MOST_SCORES)
        at->most_rows /= 2;
    at->scores = arena_take(a, n_threads * at->most_rows, at->score_stride * sizeof *at->scores);
}

/* Rows that look at the same keys: n_heads heads of each of n_tok tokens. */
struct rows {
    const struct attention *at;
    const struct attention_batch *b;
    size_t first_tok, n_tok, first_head, n_heads;
    size_t first_pos; /* of the keys and values, see kv_position */
    float *scores;
};

/* What token i of the rows sees: its position and those before it. */
static size_t n_seen(const struct rows *r, size_t i)
{
    return r->b->pos[r->first_tok + i] + 1;
}

/* The heads of token i over the positions of the chunk at p, none past its own. */
static struct attend heads_of(const struct rows *r, size_t i, size_t p)
{
    const struct kv *kv = r->at->kv;
    const size_t n = n_seen(r, i);
    const size_t at = (r->first_tok + i) * r->b->stride + r->first_head * kv->head_dim;
    return (struct attend){.q = r->b->q + at, .out = r->b->out + at,
                           .scores = r->scores + i * r->n_heads * r->at->score_stride + p,
                           .n_rows = r->n_heads, .score_stride = r->at->score_stride,
                           .pos_stride = kv->head_dim, .scale_stride = 1,
                           .n_pos = n <= p ? 0 : n - p < CHUNK ? n - p : CHUNK,
                           .head_dim = kv->head_dim, .scale = r->at->scale};
}

/* Scores of the chunk at p, for token i of the rows. */
static void add_scores(const struct rows *r, size_t i, size_t p)
{
    const struct kv *kv = r->at->kv;
    const struct attention_kernels *k = &r->at->kernels->attention;
    const size_t at = r->first_pos + p;
    struct attend a = heads_of(r, i, p);
    if (kv->type == BITNET_KV_F16) {
        a.kv = kv->k16 + at * kv->head_dim;
        k->qk_f16(&a);
    } else {
        a.kv = kv->k8 + at * kv->head_dim;
        a.kv_scale = kv->k_scale + at;
        k->qk_i8(&a);
    }
}

/* And its values, each times its score, into the outputs. */
static void add_values(const struct rows *r, size_t i, size_t p)
{
    const struct kv *kv = r->at->kv;
    const struct attention_kernels *k = &r->at->kernels->attention;
    const size_t at = r->first_pos + p;
    struct attend a = heads_of(r, i, p);
    if (kv->type == BITNET_KV_F16) {
        a.kv = kv->v16 + at * kv->head_dim;
        k->av_f16(&a);
    } else {
        a.kv = kv->v8 + at * kv->head_dim;
        a.kv_scale = kv->v_scale + at;
        k->av_i8(&a);
    }
}

/* Scores into shares that add up to one; outputs to zero. */
static void finish_scores(const struct rows *r, size_t i)
{
    struct attend a = heads_of(r, i, 0);
    for (size_t h = 0; h < r->n_heads; h++)
        r->at->kernels->attention.softmax(a.scores + h * a.score_stride, n_seen(r, i));
    memset(a.out, 0, r->n_heads * a.head_dim * sizeof *a.out);
}

static void attend(const struct rows *r)
{
    const size_t n_pos = n_seen(r, r->n_tok - 1);
    for (size_t p = 0; p < n_pos; p += CHUNK)
        for (size_t i = 0; i < r->n_tok; i++)
            add_scores(r, i, p);
    for (size_t i = 0; i < r->n_tok; i++)
        finish_scores(r, i);
    for (size_t p = 0; p < n_pos; p += CHUNK)
        for (size_t i = 0; i < r->n_tok; i++)
            add_values(r, i, p);
}

struct sharing {
    const struct attention *at;
    const struct attention_batch *b;
    size_t layer;
};

/* Tokens from t on, at most `most`, that follow each other in one sequence. */
static size_t n_following(const struct attention_batch *b, size_t t, size_t most)
{
    size_t n = 1;
    while (n < most && t + n < b->n_tok && b->seq[t + n] == b->seq[t])
        n++;
    return n;
}

/* Workers take rows in turn: in a long prompt later tokens see more positions. As many rows together
 * as leaves each worker some turns. */
static void share(void *ctx, int worker, int n_workers)
{
    const struct sharing *s = ctx;
    const struct attention *at = s->at;
    const struct attention_batch *b = s->b;
    const size_t group = at->n_heads / at->kv->n_kv_heads;
    size_t n_rows = at->most_rows, turn = 0;
    while (n_rows > 1 && b->n_tok * at->n_heads < 4 * n_rows * (size_t)n_workers)
        n_rows /= 2;
    struct rows r = {.at = at, .b = b,
                     .scores = at->scores + (size_t)worker * at->most_rows * at->score_stride};
    for (size_t t = 0; t < b->n_tok; t += r.n_tok) {
        r.first_tok = t;
        r.n_tok = n_following(b, t, group < n_rows ? n_rows / group : 1);
        for (size_t h = 0; h < at->n_heads; h += r.n_heads) {
            const size_t left = group - h % group;
            r.first_head = h;
            r.n_heads = left < n_rows ? left : n_rows;
            r.first_pos = kv_position(at->kv, s->layer, b->seq[t], h / group, 0);
            if (turn++ % (size_t)n_workers == (size_t)worker)
                attend(&r);
        }
    }
}

void attention_run(const struct attention *at, size_t layer, const struct attention_batch *b)
{
    struct sharing s = {at, b, layer};
    const uint64_t row_bytes = at->n_heads * at->kv->head_dim * 2 * sizeof(uint16_t);
    uint64_t n_pos = 0; /* what all heads together read of them is the work */
    for (size_t t = 0; t < b->n_tok; t++)
        n_pos += b->pos[t] + 1;
    pool_run_sized(at->pool, n_pos * row_bytes, share, &s);
}
