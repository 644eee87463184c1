/* blocks.h: runs a function over the row blocks of a foreign tensor on all threads, each with room
 * of its own: the one loop that surveying and packing share. */
#ifndef TOOLS_BLOCKS_H
#define TOOLS_BLOCKS_H

#include "kernels/layout.h"
#include "src/pool.h"
#include "tools/source.h"

struct room {
    struct rows rows;
    int8_t *packed;    /* [BLOCK_ROWS][n_cols]: what layout_pack takes */
    uint16_t *halves;  /* [BLOCK_ROWS][n_cols] */
    uint16_t *scales;  /* [BLOCK_ROWS][n_groups] */
    float *levels;     /* [BLOCK_ROWS][ceil(n_cols / 32)] */
};

struct blocks {
    struct pool *pool;
    struct room *rooms; /* [n_workers] */
    int n_workers;
    const struct source *source;
};

/* n_threads 0: one for each usable core. */
bool blocks_open(struct blocks *b, const struct source *s, int n_threads, struct bitnet_error *err);
void blocks_close(struct blocks *b);

/* Called with block's rows in room->rows, n_rows of them (less than 16 at the tensor's end).
 * *stop = true ends the run early without an error. */
typedef bool block_fn(void *ctx, int worker, uint64_t block, size_t n_rows, struct room *room,
                      bool *stop, struct bitnet_error *err);
/* Blocks [begin, end) of t. When several fail, the error is that of the first one. One thread calls
 * meanwhile(ctx) before it takes part, unless that is NULL: what must be done by one, such as
 * writing, then costs the others nothing. */
typedef bool meanwhile_fn(void *ctx, struct bitnet_error *err);
bool blocks_run(struct blocks *b, const struct source_tensor *t, uint64_t begin, uint64_t end,
                block_fn *fn, meanwhile_fn *meanwhile, void *ctx, struct bitnet_error *err);

#endif
