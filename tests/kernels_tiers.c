/* kernels_tiers.c: the tiers of this machine for check_kernels, filled by hand and not by
 * dispatch.c, whose self-test would set a faulty tier aside before it is checked. */
#include <stdio.h>
#include <string.h>

#include "tests/kernel_cases.h"

/* Absent where the architecture is another. */
#define WEAK(name, table) void name(struct table *) __attribute__((weak))
#define TIER(t)                                   \
    WEAK(fill_##t##_ternary, matrix_kernels);     \
    WEAK(fill_##t##_binary, matrix_kernels);      \
    WEAK(fill_##t##_head, matrix_kernels);        \
    WEAK(fill_##t##_attention, attention_kernels); \
    WEAK(fill_##t##_element, element_kernels);
TIER(scalar)
TIER(avx2)
TIER(avx512)
TIER(neon)
TIER(neondot)
TIER(neoni8mm)
#undef TIER
const char *kernels_tier(size_t i, bool *usable) __attribute__((weak));

static const struct tier {
    const char *name;
    void (*matrix[3])(struct matrix_kernels *);
    void (*attention)(struct attention_kernels *);
    void (*element)(struct element_kernels *);
} all_tiers[] = {
#define TIER(name, t)                                                     \
    {name, {fill_##t##_ternary, fill_##t##_binary, fill_##t##_head},      \
     fill_##t##_attention, fill_##t##_element}
    TIER("scalar", scalar),        TIER("avx2", avx2),
    TIER("avx512", avx512),        TIER("neon", neon),
    TIER("neon-dotprod", neondot), TIER("neon-i8mm", neoni8mm),
#undef TIER
};

static bool fill(struct kernels *k, const struct tier *t)
{
    bool any = false;
    for (size_t i = 0; i < 3; i++)
        if (t->matrix[i]) {
            t->matrix[i](&k->matrix);
            any = true;
        }
    if (t->attention)
        t->attention(&k->attention);
    if (t->element)
        t->element(&k->element);
    k->tier = t->name;
    return any || t->attention || t->element;
}

void tiers_open(struct harness *h)
{
    struct kernels k = {0};
    bool usable = true;
    for (size_t i = 0; i < sizeof all_tiers / sizeof *all_tiers; i++) {
        for (size_t j = 0; kernels_tier; j++) {
            const char *name = kernels_tier(j, &usable);
            if (!name || strcmp(name, all_tiers[i].name) == 0)
                break;
        }
        struct kernels next = k;
        if (!fill(&next, &all_tiers[i]))
            continue;
        if (usable)
            h->tiers[h->n_tiers++] = k = next;
        else
            printf("skip %s: this machine cannot run it\n", all_tiers[i].name);
    }
}
