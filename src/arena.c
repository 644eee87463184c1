/* arena.c: see arena.h. calloc leaves large blocks to the kernel's zero pages, so a KV cache for a
 * long context costs memory only as far as it is used. */
#include "src/arena.h"

#include <stdlib.h>

#include "src/map.h"

enum { ALIGN = 64 };

void *arena_take(struct arena *a, size_t n_items, size_t item_bytes)
{
    uint64_t n;
    if (!mul_u64(n_items, item_bytes, &n) || n > SIZE_MAX / 2 - a->n_used - ALIGN) {
        a->overflow = true;
        return NULL;
    }
    size_t at = a->n_used;
    a->n_used += round_up(n, ALIGN);
    if (!a->base)
        return NULL;
    return (uint8_t *)round_up((uintptr_t)a->base, ALIGN) + at;
}

bool arena_open(struct arena *a, struct bitnet_error *err)
{
    if (a->overflow)
        return fail(err, BITNET_FAILED, "session: sizes pass the address space");
    a->n_bytes = a->n_used + ALIGN;
    a->base = calloc(1, a->n_bytes);
    if (!a->base)
        return fail(err, BITNET_FAILED,
                    "session: cannot get %.1f MB of memory; try a smaller context (-c)",
                    (double)a->n_bytes / 1e6);
    map_sparse(a->base, a->n_bytes);
    a->n_used = 0;
    return true;
}

void arena_close(struct arena *a)
{
    free(a->base);
    *a = (struct arena){0};
}
