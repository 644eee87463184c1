/* kernels_matrix.c: check_kernels for struct matrix_kernels. One row of the table below for each
 * entry: its name, where it stands, the encoding it takes, and the group sizes and activations
 * to try it with. */
#include <stdio.h>
#include <string.h>

#include "tests/kernel_cases.h"

enum { G0 = 1, G32 = 2, G64 = 4, G128 = 8, G256 = 16, G_ALL = 31 };
static const uint32_t group_sizes[] = {0, 32, 64, 128, 256};

enum { X_I8 = 1, X_I8_G32 = 2, X_I8_G128 = 4, X_I4 = 8, X_I2 = 16, X_SIGN = 32, X_F32 = 64,
       X_I4_G32 = 128, X_I8_ALL = X_I8 | X_I8_G32 | X_I8_G128,
       X_PLANES = X_I8_ALL | X_I4 | X_I2 | X_I4_G32 };
static const struct act_choice {
    enum act_kind kind;
    uint32_t group;
    const char *name;
} act_choices[] = {
    {ACT_I8, 0, "i8"},     {ACT_I8, 32, "i8g32"},  {ACT_I8, 128, "i8g128"}, {ACT_I4, 0, "i4"},
    {ACT_I2, 0, "i2"},     {ACT_SIGN, 0, "sign"},  {ACT_F32, 0, "f32"},     {ACT_I4, 32, "i4g32"},
};
enum { N_GROUPS = 5, N_ACTS = 8 };

static const struct entry {
    const char *name;
    size_t offset; /* in struct matrix_kernels */
    enum encoding encoding;
    unsigned groups, acts;
} entries[] = {
#define AT(member) #member, offsetof(struct matrix_kernels, member)
    {AT(t2_i8), ENC_T2, G_ALL, X_I8_ALL | X_I4 | X_SIGN},
    {AT(t1_6_i8), ENC_T1_6, G0, X_I8 | X_I4},
    {AT(b1_i8), ENC_B1, G_ALL, X_I8_ALL | X_I4 | X_SIGN},
    {AT(b1_sign), ENC_B1, G_ALL, X_SIGN},
    {AT(b1_planes), ENC_B1, G_ALL, X_PLANES},
    {AT(t2_planes), ENC_T2, G_ALL, X_PLANES},
    {AT(i8_i8), ENC_I8, G0, X_I8_ALL},
    {AT(i6_i8), ENC_I6, G32, X_I8_ALL},
    {AT(i4_i8), ENC_I4, G32, X_I8_ALL},
    {AT(i8x2_i8), ENC_I8X2, G0, X_I8},
    {AT(t2_f32), ENC_T2, G_ALL, X_F32},
    {AT(t1_6_f32), ENC_T1_6, G0, X_F32},
    {AT(b1_f32), ENC_B1, G_ALL, X_F32},
    {AT(i8_f32), ENC_I8, G0, X_F32},
    {AT(i6_f32), ENC_I6, G32, X_F32},
    {AT(i4_f32), ENC_I4, G32, X_F32},
    {AT(f16_f32), ENC_F16, G0, X_F32},
#undef AT
};
enum { N_ENTRIES = sizeof entries / sizeof *entries };

enum { S_LINES, S_WSCALE, S_Q, S_SUM32, S_ASCALE, S_F, S_SCRATCH, S_WANT, S_GOT, S_VALUES,
       S_HALVES };

struct shape {
    size_t n_cols, n_tok, n_blocks, block_begin, block_end;
    enum data_kind data;
    int corner; /* DATA_EXTREME: 1..4 all weights at one end, all activations at one; 0: drawn */
};

static matmul_fn *entry_of(const struct kernels *k, const struct entry *e)
{
    matmul_fn *fn;
    memcpy(&fn, (const char *)&k->matrix + e->offset, sizeof fn);
    return fn;
}

static int value_at(struct harness *h, enum encoding e, enum data_kind data, unsigned side)
{
    static const int low[] = {[ENC_I8] = -127, [ENC_T2] = -1, [ENC_T1_6] = -1, [ENC_B1] = 0,
                              [ENC_I6] = -32, [ENC_I4] = -8, [ENC_I8X2] = -127};
    static const int high[] = {[ENC_I8] = 127, [ENC_T2] = 1, [ENC_T1_6] = 1, [ENC_B1] = 1,
                               [ENC_I6] = 31, [ENC_I4] = 7, [ENC_I8X2] = 127};
    int v = draw_int(h, low[e], high[e]);
    if (data == DATA_EXTREME && side < 3)
        v = side == 2 ? (v & 1 ? low[e] : high[e]) : side ? high[e] : low[e];
    return e == ENC_B1 ? 2 * (v > 0) - 1 : v;
}

static void make_matrix(struct harness *h, struct matrix *w, const struct entry *e,
                        uint32_t group, const struct shape *s)
{
    const size_t block_bytes = layout_block_bytes(e->encoding, group, s->n_cols);
    const size_t n = BLOCK_ROWS * s->n_cols;
    const size_t n_groups = group ? (s->n_cols + group - 1) / group : 0;
    const size_t n_rows = s->n_blocks * BLOCK_ROWS - draw(h, BLOCK_ROWS);
    uint8_t *lines = guard_take(h, S_LINES, s->n_blocks * block_bytes);
    void *values = guard_take(h, S_VALUES, n * 2);
    uint16_t *halves = guard_take(h, S_HALVES, BLOCK_ROWS * n_groups * 2);
    unsigned side = s->corner ? (unsigned)s->corner % 2 : draw(h, 4);
    for (size_t b = 0; b < s->n_blocks; b++) {
        for (size_t i = 0; i < n; i++) {
            bool padding = b * BLOCK_ROWS + i / s->n_cols >= n_rows;
            if (e->encoding == ENC_F16)
                ((uint16_t *)values)[i] = padding ? 0 : draw_half(h, s->data);
            else
                ((int8_t *)values)[i] = (int8_t)(padding && e->encoding != ENC_B1 ? 0
                                        : value_at(h, e->encoding, s->data, side));
        }
        for (size_t i = 0; i < BLOCK_ROWS * n_groups; i++)
            halves[i] = draw_half(h, s->data == DATA_EXTREME ? DATA_RANDOM : s->data);
        layout_pack(lines + b * block_bytes, e->encoding, group, values, group ? halves : NULL,
                    s->n_cols);
    }
    enum scale_kind kind = group ? SCALE_GROUP : (enum scale_kind)draw(h, SCALE_GROUP);
    size_t n_scale = kind == SCALE_ROW      ? s->n_blocks * BLOCK_ROWS
                     : kind == SCALE_COLUMN ? (s->n_cols + 15) / 16 * 16
                     : kind == SCALE_TENSOR ? 16
                                            : 0;
    float *scale = guard_take(h, S_WSCALE, n_scale * sizeof *scale);
    for (size_t i = 0; i < n_scale; i++)
        scale[i] = draw_float(h, s->data);
    *w = (struct matrix){.lines = lines, .scale = n_scale ? scale : NULL, .n_rows = n_rows,
                         .n_cols = s->n_cols, .group = group,
                         .encoding = (uint8_t)e->encoding, .scale_kind = (uint8_t)kind};
    guard_freeze(h, S_LINES);
    guard_freeze(h, S_WSCALE);
}

static void make_quantized(struct harness *h, struct activations *x, const struct shape *s)
{
    static const int most[] = {[ACT_I8] = 127, [ACT_I4] = 7, [ACT_I2] = 1, [ACT_SIGN] = 1};
    const size_t n_sums = x->q_stride / 32;
    int8_t *q = guard_take(h, S_Q, x->n_tok * x->q_stride);
    int32_t *sum32 = guard_take(h, S_SUM32, x->n_tok * n_sums * sizeof *sum32);
    float *scale = guard_take(h, S_ASCALE, x->n_tok * x->n_groups * sizeof *scale);
    const int top = most[x->kind];
    unsigned side = s->corner ? (unsigned)(s->corner - 1) / 2 : draw(h, 3);
    for (size_t t = 0; t < x->n_tok; t++)
        for (size_t k = 0; k < x->q_stride; k++) {
            int v = draw_int(h, -top, top);
            if (s->data == DATA_EXTREME)
                v = side == 2 ? (v > 0 ? top : -top) : side ? top : -top;
            if (x->kind == ACT_SIGN && v == 0)
                v = 1;
            if (k >= x->n_cols || (s->data == DATA_ZERO && x->kind != ACT_SIGN))
                v = 0;
            q[t * x->q_stride + k] = (int8_t)v;
        }
    for (size_t i = 0; i < x->n_tok * n_sums; i++) {
        sum32[i] = 0;
        for (size_t k = 0; k < 32; k++)
            sum32[i] += q[i * 32 + k];
    }
    for (size_t i = 0; i < x->n_tok * x->n_groups; i++)
        scale[i] = draw_float(h, s->data);
    x->q = q, x->sum32 = sum32, x->scale = scale;
    guard_freeze(h, S_Q);
    guard_freeze(h, S_SUM32);
    guard_freeze(h, S_ASCALE);
}

static void make_floats(struct harness *h, struct activations *x, const struct shape *s)
{
    float *f = guard_take(h, S_F, x->n_tok * x->q_stride * sizeof *f);
    for (size_t t = 0; t < x->n_tok; t++)
        for (size_t k = 0; k < x->q_stride; k++) {
            float v = draw_float(h, s->data);
            f[t * x->q_stride + k] = k < x->n_cols ? v : 0;
        }
    x->f = f;
    guard_freeze(h, S_F);
}

static void make_activations(struct harness *h, struct activations *x,
                             const struct act_choice *a, const struct shape *s)
{
    *x = (struct activations){.n_tok = s->n_tok, .n_cols = s->n_cols,
                              .q_stride = act_stride(s->n_cols), .group = a->group,
                              .kind = (uint8_t)a->kind};
    x->n_groups = a->group ? (s->n_cols + a->group - 1) / a->group : 1;
    if (a->kind == ACT_F32)
        make_floats(h, x, s);
    else
        make_quantized(h, x, s);
}

/* As a worker does it that takes one share of the blocks after the other. */
static void call_twice(matmul_fn *fn, struct matmul m, size_t middle)
{
    const size_t end = m.block_end;
    m.block_end = middle;
    fn(&m);
    m.block_begin = middle;
    m.block_end = end;
    m.prepared = true;
    fn(&m);
}

static void run_case(struct harness *h, const struct entry *e, uint32_t group,
                     const struct act_choice *a, const struct shape *s)
{
    char encoding[16];
    layout_name(encoding, e->encoding, group);
    if (!case_begin(h, e->name, "%s x %s, %zu cols, blocks %zu..%zu of %zu, %zu tok, data %d.%d",
                    encoding, a->name, s->n_cols, s->block_begin, s->block_end, s->n_blocks,
                    s->n_tok, (int)s->data, s->corner))
        return;
    struct matrix w;
    struct activations x;
    make_matrix(h, &w, e, group, s);
    make_activations(h, &x, a, s);
    struct matmul m = {.y_stride = (s->n_blocks + draw(h, 2)) * BLOCK_ROWS, .w = &w, .x = &x,
                       .block_begin = s->block_begin, .block_end = s->block_end};
    size_t n = s->n_tok * m.y_stride, middle = s->block_begin;
    if (draw(h, 2) == 0)
        middle += draw(h, s->block_end - s->block_begin);
    float *want = m.y = guard_take(h, S_WANT, n * sizeof *want);
    m.scratch = guard_take(h, S_SCRATCH, matmul_scratch_bytes(s->n_cols));
    entry_of(&h->tiers[0], e)(&m);
    for (size_t i = 1; i < h->n_tiers; i++) {
        matmul_fn *fn = entry_of(&h->tiers[i], e), *before = entry_of(&h->tiers[i - 1], e);
        if (!case_tier(h, i, fn != before))
            continue;
        float *got = m.y = guard_take(h, S_GOT, n * sizeof *got);
        if (middle > s->block_begin)
            call_twice(fn, m, middle);
        else
            fn(&m);
        case_floats(h, i, want, got, n);
    }
}

/* Combination number i of the entry's groups and activations; how many there are, for i at or
 * past the end. */
static size_t combination(const struct entry *e, size_t i, uint32_t *group,
                          const struct act_choice **act)
{
    size_t n = 0;
    for (size_t g = 0; g < N_GROUPS; g++)
        for (size_t a = 0; a < N_ACTS; a++)
            if (e->groups >> g & 1 && e->acts >> a & 1 && n++ == i) {
                *group = group_sizes[g];
                *act = &act_choices[a];
            }
    return n;
}

/* One shape with all combinations of the entry, or with n of them by turns. */
static void run_combinations(struct harness *h, const struct entry *e, const struct shape *s,
                             size_t first, size_t n)
{
    uint32_t group = 0;
    const struct act_choice *act = NULL;
    size_t n_all = combination(e, SIZE_MAX, &group, &act);
    if (h->all || n > n_all)
        n = n_all;
    for (size_t i = 0; i < n; i++) {
        combination(e, (first + i) % n_all, &group, &act);
        run_case(h, e, group, act, s);
    }
}

/* Sums at their largest: every combination, every number of tokens that has code of its own, and
 * the widest matrix there may be. */
static void check_corners(struct harness *h, const struct entry *e)
{
    static const size_t many[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 33};
    for (int corner = 1; corner <= 4; corner++) {
        for (size_t i = 0; i < sizeof many / sizeof *many; i++) {
            struct shape s = {700, many[i], 2, 0, 2, DATA_EXTREME, corner};
            run_combinations(h, e, &s, 0, N_GROUPS * N_ACTS);
        }
        struct shape s = {MAX_COLS - (size_t)corner % 2, 1, 1, 0, 1, DATA_EXTREME, corner};
        run_combinations(h, e, &s, (size_t)corner, 2);
    }
}

static void check_entry(struct harness *h, const struct entry *e)
{
    static const uint8_t ranges[][3] = {{1, 0, 1}, {3, 0, 3}, {2, 1, 2}, {5, 1, 5}, {4, 0, 4},
                                        {6, 3, 6}, {2, 0, 2}, {9, 0, 9}}; /* all, begin, end */
    size_t turn = 0;
    for (size_t n_cols = 1; n_cols <= 700; n_cols++, turn++) { /* every width */
        const uint8_t *r = ranges[turn % 7];
        struct shape s = {n_cols, 1 + turn % 12, r[0], r[1], r[2],
                          (enum data_kind)(turn / 3 % N_DATA), 0};
        run_combinations(h, e, &s, turn * 3, 2);
    }
    static const size_t widths[] = {1, 20, 63, 128, 320, 513, 640};
    static const size_t many[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 17, 24, 33, 48,
                                  64, 100, 193, 194, 195, 257,
                                  513, 516}; /* kernels may cut batches at 512 */
    for (size_t i = 0; i < sizeof many / sizeof *many; i++) /* every number of tokens */
        for (size_t j = 0; j < 7; j++, turn++) {
            const uint8_t *r = ranges[(i + j) % 8];
            struct shape s = {widths[j], many[i], r[0], r[1], r[2], DATA_RANDOM, 0};
            if (turn % 3 == 0)
                s.data = DATA_EXTREME;
            run_combinations(h, e, &s, turn, many[i] > 33 ? 1 : 2);
        }
    static const size_t real[] = {1024, 1536, 2048, 2560, 4096, 5460, 6144, 6912, 14336};
    for (size_t i = 0; i < sizeof real / sizeof *real; i++) /* models' shapes, a few blocks */
        for (size_t d = 0; d < N_DATA; d++, turn++) {
            struct shape s = {real[i], 1 + turn % 5, 3, 0, 3, (enum data_kind)d, 0};
            run_combinations(h, e, &s, turn, 2);
        }
    check_corners(h, e);
}

void check_matrix(struct harness *h)
{
    for (size_t i = 0; i < N_ENTRIES; i++)
        check_entry(h, &entries[i]);
}

static const struct entry *benched;

static matmul_fn *benched_entry(const struct kernels *k)
{
    return entry_of(k, benched);
}

void bench_matrix(struct harness *h)
{
    for (size_t i = 0; i < N_ENTRIES; i++)
        for (size_t g = 0; g < N_GROUPS; g++) {
            const struct entry *e = benched = &entries[i];
            char encoding[16], name[40];
            layout_name(encoding, e->encoding, group_sizes[g]);
            snprintf(name, sizeof name, "%s.%s", e->name, encoding);
            bool wanted = !h->only_kernel || strcmp(h->only_kernel, e->name) == 0;
            bool common = g == 0 || group_sizes[g] == 128 || e->groups == G32;
            enum act_kind act = e->acts & X_F32 ? ACT_F32 : e->acts == X_SIGN ? ACT_SIGN : ACT_I8;
            if (wanted && common && e->groups >> g & 1)
                bench_entry(h, name, e->encoding, group_sizes[g], act, benched_entry);
        }
}
