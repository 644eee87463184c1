/* kernels_attention.c: check_kernels for struct attention_kernels. Keys and values of several heads
 * lie between each other, as in the cache: one head's start is not aligned to anything. */
#include <string.h>

#include "tests/kernel_cases.h"

enum kind { QK, AV, SOFTMAX };
enum { S_Q, S_WEIGHTS, S_KV, S_SCALE, S_WANT, S_GOT };

struct attention_case {
    size_t n_pos, head_dim, n_kv_heads, head, n_rows, score_stride;
    bool i8;
    float scale;
    const float *q;        /* [n_rows][head_dim], or the softmax's input [n_pos] */
    const float *weights;  /* [n_rows][score_stride] */
    const void *kv;        /* [n_pos][n_kv_heads][head_dim] */
    const float *kv_scale; /* [n_pos][n_kv_heads] */
    enum kind kind;
};

static const float *make_floats(struct harness *h, size_t slot, size_t n, enum data_kind data)
{
    float *x = guard_take(h, slot, n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = draw_float(h, data);
    guard_freeze(h, slot);
    return x;
}

/* Fills in the guarded inputs. */
static void make_inputs(struct harness *h, struct attention_case *c, enum data_kind data)
{
    c->q = make_floats(h, S_Q, c->kind == SOFTMAX ? c->n_pos : c->n_rows * c->head_dim, data);
    c->weights = make_floats(h, S_WEIGHTS, c->kind == AV ? c->n_rows * c->score_stride : 0, data);
    size_t n = c->kind == SOFTMAX ? 0 : c->n_pos * c->n_kv_heads * c->head_dim;
    void *kv = guard_take(h, S_KV, n * (c->i8 ? 1 : 2));
    for (size_t i = 0; i < n; i++)
        if (c->i8)
            ((int8_t *)kv)[i] = (int8_t)draw_int(h, -127, 127);
        else
            ((uint16_t *)kv)[i] = draw_half(h, data);
    guard_freeze(h, S_KV);
    c->kv = kv;
    c->kv_scale = make_floats(h, S_SCALE, c->i8 ? c->n_pos * c->n_kv_heads : 0, data);
    c->scale = draw_float(h, DATA_RANDOM);
}

static size_t n_out(const struct attention_case *c)
{
    return c->kind == AV ? c->n_rows * c->head_dim : c->kind == QK ? c->n_rows * c->score_stride
                                                                   : c->n_pos;
}

/* What qk leaves between its rows, and what av adds to, is drawn from the case too. */
static float *call(struct harness *h, const struct attention_kernels *a,
                   const struct attention_case *c, size_t slot)
{
    float *out = guard_take(h, slot, n_out(c) * sizeof *out);
    size_t at = c->head * c->head_dim;
    if (c->kind == SOFTMAX) {
        memcpy(out, c->q, c->n_pos * sizeof *out);
        a->softmax(out, c->n_pos);
        return out;
    }
    for (size_t i = 0; i < n_out(c); i++)
        out[i] = c->scale * (float)((int)(i % 7) - 3);
    struct attend rows = {.q = c->q, .out = out, .n_rows = c->n_rows,
                          .kv_scale = c->kv_scale + c->head, .score_stride = c->score_stride,
                          .pos_stride = c->n_kv_heads * c->head_dim,
                          .scale_stride = c->n_kv_heads, .n_pos = c->n_pos,
                          .head_dim = c->head_dim, .scale = c->scale};
    rows.kv = c->i8 ? (const void *)((const int8_t *)c->kv + at)
                    : (const void *)((const uint16_t *)c->kv + at);
    rows.scores = c->kind == AV ? (float *)c->weights : out;
    if (c->kind == QK)
        (c->i8 ? a->qk_i8 : a->qk_f16)(&rows);
    else
        (c->i8 ? a->av_i8 : a->av_f16)(&rows);
    return out;
}

static const struct entry {
    const char *name;
    size_t offset; /* in struct attention_kernels */
    enum kind kind;
    bool i8;
} entries[] = {
#define AT(member) #member, offsetof(struct attention_kernels, member)
    {AT(qk_f16), QK, false}, {AT(qk_i8), QK, true},        {AT(av_f16), AV, false},
    {AT(av_i8), AV, true},   {AT(softmax), SOFTMAX, false},
#undef AT
};

static void run_case(struct harness *h, const struct entry *e, size_t n_pos, size_t head_dim,
                     size_t turn)
{
    enum data_kind data = (enum data_kind)(turn % N_DATA);
    struct attention_case c = {.n_pos = n_pos, .head_dim = head_dim, .kind = e->kind, .i8 = e->i8,
                               .n_kv_heads = 1 + turn % 3, .n_rows = 1 + turn / 2 % 9,
                               .score_stride = n_pos + turn % 4};
    c.head = turn / 3 % c.n_kv_heads;
    if (!case_begin(h, e->name, "%zu rows, %zu positions, head %zu of %zu, dim %zu, data %d",
                    c.n_rows, n_pos, c.head, c.n_kv_heads, head_dim, (int)data))
        return;
    make_inputs(h, &c, data);
    const float *want = call(h, &h->tiers[0].attention, &c, S_WANT);
    for (size_t i = 1; i < h->n_tiers; i++) {
        const char *mine = (const char *)&h->tiers[i].attention + e->offset;
        const char *before = (const char *)&h->tiers[i - 1].attention + e->offset;
        if (case_tier(h, i, memcmp(mine, before, sizeof(void (*)(void))) != 0)) {
            const float *got = call(h, &h->tiers[i].attention, &c, S_GOT);
            case_floats(h, i, want, got, n_out(&c));
        }
    }
}

void check_attention(struct harness *h)
{
    static const size_t dims[] = {64, 128, 80, 96, 256, 48, 32};
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        const struct entry *e = &entries[i];
        size_t turn = i;
        for (size_t n = 1; n <= 700; n++, turn++) { /* every number of positions */
            run_case(h, e, n, dims[turn % 7], turn);
            if (e->kind == SOFTMAX)
                run_case(h, e, n, 1, 3 * turn + 1);
        }
        for (size_t dim = 1; dim <= 700 && e->kind != SOFTMAX; dim++, turn++) /* every width */
            run_case(h, e, 1 + turn % 9, dim, turn);
        for (size_t n = 1000; n <= 4097; n += 619, turn++) /* long contexts */
            run_case(h, e, n, 128, turn);
    }
}
