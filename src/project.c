/* project.c: see project.h. Threads split tokens while quantizing and row blocks while multiplying;
 * every number is computed by one thread, so their count cannot change a bit. */
#include "src/project.h"

#include <string.h>

#include "kernels/expf.h"

enum { FETCH_BYTES = 64 << 10 }; /* of activations; a part of the second cache */

/* Beyond so many tokens kernels may make tables of them anew for each share. */
enum { MANY_TOK = 16, LEAST_BLOCKS_MANY = 16 };

static size_t least_blocks(size_t n_blocks, size_t n_threads, size_t n_tok)
{
    const bool many = n_tok > MANY_TOK && n_blocks / n_threads >= 4 * LEAST_BLOCKS_MANY;
    return many ? LEAST_BLOCKS_MANY : LEAST_BLOCKS;
}

static uint32_t act_group(enum bitnet_act act)
{
    return act == BITNET_ACT_I8_G32 ? 32 : act == BITNET_ACT_I8_G128 ? 128 : 0;
}

static enum act_kind act_kind(enum bitnet_act act)
{
    switch (act) {
    case BITNET_ACT_F32: return ACT_F32;
    case BITNET_ACT_I4: return ACT_I4;
    case BITNET_ACT_SIGN: return ACT_SIGN;
    default: return ACT_I8;
    }
}

void project_lay_out(struct projector *p, struct arena *a, size_t n_threads, size_t max_tok,
                     size_t max_cols)
{
    size_t stride = act_stride(max_cols);
    p->max_tok = max_tok;
    p->max_cols = max_cols;
    p->q = arena_take(a, max_tok, stride);
    p->sum32 = arena_take(a, max_tok, stride / 32 * sizeof *p->sum32);
    p->scale = arena_take(a, max_tok, (max_cols / 32 + 1) * sizeof *p->scale);
    p->f = arena_take(a, max_tok, stride * sizeof *p->f);
    p->own = arena_take(a, max_tok, stride * sizeof *p->own);
    p->scratch = arena_take(a, n_threads, matmul_scratch_bytes(max_cols));
}

static bool check_pair(const struct kernels *k, const struct linear *l, enum bitnet_act act,
                       struct bitnet_error *err)
{
    if (kernels_matmul(k, &l->w, act_kind(act)) &&
        !((l->w.encoding == ENC_T1_6 || l->w.encoding == ENC_I8X2) && act_group(act)))
        return true;
    char name[16];
    layout_name(name, l->w.encoding, l->w.group);
    return fail(err, BITNET_USAGE,
                "%s weights do not take these activations; bitnet convert MODEL --body t2 makes "
                "ones that do, or leave out --act",
                name);
}

bool project_check(const struct model *m, const struct kernels *k, enum bitnet_act act,
                   struct bitnet_error *err)
{
    for (size_t i = 0; i < m->shape.n_layers; i++) {
        const struct layer *l = &m->layers[i];
        if (!check_pair(k, &l->q, act, err) || !check_pair(k, &l->k, act, err) ||
            !check_pair(k, &l->v, act, err) || !check_pair(k, &l->o, act, err) ||
            !check_pair(k, &l->gate, act, err) || !check_pair(k, &l->up, act, err) ||
            !check_pair(k, &l->down, act, err))
            return false;
    }
    return true;
}

struct quantizing {
    struct projector *p;
    const float *x, *gain;
    size_t x_stride, n_tok, n_cols;
};

static void quantize_token(const struct quantizing *z, size_t t)
{
    struct projector *p = z->p;
    const struct element_kernels *e = &p->kernels->element;
    size_t n = z->n_cols, stride = act_stride(n);
    const float *x = z->x + t * z->x_stride;
    int8_t *q = p->q + t * stride;
    int32_t *sum32 = p->sum32 + t * (stride / 32);
    uint32_t group = act_group(p->act);
    float *scale = p->scale + t * (group ? (n + group - 1) / group : 1);
    float *f = p->f + t * stride;
    int qmax = p->act == BITNET_ACT_I4 ? 7 : 127;
    if (p->act == BITNET_ACT_F32 || (p->act == BITNET_ACT_SIGN && z->gain)) {
        if (z->gain)
            e->rmsnorm(f, x, z->gain, n, p->norm_eps);
        else if (f != x)
            memcpy(f, x, n * sizeof *f);
        memset(f + n, 0, (stride - n) * sizeof *f);
        x = f;
    }
    if (p->act == BITNET_ACT_F32)
        return;
    if (p->act == BITNET_ACT_SIGN)
        e->quantize_sign(q, sum32, scale, x, n, stride);
    else if (z->gain)
        e->rmsnorm_quantize(q, sum32, scale, x, z->gain, n, stride, group, qmax, p->norm_eps);
    else
        e->quantize(q, sum32, scale, x, n, stride, group, qmax);
}

static void quantize_share(void *ctx, int worker, int n_workers)
{
    const struct quantizing *z = ctx;
    for (size_t t = (size_t)worker; t < z->n_tok; t += (size_t)n_workers)
        quantize_token(z, t);
}

static void quantize(struct quantizing *z)
{
    pool_run_sized(z->p->pool, z->n_tok * z->n_cols * sizeof(float), quantize_share, z);
}

struct multiplying {
    struct projector *p;
    struct activations x;
    const struct products *out;
    struct pool_shares shares; /* of the blocks: of one matrix and its likes, or laid end to end */
};

/* Blocks of one matrix. *last: what this worker multiplied before, NULL at first. */
static void multiply_blocks(const struct multiplying *z, int worker, const struct product *out,
                            size_t begin, size_t end, const struct matrix **last)
{
    struct projector *p = z->p;
    const struct matrix *m = &out->linear->w;
    struct matmul job = {out->y, out->y_stride, m, &z->x, begin, end,
                         p->scratch + (size_t)worker * matmul_scratch_bytes(p->max_cols),
                         *last && (*last)->encoding == m->encoding && (*last)->group == m->group};
    kernels_matmul(p->kernels, m, z->x.kind)(&job);
    *last = m;
}

static void multiply_side_by_side(const struct multiplying *z, int worker, size_t begin, size_t end,
                                  const struct matrix **last)
{
    const size_t n_rows = z->out->of[0].linear->w.n_rows, to = end * BLOCK_ROWS;
    for (size_t i = 0; i < z->out->n; i++)
        multiply_blocks(z, worker, &z->out->of[i], begin, end, last);
    z->out->then(z->out->ctx, begin * BLOCK_ROWS, to < n_rows ? to : n_rows);
}

static void multiply_end_to_end(const struct multiplying *z, int worker, size_t begin, size_t end,
                                const struct matrix **last)
{
    size_t first = 0;
    for (size_t i = 0; i < z->out->n; i++) {
        size_t n_blocks = layout_blocks(z->out->of[i].linear->w.n_rows);
        size_t from = begin > first ? begin - first : 0;
        size_t to = end > first ? end - first : 0;
        to = to < n_blocks ? to : n_blocks;
        if (from < to)
            multiply_blocks(z, worker, &z->out->of[i], from, to, last);
        first += n_blocks;
    }
}

/* What another core has quantized is here sooner when all of it is asked for at once than line by
 * line as the first block needs it: 1 % of a step of eight tokens. */
static void fetch(const struct activations *x)
{
    const size_t n_bytes = x->n_tok * x->q_stride;
    for (size_t i = 0; x->kind != ACT_F32 && i < n_bytes && i < FETCH_BYTES; i += LINE_BYTES)
        __builtin_prefetch(x->q + i);
}

static void multiply_share(void *ctx, int worker, int n_workers)
{
    struct multiplying *z = ctx;
    const struct matrix *last = NULL;
    size_t begin, end;
    (void)n_workers;
    fetch(&z->x);
    while (pool_take(&z->shares, worker, &begin, &end)) {
        if (z->out->then)
            multiply_side_by_side(z, worker, begin, end, &last);
        else
            multiply_end_to_end(z, worker, begin, end, &last);
    }
}

struct activations project_activations(const struct projector *p, size_t n_tok, size_t n_cols,
                                       enum act_kind kind, uint32_t group)
{
    return (struct activations){.q = p->q, .sum32 = p->sum32, .scale = p->scale, .f = p->f,
                                .n_tok = n_tok, .n_cols = n_cols, .q_stride = act_stride(n_cols),
                                .n_groups = group ? (n_cols + group - 1) / group : 1,
                                .group = group, .kind = (uint8_t)kind};
}

void project_multiply(struct projector *p, size_t n_tok, enum act_kind kind, uint32_t group,
                      const struct products *out)
{
    size_t n_cols = out->of[0].linear->w.n_cols;
    struct multiplying z;
    uint64_t n_bytes = 0;
    size_t n_blocks = 0;
    for (size_t i = 0; i < out->n; i++) {
        const struct matrix *w = &out->of[i].linear->w;
        size_t n = layout_blocks(w->n_rows);
        n_blocks = out->then ? n : n_blocks + n;
        n_bytes += n * layout_block_bytes(w->encoding, w->group, n_cols);
    }
    z.p = p, z.out = out, z.x = project_activations(p, n_tok, n_cols, kind, group);
    pool_share_out(&z.shares, p->pool, n_blocks,
                   least_blocks(n_blocks, (size_t)pool_threads(p->pool), n_tok));
    pool_run_sized(p->pool, n_bytes * n_tok, multiply_share, &z);
}

static bool stands_alone(const struct linear *l)
{
    return l->norm_in || l->in_bias || l->out_scale || l->w.scale_kind == SCALE_COLUMN;
}

/* y = (z - mean) / sqrt(variance + eps), z = y * scale; sums in the order of kernels.h */
static void scale_and_norm(float *y, const float *scale, size_t n, float eps)
{
    float sum[32] = {0}, square[32] = {0};
    for (size_t r = 0; r < n; r++) {
        y[r] *= scale[r];
        sum[r % 32] += y[r];
    }
    float mean = fold_lanes(sum) / (float)n;
    for (size_t r = 0; r < n; r++) {
        y[r] -= mean;
        square[r % 32] += y[r] * y[r];
    }
    float factor = rms_factor(fold_lanes(square), n, eps);
    for (size_t r = 0; r < n; r++)
        y[r] *= factor;
}

/* A matrix with companions: x is normed and scaled for it alone, and so is its output. */
static void project_own(struct projector *p, const float *x, size_t x_stride, size_t n_tok,
                        const float *gain, const struct product *out)
{
    const struct element_kernels *e = &p->kernels->element;
    const struct linear *l = out->linear;
    size_t n = l->w.n_cols, stride = act_stride(n);
    bool scaled = l->w.scale_kind == SCALE_COLUMN;
    for (size_t t = 0; t < n_tok; t++) {
        float *own = p->own + t * stride;
        if (gain)
            e->rmsnorm(own, x + t * x_stride, gain, n, p->norm_eps);
        else
            memcpy(own, x + t * x_stride, n * sizeof *own);
        if (l->norm_in)
            e->rmsnorm(own, own, l->norm_in, n, p->norm_eps);
        if (scaled)
            e->mul(p->f + t * stride, own, l->w.scale, n);
    }
    struct quantizing z = {p, scaled ? p->f : p->own, NULL, stride, n_tok, n};
    quantize(&z);
    const struct products alone = {.of = {*out}, .n = 1};
    project_multiply(p, n_tok, act_kind(p->act), act_group(p->act), &alone);
    for (size_t t = 0; l->in_bias && t < n_tok; t++) {
        float bias = 0;
        for (size_t k = 0; k < n; k++)
            bias += l->in_bias[k] * p->own[t * stride + k];
        for (size_t r = 0; r < l->w.n_rows; r++)
            out->y[t * out->y_stride + r] += bias;
    }
    for (size_t t = 0; l->out_scale && t < n_tok; t++)
        scale_and_norm(out->y + t * out->y_stride, l->out_scale, l->w.n_rows, p->out_norm_eps);
}

void project(struct projector *p, const float *x, size_t x_stride, size_t n_tok, const float *gain,
             const struct products *out)
{
    bool shared = true;
    for (size_t i = 0; i < out->n; i++)
        shared = shared && !stands_alone(out->of[i].linear);
    if (!shared) {
        for (size_t i = 0; i < out->n; i++)
            project_own(p, x, x_stride, n_tok, gain, &out->of[i]);
        if (out->then)
            out->then(out->ctx, 0, out->of[0].linear->w.n_rows);
        return;
    }
    struct quantizing z = {p, x, gain, x_stride, n_tok, out->of[0].linear->w.n_cols};
    quantize(&z);
    project_multiply(p, n_tok, act_kind(p->act), act_group(p->act), out);
}
