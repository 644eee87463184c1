/* arena.h: one aligned block of memory, sized first, handed out once, freed once.
 *
 * A layout function takes what it needs from an arena; run on an arena without memory it only
 * counts, so the size that is reported and the size that is used cannot differ:
 *
 *     struct arena a = {0};
 *     lay_out(&a, ...);                        counts into a.n_used
 *     arena_open(&a, err) && lay_out(&a, ...)  the same calls, now with memory
 */
#ifndef BITNET_ARENA_H
#define BITNET_ARENA_H

#include "src/base.h"

struct arena {
    uint8_t *base; /* NULL: counting */
    size_t n_used, n_bytes;
    bool overflow; /* a counted size passed SIZE_MAX */
};

/* n_items * item_bytes, 64-byte aligned, zeroed; NULL while counting. */
void *arena_take(struct arena *a, size_t n_items, size_t item_bytes);
/* Takes memory for all that was counted and starts over; fails when there is not enough. */
bool arena_open(struct arena *a, struct bitnet_error *err);
void arena_close(struct arena *a);

#endif
