/* pool.h: a fixed set of threads that run one function together.
 *
 * The caller is worker 0. Workers are created once; between runs they spin for some microseconds
 * (the steps of a token follow each other faster than a sleeping thread wakes) and then sleep. */
#ifndef BITNET_POOL_H
#define BITNET_POOL_H

#include <stdatomic.h>

#include "src/base.h"

enum { MAX_THREADS = 256 };

struct pool;
typedef void pool_fn(void *ctx, int worker, int n_workers);

bool pool_open(struct pool **out, int n_threads, struct bitnet_error *err);
void pool_close(struct pool *p);
int pool_threads(const struct pool *p);
/* Runs fn on every worker and returns when all have. Not reentrant. */
void pool_run(struct pool *p, pool_fn *fn, void *ctx);
/* The same for work that reads about n_bytes: when they are so few that waking the others costs more
 * than it saves, the caller does it alone as worker 0 of 1. */
void pool_run_sized(struct pool *p, uint64_t n_bytes, pool_fn *fn, void *ctx);

/* Items that the workers of a run share. Each has a part of its own, the same in every run, so that
 * it finds again in its cache what it wrote there; when that is done it helps the others. Of a part
 * half of what is left is taken at a time, so that a worker whose core is slow or taken away for a
 * while does not keep the others waiting. */
struct pool_shares {
    size_t n_items, part, least;
    int n_parts;
    atomic_size_t next[MAX_THREADS]; /* of each part: the first item that nobody has taken */
};
/* For the next run of p: n_items, in shares that begin at multiples of `least`. */
void pool_share_out(struct pool_shares *s, const struct pool *p, size_t n_items, size_t least);
/* Items [begin, end) for a worker, until there are none: false. */
bool pool_take(struct pool_shares *s, int worker, size_t *begin, size_t *end);

/* Cores that this process may use: its affinity mask and its cgroup's quota. At least 1. */
int pool_usable_cores(void);

#endif
