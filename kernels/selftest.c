/* selftest.c: see selftest.h. The data are fixed by a seed: random weights with a row of largest
 * and a row of smallest among them, random activations with a token of largest and one of smallest,
 * so that an intermediate that saturates shows. Every matrix entry is called with one token and
 * with all of them, since these go through different code. */
#include <stdlib.h>
#include <string.h>

#include "kernels/selftest.h"

enum { N_BLOCKS = 5 };

static const struct matrix_row {
    const char *name;
    size_t offset; /* in struct matrix_kernels */
    enum encoding encoding;
    uint32_t group;
    enum act_kind act;
    uint32_t act_group;
} matrix_rows[] = {
#define ENTRY(member) #member, offsetof(struct matrix_kernels, member)
    {ENTRY(t2_i8), ENC_T2, 0, ACT_I8, 0},       {ENTRY(t2_i8), ENC_T2, 64, ACT_I8, 0},
    {ENTRY(t2_i8), ENC_T2, 0, ACT_I8, 32},      {ENTRY(t1_6_i8), ENC_T1_6, 0, ACT_I8, 0},
    {ENTRY(b1_i8), ENC_B1, 0, ACT_I8, 0},       {ENTRY(b1_i8), ENC_B1, 128, ACT_I8, 0},
    {ENTRY(b1_i8), ENC_B1, 128, ACT_I8, 32},    {ENTRY(b1_sign), ENC_B1, 0, ACT_SIGN, 0},
    {ENTRY(b1_sign), ENC_B1, 128, ACT_SIGN, 0}, {ENTRY(b1_planes), ENC_B1, 0, ACT_I4, 0},
    {ENTRY(b1_planes), ENC_B1, 0, ACT_I8, 0},   {ENTRY(t2_planes), ENC_T2, 0, ACT_I4, 0},
    {ENTRY(t2_planes), ENC_T2, 64, ACT_I8, 0},  {ENTRY(i8_i8), ENC_I8, 0, ACT_I8, 0},
    {ENTRY(i8_i8), ENC_I8, 0, ACT_I8, 32},      {ENTRY(i6_i8), ENC_I6, 32, ACT_I8, 0},
    {ENTRY(i8x2_i8), ENC_I8X2, 0, ACT_I8, 0},
    {ENTRY(i4_i8), ENC_I4, 32, ACT_I8, 128},    {ENTRY(t2_f32), ENC_T2, 0, ACT_F32, 0},
    {ENTRY(t1_6_f32), ENC_T1_6, 0, ACT_F32, 0}, {ENTRY(b1_f32), ENC_B1, 128, ACT_F32, 0},
    {ENTRY(i8_f32), ENC_I8, 0, ACT_F32, 0},     {ENTRY(i6_f32), ENC_I6, 32, ACT_F32, 0},
    {ENTRY(i4_f32), ENC_I4, 32, ACT_F32, 0},    {ENTRY(f16_f32), ENC_F16, 0, ACT_F32, 0},
#undef ENTRY
};

/* Everything that a run needs, in one allocation, sized for the widest case. */
struct room {
    uint8_t *lines;         /* N_BLOCKS blocks */
    float *row_scale;       /* [N_BLOCKS * 16] */
    uint16_t *values;       /* [16][n_cols]: halves, or int8 */
    uint16_t *halves;       /* [16][groups] */
    int8_t *q;              /* [n_tok][stride] */
    int32_t *sum32;         /* [n_tok][stride / 32] */
    float *act_scale, *f;   /* [n_tok][groups], [n_tok][stride] */
    float *want, *got;      /* [n_tok][N_BLOCKS * 16], or the outputs of an element */
    size_t out_bytes;
    void *scratch;
};

static uint32_t next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* -1 .. 1 times a power of two in 2^-9 .. 2^6: what a wrong order of sums needs to show. */
static float next_float(uint32_t *state)
{
    float v = (float)(int32_t)(next(state) & 0xffff) / 32768.0f - 1.0f;
    return v * (float)(1u << (next(state) & 15)) / 512.0f;
}

struct stack {
    uint8_t *base; /* NULL: only count */
    size_t used;
};

static void *take(struct stack *s, size_t n_bytes)
{
    void *p = s->base ? s->base + s->used : NULL;
    s->used += (n_bytes + 127) / 64 * 64;
    return p;
}

static void place(struct room *r, struct stack *s, size_t n_cols, size_t n_tok)
{
    size_t stride = act_stride(n_cols), n_groups = n_cols / 32 + 1;
    size_t n_y = n_tok * N_BLOCKS * BLOCK_ROWS;
    r->out_bytes = (n_y > 4 * stride ? n_y : 4 * stride) * sizeof(float);
    r->lines = take(s, N_BLOCKS * layout_block_bytes(ENC_F16, 0, n_cols + 512));
    r->row_scale = take(s, N_BLOCKS * BLOCK_ROWS * sizeof(float));
    r->values = take(s, BLOCK_ROWS * n_cols * sizeof(uint16_t));
    r->halves = take(s, BLOCK_ROWS * n_groups * sizeof(uint16_t));
    r->q = take(s, n_tok * stride);
    r->sum32 = take(s, n_tok * stride / 32 * sizeof(int32_t));
    r->act_scale = take(s, n_tok * n_groups * sizeof(float));
    r->f = take(s, n_tok * stride * sizeof(float));
    r->want = take(s, r->out_bytes);
    r->got = take(s, r->out_bytes);
    r->scratch = take(s, matmul_scratch_bytes(n_cols));
}

/* A weight: rows 0 and 1 are the smallest and the largest, the others random. */
static int next_value(uint32_t *state, enum encoding e, size_t row)
{
    static const int least[] = {[ENC_I8] = -127, [ENC_T2] = -1, [ENC_T1_6] = -1, [ENC_B1] = -1,
                                [ENC_I6] = -32, [ENC_I4] = -8, [ENC_I8X2] = -127};
    static const int most[] = {[ENC_I8] = 127, [ENC_T2] = 1, [ENC_T1_6] = 1, [ENC_B1] = 1,
                               [ENC_I6] = 31, [ENC_I4] = 7, [ENC_I8X2] = 127};
    if (row < 2) {
        return row ? most[e] : least[e];
    }
    if (e == ENC_B1) {
        return next(state) & 1 ? 1 : -1;
    }
    return least[e] + (int)(next(state) % (uint32_t)(most[e] - least[e] + 1));
}

static void make_matrix(struct matrix *w, struct room *r, const struct matrix_row *row,
                        size_t n_cols, uint32_t *state)
{
    size_t n_groups = row->group ? (n_cols + row->group - 1) / row->group : 0;
    for (size_t i = 0; i < BLOCK_ROWS * n_cols; i++) {
        if (row->encoding == ENC_F16) { /* finite: exponent 8 .. 23 of 31 */
            uint32_t bits = next(state);
            r->values[i] = (uint16_t)((bits & 0x83ff) | (8 + (bits >> 16 & 15)) << 10);
        } else {
            ((int8_t *)r->values)[i] =
                (int8_t)next_value(state, row->encoding, i / n_cols);
        }
    }
    for (size_t i = 0; i < BLOCK_ROWS * n_groups; i++) {
        uint32_t bits = next(state);
        r->halves[i] = (uint16_t)((bits & 0x83ff) | (8 + (bits >> 16 & 15)) << 10);
    }
    size_t block_bytes = layout_block_bytes(row->encoding, row->group, n_cols);
    layout_pack(r->lines, row->encoding, row->group, r->values, n_groups ? r->halves : NULL,
                n_cols);
    for (size_t b = 1; b < N_BLOCKS; b++) {
        memcpy(r->lines + b * block_bytes, r->lines, block_bytes);
    }
    for (size_t i = 0; i < N_BLOCKS * BLOCK_ROWS; i++) {
        r->row_scale[i] = i < BLOCK_ROWS ? next_float(state) : r->row_scale[i - BLOCK_ROWS];
    }
    *w = (struct matrix){.lines = r->lines,
                         .scale = row->group ? NULL : r->row_scale,
                         .n_rows = N_BLOCKS * BLOCK_ROWS,
                         .n_cols = n_cols,
                         .group = row->group,
                         .encoding = (uint8_t)row->encoding,
                         .scale_kind = row->group ? SCALE_GROUP : SCALE_ROW};
}

/* Token 1 is all largest, token 2 all smallest. */
static int next_act(uint32_t *state, enum act_kind kind, size_t token)
{
    static const int most[] = {[ACT_I8] = 127, [ACT_I4] = 7, [ACT_I2] = 1, [ACT_SIGN] = 1};
    int limit = most[kind];
    if (token == 1 || token == 2) {
        return token == 1 ? limit : -limit;
    }
    if (kind == ACT_SIGN) {
        return next(state) & 1 ? 1 : -1;
    }
    return (int)(next(state) % (uint32_t)(2 * limit + 1)) - limit;
}

static void make_activations(struct activations *x, struct room *r, const struct matrix_row *row,
                             size_t n_cols, size_t n_tok, uint32_t *state)
{
    size_t stride = act_stride(n_cols);
    size_t n_groups = row->act_group ? (n_cols + row->act_group - 1) / row->act_group : 1;
    memset(r->q, 0, n_tok * stride);
    memset(r->sum32, 0, n_tok * stride / 32 * sizeof(int32_t));
    memset(r->f, 0, n_tok * stride * sizeof(float));
    for (size_t t = 0; t < n_tok; t++) {
        for (size_t k = 0; k < n_cols; k++) {
            if (row->act == ACT_F32) {
                r->f[t * stride + k] = next_float(state);
                continue;
            }
            int q = next_act(state, row->act, t);
            r->q[t * stride + k] = (int8_t)q;
            r->sum32[t * (stride / 32) + k / 32] += q;
        }
    }
    for (size_t i = 0; i < n_tok * n_groups; i++) {
        r->act_scale[i] = next_float(state);
    }
    *x = (struct activations){.q = r->q,
                              .sum32 = r->sum32,
                              .scale = r->act_scale,
                              .f = r->f,
                              .n_tok = n_tok,
                              .n_cols = n_cols,
                              .q_stride = stride,
                              .n_groups = n_groups,
                              .group = row->act_group,
                              .kind = (uint8_t)row->act};
}

static bool same(struct selftest *s, const struct room *r, size_t n_bytes, const char *name)
{
    s->n_compared++;
    if (memcmp(r->want, r->got, n_bytes) == 0) {
        return true;
    }
    strncpy(s->what, name, sizeof s->what - 1);
    return false;
}

static matmul_fn *matmul_at(const struct kernels *k, size_t offset)
{
    matmul_fn *fn;
    memcpy(&fn, (const char *)&k->matrix + offset, sizeof fn);
    return fn;
}

/* The blocks are copies of the first, so scalar computes one of them. */
static bool same_product(struct selftest *s, struct room *r, const struct matrix_row *row,
                         matmul_fn *fn, matmul_fn *scalar_fn)
{
    uint32_t state = s->seed;
    struct matrix w;
    struct activations x;
    make_matrix(&w, r, row, s->n_cols, &state);
    make_activations(&x, r, row, s->n_cols, s->n_tok, &state);
    struct matmul m = {.y = r->want, .y_stride = w.n_rows, .w = &w, .x = &x,
                       .scratch = r->scratch, .block_end = 1};
    scalar_fn(&m);
    for (size_t t = 0; t < s->n_tok; t++) {
        float *y = r->want + t * w.n_rows;
        for (size_t b = 1; b < N_BLOCKS; b++) {
            memcpy(y + b * BLOCK_ROWS, y, BLOCK_ROWS * sizeof *y);
        }
    }
    m.y = r->got;
    m.block_end = N_BLOCKS;
    memset(r->got, 0xff, s->n_tok * w.n_rows * sizeof(float));
    fn(&m);
    if (!same(s, r, s->n_tok * w.n_rows * sizeof(float), row->name)) {
        return false;
    }
    x.n_tok = 1;
    memset(r->got, 0xff, w.n_rows * sizeof(float));
    fn(&m);
    return same(s, r, w.n_rows * sizeof(float), row->name);
}

static bool same_matrices(struct selftest *s, struct room *r, const struct kernels *k,
                          const struct kernels *scalar)
{
    for (size_t i = 0; i < sizeof matrix_rows / sizeof *matrix_rows; i++) {
        const struct matrix_row *row = &matrix_rows[i];
        matmul_fn *fn = matmul_at(k, row->offset), *scalar_fn = matmul_at(scalar, row->offset);
        if (fn != scalar_fn && !same_product(s, r, row, fn, scalar_fn)) {
            return false;
        }
    }
    return true;
}

/* Five rows over at most 16 positions, of which values has that many, two heads of n_cols / 2. */
static void run_attention(const struct attention_kernels *a, size_t i, const struct room *r,
                          const struct selftest *s, float *out)
{
    size_t dim = s->n_cols / 2, n_pos = s->n_tok < 16 ? s->n_tok : 16;
    struct attend rows = {.q = r->f, .out = out, .scores = i < 2 ? out : r->f, .kv = r->values,
                          .kv_scale = r->row_scale, .n_rows = s->n_tok < 5 ? s->n_tok : 5,
                          .score_stride = n_pos, .pos_stride = 2 * dim, .scale_stride = 1,
                          .n_pos = n_pos, .head_dim = dim, .scale = 0.125f};
    if (i % 2 == 1)
        rows.kv = r->q;
    switch (i) {
    case 0: a->qk_f16(&rows); return;
    case 1: a->qk_i8(&rows); return;
    case 2: a->av_f16(&rows); return;
    case 3: a->av_i8(&rows); return;
    default:
        memcpy(out, r->f, s->n_cols * sizeof *out);
        a->softmax(out, s->n_cols);
    }
}

/* The three outputs of a quantizer stand behind each other. */
static void run_quantizer(const struct element_kernels *e, size_t i, const struct room *r,
                          size_t n, float *out)
{
    size_t stride = act_stride(n);
    int32_t *sum32 = (int32_t *)(void *)out;
    float *scale = out + stride / 32;
    int8_t *q = (int8_t *)(scale + n / 32 + 1);
    const float *x = r->f, *gain = r->f + stride;
    switch (i) {
    case 0: e->quantize(q, sum32, scale, x, n, stride, 0, 127); return;
    case 1: e->quantize(q, sum32, scale, x, n, stride, 32, 7); return;
    case 2: e->rmsnorm_quantize(q, sum32, scale, x, gain, n, stride, 0, 127, 1e-5f); return;
    case 3: e->rmsnorm_quantize(q, sum32, scale, x, gain, n, stride, 128, 127, 1e-5f); return;
    default: e->quantize_sign(q, sum32, scale, x, n, stride);
    }
}

static void run_element(const struct element_kernels *e, size_t i, const struct room *r, size_t n,
                        float *out)
{
    const float *x = r->f, *other = r->f + act_stride(n);
    memcpy(out, x, n * sizeof *out);
    switch (i) {
    case 0: e->rmsnorm(out, x, other, n, 1e-5f); return;
    case 1: e->relu2_mul(out, x, other, n); return;
    case 2: e->silu_mul(out, x, other, n); return;
    case 3: e->rope_half(out, other, other + n / 2, 1, n, n / 2 * 2); return;
    case 4: e->rope_adjacent(out, other, other + n / 2, 1, n, n / 2 * 2); return;
    case 5: e->add(out, other, n); return;
    case 6: e->mul(out, x, other, n); return;
    default: e->to_f16((uint16_t *)(void *)out, x, n);
    }
}

static bool same_vectors(struct selftest *s, struct room *r, const struct kernels *k,
                         const struct kernels *scalar)
{
    static const char *const attention[] = {"qk_f16", "qk_i8", "av_f16", "av_i8", "softmax"};
    static const char *const quantizer[] = {"quantize", "quantize", "rmsnorm_quantize",
                                            "rmsnorm_quantize", "quantize_sign"};
    static const char *const element[] = {"rmsnorm", "relu2_mul", "silu_mul", "rope_half",
                                          "rope_adjacent", "add", "mul", "to_f16"};
    for (size_t i = 0; i < 18; i++) {
        const struct kernels *each[] = {scalar, k};
        for (size_t j = 0; j < 2; j++) {
            float *out = j ? r->got : r->want;
            memset(out, 0, r->out_bytes);
            if (i < 5) {
                run_attention(&each[j]->attention, i, r, s, out);
            } else if (i < 10) {
                run_quantizer(&each[j]->element, i - 5, r, s->n_cols, out);
            } else {
                run_element(&each[j]->element, i - 10, r, s->n_cols, out);
            }
        }
        const char *name = i < 5 ? attention[i] : i < 10 ? quantizer[i - 5] : element[i - 10];
        if (!same(s, r, r->out_bytes, name)) {
            return false;
        }
    }
    return true;
}

/* Inputs for the vectors: floats in f, halves in values, bytes in q. */
static void make_vectors(struct selftest *s, struct room *r)
{
    static const struct matrix_row floats = {"", 0, ENC_F16, 0, ACT_F32, 0};
    static const struct matrix_row bytes = {"", 0, ENC_F16, 0, ACT_I8, 0};
    uint32_t state = s->seed;
    struct matrix w;
    struct activations x;
    make_matrix(&w, r, &floats, s->n_cols, &state);
    make_activations(&x, r, &bytes, s->n_cols, s->n_tok, &state);
    for (size_t i = 0; i < s->n_tok * act_stride(s->n_cols); i++) {
        r->f[i] = next_float(&state);
    }
}

bool selftest_run(struct selftest *s, const struct kernels *k, const struct kernels *scalar)
{
    struct room r;
    struct stack stack = {NULL, 0};
    place(&r, &stack, s->n_cols, s->n_tok);
    void *base;
    s->what[0] = 0;
    if (posix_memalign(&base, 64, stack.used) != 0) {
        strncpy(s->what, "memory", sizeof s->what - 1);
        return false;
    }
    stack = (struct stack){base, 0};
    place(&r, &stack, s->n_cols, s->n_tok);
    bool ok = same_matrices(s, &r, k, scalar);
    if (ok) {
        make_vectors(s, &r);
        ok = same_vectors(s, &r, k, scalar);
    }
    free(base);
    return ok;
}

bool selftest_quick(struct selftest *s, const struct kernels *k, const struct kernels *scalar)
{
    *s = (struct selftest){.n_cols = 148, .n_tok = 13, .seed = 1};
    return selftest_run(s, k, scalar);
}
