/* kernels_attention.c: check_kernels for struct attention_kernels. Keys and values of several heads
 * lie between each other, as in the cache: one head's start is not aligned to anything. */
#include <string.h>

#include "tests/kernel_cases.h"

enum kind { QK, AV, SOFTMAX };
enum { S_Q, S_KV, S_SCALE, S_WANT, S_GOT };

struct attention_case {
    size_t n_pos, head_dim, n_kv_heads, head;
    bool i8;
    float scale;
    const float *q; /* [head_dim], or the weights [n_pos], or the softmax's input [n_pos] */
    const void *kv; /* [n_pos][n_kv_heads][head_dim] */
    const float *kv_scale; /* [n_pos][n_kv_heads] */
    enum kind kind;
};

/* Fills in the guarded inputs. */
static void make_inputs(struct harness *h, struct attention_case *c, enum data_kind data)
{
    size_t n_q = c->kind == QK ? c->head_dim : c->n_pos;
    float *q = guard_take(h, S_Q, n_q * sizeof *q);
    for (size_t i = 0; i < n_q; i++)
        q[i] = draw_float(h, data);
    guard_freeze(h, S_Q);
    size_t n = c->kind == SOFTMAX ? 0 : c->n_pos * c->n_kv_heads * c->head_dim;
    void *kv = guard_take(h, S_KV, n * (c->i8 ? 1 : 2));
    for (size_t i = 0; i < n; i++)
        if (c->i8)
            ((int8_t *)kv)[i] = (int8_t)draw_int(h, -127, 127);
        else
            ((uint16_t *)kv)[i] = draw_half(h, data);
    guard_freeze(h, S_KV);
    size_t n_scales = c->i8 ? c->n_pos * c->n_kv_heads : 0;
    float *scale = guard_take(h, S_SCALE, n_scales * sizeof *scale);
    for (size_t i = 0; i < n_scales; i++)
        scale[i] = draw_float(h, data);
    guard_freeze(h, S_SCALE);
    c->q = q, c->kv = kv, c->kv_scale = scale;
    c->scale = draw_float(h, DATA_RANDOM);
}

static size_t n_out(const struct attention_case *c)
{
    return c->kind == AV ? c->head_dim : c->n_pos;
}

static float *call(struct harness *h, const struct attention_kernels *a,
                   const struct attention_case *c, size_t slot)
{
    float *out = guard_take(h, slot, n_out(c) * sizeof *out);
    size_t stride = c->n_kv_heads * c->head_dim, at = c->head * c->head_dim;
    const uint16_t *f16 = (const uint16_t *)c->kv + at;
    const int8_t *i8 = (const int8_t *)c->kv + at;
    const float *scales = c->kv_scale + c->head;
    if (c->kind == SOFTMAX) {
        memcpy(out, c->q, c->n_pos * sizeof *out);
        a->softmax(out, c->n_pos);
    } else if (c->kind == QK && c->i8)
        a->qk_i8(out, c->q, i8, scales, stride, c->n_kv_heads, c->n_pos, c->head_dim, c->scale);
    else if (c->kind == QK)
        a->qk_f16(out, c->q, f16, stride, c->n_pos, c->head_dim, c->scale);
    else if (c->i8)
        a->av_i8(out, c->q, i8, scales, stride, c->n_kv_heads, c->n_pos, c->head_dim);
    else
        a->av_f16(out, c->q, f16, stride, c->n_pos, c->head_dim);
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
                               .n_kv_heads = 1 + turn % 3};
    c.head = turn / 3 % c.n_kv_heads;
    if (!case_begin(h, e->name, "%zu positions, head %zu of %zu, dim %zu, data %d", n_pos, c.head,
                    c.n_kv_heads, head_dim, (int)data))
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
