/* head.c: see head.h. */
#include "src/head.h"

#include <string.h>

#include "src/head_search.h"

enum { MOST_RESTS = 31 }; /* steps without a search */
/* The largest share of rows scored whole at which a search of the upper plane, of both, pays. */
static const double worth[2] = {0.33, 0.125};

void head_lay_out(struct head *h, struct arena *a, struct projector *p, const struct matrix *w,
                  size_t n_most)
{
    size_t n = w->encoding == ENC_I8X2 ? n_most : 0;
    *h = (struct head){.projector = p, .w = w, .n_most = n_most,
                       .stride = layout_blocks(w->n_rows) * BLOCK_ROWS};
    h->logits = arena_take(a, 2 * n_most, h->stride * sizeof *h->logits);
    h->wishes = arena_take(a, n_most, sizeof *h->wishes);
    h->bounds = arena_take(a, n, sizeof *h->bounds);
    h->best = arena_take(a, n, HEAD_MAX_BEST * sizeof *h->best);
    h->least = arena_take(a, n, sizeof *h->least);
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
    const size_t n = a->n_tok * a->h->stride, part = n / BLOCK_ROWS / (size_t)n_workers * BLOCK_ROWS;
    const size_t begin = (size_t)worker * part, end = worker + 1 < n_workers ? begin + part : n;
    float *y = a->h->logits;
    a->h->projector->kernels->element.add(y + begin, y + n + begin, end - begin);
}

static void score_all(struct head *h, size_t n_tok)
{
    struct linear l = {.w = *h->w};
    struct product out = {&l, h->logits, h->stride};
    struct adding a = {h, n_tok};
    project_multiply(h->projector, 2 * n_tok, ACT_I8, 0, &out, 1);
    pool_run_sized(h->projector->pool, 2 * n_tok * h->stride * sizeof *h->logits, add_share, &a);
}

static void score_floats(struct head *h, const float *hidden, size_t hidden_stride, size_t n_tok)
{
    struct projector *p = h->projector;
    struct linear l = {.w = *h->w};
    struct product out = {&l, h->logits, h->stride};
    size_t n = h->w->n_cols, stride = act_stride(n);
    for (size_t t = 0; t < n_tok; t++) {
        memcpy(p->f + t * stride, hidden + t * hidden_stride, n * sizeof *p->f);
        memset(p->f + t * stride + n, 0, (stride - n) * sizeof *p->f);
    }
    project_multiply(p, n_tok, ACT_F32, 0, &out, 1);
}

void head_run(struct head *h, const float *hidden, size_t hidden_stride, size_t n_tok)
{
    h->searched = false;
    if (h->projector->act == BITNET_ACT_F32 || h->w->encoding == ENC_F16) {
        score_floats(h, hidden, hidden_stride, n_tok);
        return;
    }
    quantize_twice(h->projector, hidden, hidden_stride, n_tok, h->w->n_cols);
    bool few = false;
    for (size_t t = 0; h->w->encoding == ENC_I8X2 && t < n_tok; t++)
        few = few || h->wishes[t].n_best > 0;
    for (size_t i = 0; i < 2; i++) {
        struct head_rest *rest = &h->rests[i];
        if (few && rest->n_left == 0) {
            size_t longer = rest->n_first < MOST_RESTS ? 2 * rest->n_first + 1 : MOST_RESTS;
            rest->n_first = head_search(h, n_tok, i == 1) > worth[i] ? longer : 0;
            rest->n_left = rest->n_first;
            h->searched = true;
            return;
        }
        rest->n_left -= rest->n_left > 0;
    }
    score_all(h, n_tok);
}
