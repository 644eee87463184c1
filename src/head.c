/* head.c: see head.h. */
#include "src/head.h"

#include <string.h>

#include "src/head_search.h"

enum {
    MOST_RESTS = 31, /* steps without a search */
    LEAST_TOK = 4,   /* of a search of bytes: reading them takes longest where there are fewer */
};

void head_lay_out(struct head *h, struct arena *a, struct projector *p, const struct matrix *w,
                  size_t n_most)
{
    size_t n = w->encoding == ENC_I8 || w->encoding == ENC_I8X2 ? n_most : 0;
    *h = (struct head){.projector = p, .w = w, .n_most = n_most,
                       .stride = layout_blocks(w->n_rows) * BLOCK_ROWS};
    h->logits = arena_take(a, 2 * n_most, h->stride * sizeof *h->logits);
    h->wishes = arena_take(a, n_most, sizeof *h->wishes);
    h->bounds = arena_take(a, n, sizeof *h->bounds);
    h->best = arena_take(a, n, HEAD_MAX_BEST * sizeof *h->best);
    h->least = arena_take(a, n, sizeof *h->least);
    h->norms = arena_take(a, w->encoding == ENC_I8, h->stride * sizeof *h->norms);
}

/* Row t of the quantized buffers: hidden[t]; row n_tok + t: what its rounding left over. */
static void quantize_twice(struct projector *p, const float *hidden, size_t hidden_stride,
                           size_t n_tok, size_t n)
{
    size_t stride = act_stride(n);
    for (size_t t = 0; t < n_tok; t++) {
        const float *x = hidden + t * hidden_stride;
        for (size_t row = t; row < 2 * n_tok; row += n_tok) {
            int8_t *q = p->q + row * stride;
            p->kernels->element.quantize(q, p->sum32 + row * (stride / 32), p->scale + row, x, n,
                                         stride, 0, 127);
            for (size_t i = 0; row == t && i < n; i++)
                p->f[i] = x[i] - (float)q[i] * p->scale[row];
            x = p->f;
        }
    }
}

struct adding {
    struct head *h;
    size_t n_tok;
};

/* Logits of the second terms to those of the first. */
static void add_share(void *ctx, int worker, int n_workers)
{
    const struct adding *a = ctx;
    const size_t n = a->n_tok * a->h->stride;
    const size_t part = n / BLOCK_ROWS / (size_t)n_workers * BLOCK_ROWS;
    const size_t begin = (size_t)worker * part, end = worker + 1 < n_workers ? begin + part : n;
    float *y = a->h->logits;
    a->h->projector->kernels->element.add(y + begin, y + n + begin, end - begin);
}

static void score_all(struct head *h, size_t n_tok)
{
    struct linear l = {.w = *h->w};
    const struct products out = {.of = {{&l, h->logits, h->stride}}, .n = 1};
    struct adding a = {h, n_tok};
    project_multiply(h->projector, 2 * n_tok, ACT_I8, 0, &out);
    pool_run_sized(h->projector->pool, 2 * n_tok * h->stride * sizeof *h->logits, add_share, &a);
}

static void score_floats(struct head *h, const float *hidden, size_t hidden_stride, size_t n_tok)
{
    struct projector *p = h->projector;
    struct linear l = {.w = *h->w};
    const struct products out = {.of = {{&l, h->logits, h->stride}}, .n = 1};
    size_t n = h->w->n_cols, stride = act_stride(n);
    for (size_t t = 0; t < n_tok; t++) {
        memcpy(p->f + t * stride, hidden + t * hidden_stride, n * sizeof *p->f);
        memset(p->f + t * stride + n, 0, (stride - n) * sizeof *p->f);
    }
    project_multiply(p, n_tok, ACT_F32, 0, &out);
}

/* The largest share of rows scored whole at which a search of planes, the upper one or both, or of
 * bytes pays; and that at which it is better given up: a row of bytes costs a block. */
static double worth(const struct head *h, bool whole)
{
    return h->w->encoding == ENC_I8 ? 0.01 : whole ? 0.125 : 0.33;
}

static double bearable(const struct head *h)
{
    return h->w->encoding == ENC_I8 ? 0.03 : 1;
}

static bool may_search(const struct head *h, size_t n_tok)
{
    const size_t most = (size_t)(worth(h, true) * (double)h->w->n_rows);
    size_t n_some = 0, n_few = 0;
    for (size_t t = 0; t < n_tok; t++) {
        n_some += h->wishes[t].n_best > 0;
        n_few += h->wishes[t].n_best > 0 && h->wishes[t].n_best <= most;
    }
    if (h->w->encoding == ENC_I8)
        return n_tok >= LEAST_TOK && n_few == n_tok;
    return h->w->encoding == ENC_I8X2 && n_some > 0;
}

void head_run(struct head *h, const float *hidden, size_t hidden_stride, size_t n_tok)
{
    h->searched = false;
    if (h->projector->act == BITNET_ACT_F32 || h->w->encoding == ENC_F16) {
        score_floats(h, hidden, hidden_stride, n_tok);
        return;
    }
    quantize_twice(h->projector, hidden, hidden_stride, n_tok, h->w->n_cols);
    const bool may = may_search(h, n_tok);
    for (size_t whole = h->w->encoding == ENC_I8; whole < 2 && !h->searched; whole++) {
        struct head_rest *rest = &h->rests[whole];
        if (may && rest->n_left == 0) {
            size_t longer = rest->n_first < MOST_RESTS ? 2 * rest->n_first + 1 : MOST_RESTS;
            double share = head_search(h, n_tok, whole, bearable(h));
            rest->n_first = share > worth(h, whole) ? longer : 0;
            rest->n_left = rest->n_first;
            h->searched = share <= bearable(h);
        } else {
            rest->n_left -= rest->n_left > 0;
        }
    }
    if (!h->searched)
        score_all(h, n_tok);
}
