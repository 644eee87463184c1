/* kernels_element.c: check_kernels for struct element_kernels. Each entry has a function that
 * calls it with all its buffers guarded and leaves its outputs in slots; the outputs of a tier
 * are compared with scalar's. */
#include <string.h>

#include "tests/kernel_cases.h"

/* Slots: three inputs, then outputs for the specification and, from GOT on, for a tier. */
enum { S_X, S_A, S_B, S_OUT, N_OUT = 3, S_GOT = S_OUT + N_OUT };

struct element_case {
    size_t n, n_heads, n_rot;
    uint32_t group;
    int qmax;
    float eps;
    const float *x, *a, *b;
    size_t n_bytes[N_OUT]; /* set by the call */
};

typedef void call_fn(struct harness *h, const struct element_kernels *e, struct element_case *c,
                     size_t slot);

static void *out(struct harness *h, struct element_case *c, size_t slot, size_t i, size_t n_bytes)
{
    c->n_bytes[i] = n_bytes;
    return guard_take(h, slot + i, n_bytes);
}

static float *out_copy(struct harness *h, struct element_case *c, size_t slot)
{
    return memcpy(out(h, c, slot, 0, c->n * sizeof(float)), c->x, c->n * sizeof(float));
}

static void call_rmsnorm(struct harness *h, const struct element_kernels *e,
                         struct element_case *c, size_t slot)
{
    if (c->n_heads % 2) { /* in place */
        float *y = out_copy(h, c, slot);
        e->rmsnorm(y, y, c->a, c->n, c->eps);
        return;
    }
    e->rmsnorm(out(h, c, slot, 0, c->n * sizeof(float)), c->x, c->a, c->n, c->eps);
}

/* The three outputs of a quantizer. */
struct quantized {
    int8_t *q;
    int32_t *sum32;
    float *scale;
    size_t stride;
};

static struct quantized out_quantized(struct harness *h, struct element_case *c, size_t slot,
                                      uint32_t group)
{
    size_t stride = act_stride(c->n), n_groups = group ? (c->n + group - 1) / group : 1;
    return (struct quantized){out(h, c, slot, 0, stride),
                              out(h, c, slot, 1, stride / 32 * sizeof(int32_t)),
                              out(h, c, slot, 2, n_groups * sizeof(float)), stride};
}

static void call_quantize(struct harness *h, const struct element_kernels *e,
                          struct element_case *c, size_t slot)
{
    struct quantized o = out_quantized(h, c, slot, c->group);
    e->quantize(o.q, o.sum32, o.scale, c->x, c->n, o.stride, c->group, c->qmax);
}

static void call_rmsnorm_quantize(struct harness *h, const struct element_kernels *e,
                                  struct element_case *c, size_t slot)
{
    struct quantized o = out_quantized(h, c, slot, c->group);
    e->rmsnorm_quantize(o.q, o.sum32, o.scale, c->x, c->a, c->n, o.stride, c->group, c->qmax,
                        c->eps);
}

static void call_quantize_sign(struct harness *h, const struct element_kernels *e,
                               struct element_case *c, size_t slot)
{
    struct quantized o = out_quantized(h, c, slot, 0);
    e->quantize_sign(o.q, o.sum32, o.scale, c->x, c->n, o.stride);
}

static void call_relu2_mul(struct harness *h, const struct element_kernels *e,
                           struct element_case *c, size_t slot)
{
    e->relu2_mul(out(h, c, slot, 0, c->n * sizeof(float)), c->x, c->a, c->n);
}

static void call_silu_mul(struct harness *h, const struct element_kernels *e,
                          struct element_case *c, size_t slot)
{
    e->silu_mul(out(h, c, slot, 0, c->n * sizeof(float)), c->x, c->a, c->n);
}

static void call_mul(struct harness *h, const struct element_kernels *e, struct element_case *c,
                     size_t slot)
{
    e->mul(out(h, c, slot, 0, c->n * sizeof(float)), c->x, c->a, c->n);
}

static void call_add(struct harness *h, const struct element_kernels *e, struct element_case *c,
                     size_t slot)
{
    e->add(out_copy(h, c, slot), c->a, c->n);
}

/* n is n_heads heads. */
static void call_rope(struct harness *h, const struct element_kernels *e, struct element_case *c,
                      size_t slot, bool adjacent)
{
    (adjacent ? e->rope_adjacent : e->rope_half)(out_copy(h, c, slot), c->a, c->b, c->n_heads,
                                                 c->n / c->n_heads, c->n_rot);
}

static void call_rope_half(struct harness *h, const struct element_kernels *e,
                           struct element_case *c, size_t slot)
{
    call_rope(h, e, c, slot, false);
}

static void call_rope_adjacent(struct harness *h, const struct element_kernels *e,
                               struct element_case *c, size_t slot)
{
    call_rope(h, e, c, slot, true);
}

static void call_to_f16(struct harness *h, const struct element_kernels *e,
                        struct element_case *c, size_t slot)
{
    e->to_f16(out(h, c, slot, 0, c->n * sizeof(uint16_t)), c->x, c->n);
}

static const struct entry {
    const char *name;
    size_t offset; /* in struct element_kernels */
    call_fn *call;
    bool rope;
} entries[] = {
#define AT(member) #member, offsetof(struct element_kernels, member), call_##member
    {AT(rmsnorm), false},       {AT(quantize), false},  {AT(rmsnorm_quantize), false},
    {AT(quantize_sign), false}, {AT(relu2_mul), false}, {AT(silu_mul), false},
    {AT(rope_half), true},      {AT(rope_adjacent), true}, {AT(add), false},
    {AT(mul), false},           {AT(to_f16), false},
#undef AT
};

static bool same_code(const struct kernels *a, const struct kernels *b, const struct entry *e)
{
    return memcmp((const char *)&a->element + e->offset, (const char *)&b->element + e->offset,
                  sizeof(void (*)(void))) == 0;
}

static const float *input(struct harness *h, size_t slot, size_t n, enum data_kind data)
{
    float *x = guard_take(h, slot, n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = draw_float(h, data);
    guard_freeze(h, slot);
    return x;
}

static void run_case(struct harness *h, const struct entry *e, size_t n, size_t turn)
{
    static const uint32_t groups[] = {0, 32, 128};
    static const int tops[] = {127, 7, 1};
    enum data_kind data = (enum data_kind)(turn % N_DATA);
    struct element_case c = {.n = n, .n_heads = 1 + turn % 3, .group = groups[turn / 3 % 3],
                             .qmax = tops[turn / 5 % 3], .eps = turn % 2 ? 1e-5f : 1e-6f};
    if (e->rope) {
        c.n_rot = (turn % 4 ? n : n / 2) / 2 * 2;
        c.n *= c.n_heads;
    }
    if (!case_begin(h, e->name, "n %zu, heads %zu, rot %zu, group %u, qmax %d, data %d", c.n,
                    c.n_heads, c.n_rot, (unsigned)c.group, c.qmax, (int)data))
        return;
    c.x = input(h, S_X, c.n, data);
    c.a = input(h, S_A, e->rope ? c.n_rot / 2 : c.n, e->rope ? DATA_RANDOM : data);
    c.b = input(h, S_B, e->rope ? c.n_rot / 2 : 0, DATA_RANDOM);
    e->call(h, &h->tiers[0].element, &c, S_OUT);
    const uint8_t *want[N_OUT];
    for (size_t o = 0; o < N_OUT; o++)
        want[o] = c.n_bytes[o] ? h->slot_end[S_OUT + o] - c.n_bytes[o] : NULL;
    for (size_t i = 1; i < h->n_tiers; i++) {
        if (!case_tier(h, i, !same_code(&h->tiers[i], &h->tiers[i - 1], e)))
            continue;
        e->call(h, &h->tiers[i].element, &c, S_GOT);
        if (c.n_bytes[1] == 0 && e->call != call_to_f16) {
            case_floats(h, i, (const float *)(const void *)want[0],
                        (const float *)(const void *)(h->slot_end[S_GOT] - c.n_bytes[0]), c.n);
            continue;
        }
        for (size_t o = 0; o < N_OUT && c.n_bytes[o]; o++)
            case_bytes(h, i, want[o], h->slot_end[S_GOT + o] - c.n_bytes[o], c.n_bytes[o]);
    }
}

void check_element(struct harness *h)
{
    static const size_t real[] = {1024, 1536, 2048, 2560, 4096, 5460, 6144, 6912, 14336};
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        size_t turn = i;
        for (size_t n = 1; n <= 700; n++, turn++) {
            run_case(h, &entries[i], n, turn);
            run_case(h, &entries[i], n, 7 * turn + 2);
        }
        for (size_t j = 0; j < sizeof real / sizeof *real * N_DATA; j++, turn++)
            run_case(h, &entries[i], real[j / N_DATA], turn);
    }
}
