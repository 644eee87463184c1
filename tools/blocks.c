/* blocks.c: see blocks.h. */
#include "tools/blocks.h"

#include <stdatomic.h>
#include <stdlib.h>

struct run {
    struct blocks *blocks;
    const struct source_tensor *t;
    uint64_t begin, end;
    block_fn *fn;
    meanwhile_fn *meanwhile;
    void *ctx;
    atomic_bool stop;
    atomic_uint_fast64_t next;
    uint64_t *failed_at;         /* [n_workers] */
    struct bitnet_error *errors; /* [n_workers] */
};

static void work(void *ctx, int worker, int n_workers)
{
    struct run *r = ctx;
    struct room *room = &r->blocks->rooms[worker];
    const struct source *s = r->blocks->source;
    (void)n_workers;
    if (worker == 0 && r->meanwhile && !r->meanwhile(r->ctx, &r->errors[0])) {
        r->failed_at[0] = 0; /* before any block */
        atomic_store(&r->stop, true);
    }
    while (!atomic_load(&r->stop)) {
        uint64_t block = atomic_fetch_add(&r->next, 1), row = block * BLOCK_ROWS;
        if (block >= r->end)
            return;
        uint64_t left = r->t->n_rows - row;
        size_t n = left < BLOCK_ROWS ? (size_t)left : BLOCK_ROWS;
        struct bitnet_error *err = &r->errors[worker];
        bool stop = false;
        if (!s->read(s, r->t, row, n, &room->rows, err) ||
            !r->fn(r->ctx, worker, block, n, room, &stop, err)) {
            r->failed_at[worker] = block;
            stop = true;
        }
        if (stop)
            atomic_store(&r->stop, true);
    }
}

bool blocks_run(struct blocks *b, const struct source_tensor *t, uint64_t begin, uint64_t end,
                block_fn *fn, meanwhile_fn *meanwhile, void *ctx, struct bitnet_error *err)
{
    struct run r = {.blocks = b, .t = t, .begin = begin, .end = end, .fn = fn,
                    .meanwhile = meanwhile, .ctx = ctx};
    size_t n = (size_t)b->n_workers;
    r.failed_at = calloc(n, sizeof *r.failed_at);
    r.errors = calloc(n, sizeof *r.errors);
    if (!r.failed_at || !r.errors) {
        free(r.failed_at);
        free(r.errors);
        return fail(err, BITNET_FAILED, "%s: out of memory", b->source->path);
    }
    atomic_init(&r.stop, false);
    atomic_init(&r.next, begin);
    pool_run(b->pool, work, &r);
    size_t first = n;
    for (size_t i = 0; i < n; i++)
        if (r.errors[i].code != BITNET_OK &&
            (first == n || r.failed_at[i] < r.failed_at[first]))
            first = i;
    bool ok = first == n || fail(err, r.errors[first].code, "%s", r.errors[first].msg);
    free(r.failed_at);
    free(r.errors);
    return ok;
}

static bool room_open(struct room *r, size_t max_cols, size_t raw_bytes)
{
    size_t n = BLOCK_ROWS * max_cols, n_scales = BLOCK_ROWS * (max_cols / 32 + 1);
    r->rows.codes = malloc(n);
    r->rows.bits = malloc(n / 8 + BLOCK_ROWS);
    r->rows.values = malloc(n * sizeof(float));
    r->rows.scales = malloc(n_scales * sizeof(float));
    r->rows.raw = malloc(raw_bytes + 1);
    r->packed = malloc(n);
    r->halves = malloc(n * sizeof(uint16_t));
    r->scales = malloc(n_scales * sizeof(uint16_t));
    r->levels = malloc(n_scales * sizeof(float));
    return r->rows.codes && r->rows.bits && r->rows.values && r->rows.scales && r->rows.raw &&
           r->packed && r->halves && r->scales && r->levels;
}

bool blocks_open(struct blocks *b, const struct source *s, int n_threads, struct bitnet_error *err)
{
    *b = (struct blocks){.source = s};
    if (!pool_open(&b->pool, n_threads ? n_threads : pool_usable_cores(), err))
        return false;
    size_t max_cols = 1;
    for (size_t i = 0; i < s->n_tensors; i++)
        if (s->tensors[i].n_cols > max_cols)
            max_cols = (size_t)s->tensors[i].n_cols;
    b->n_workers = pool_threads(b->pool);
    b->rooms = calloc((size_t)b->n_workers, sizeof *b->rooms);
    bool ok = b->rooms != NULL;
    for (int i = 0; ok && i < b->n_workers; i++)
        ok = room_open(&b->rooms[i], max_cols, s->raw_bytes);
    if (!ok) {
        blocks_close(b);
        return fail(err, BITNET_FAILED, "%s: out of memory", s->path);
    }
    return true;
}

void blocks_close(struct blocks *b)
{
    for (int i = 0; b->rooms && i < b->n_workers; i++) {
        struct room *r = &b->rooms[i];
        free(r->rows.codes);
        free(r->rows.bits);
        free(r->rows.values);
        free(r->rows.scales);
        free(r->rows.raw);
        free(r->packed);
        free(r->halves);
        free(r->scales);
        free(r->levels);
    }
    free(b->rooms);
    pool_close(b->pool);
    *b = (struct blocks){0};
}
