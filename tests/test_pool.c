/* test_pool.c: items that workers share come to one of them each, its own first. */
#include <string.h>

#include "src/pool.h"
#include "tests/check.h"

enum { MOST_ITEMS = 1000 };

struct taking {
    struct pool_shares shares;
    atomic_int n_taken[MOST_ITEMS];
    atomic_int n_odd; /* shares that are empty, too long or begin where none may */
};

static void take_all(void *ctx, int worker, int n_workers)
{
    struct taking *t = ctx;
    size_t begin, end;
    (void)n_workers;
    while (pool_take(&t->shares, worker, &begin, &end)) {
        if (begin >= end || end > t->shares.n_items || begin % t->shares.least != 0) {
            atomic_fetch_add(&t->n_odd, 1);
            return;
        }
        for (; begin < end; begin++)
            atomic_fetch_add(&t->n_taken[begin], 1);
    }
}

static void each_once(struct pool *p, size_t n_items, size_t least)
{
    static struct taking t;
    memset(&t, 0, sizeof t);
    pool_share_out(&t.shares, p, n_items, least);
    pool_run(p, take_all, &t);
    size_t n_wrong = 0;
    for (size_t i = 0; i < MOST_ITEMS; i++)
        n_wrong += atomic_load(&t.n_taken[i]) != (i < n_items);
    CHECK(n_wrong == 0, "%d threads, %zu items by %zu: %zu not taken once", pool_threads(p),
          n_items, least, n_wrong);
    CHECK(atomic_load(&t.n_odd) == 0, "%d threads, %zu items by %zu: odd share", pool_threads(p),
          n_items, least);
}

/* A worker that nobody helps takes its own part, half by half, and then those of the others. */
static void own_first(struct pool *p)
{
    static struct pool_shares s;
    const size_t part = MOST_ITEMS / 4;
    size_t begin, end, at = 2 * part;
    pool_share_out(&s, p, MOST_ITEMS, 1);
    for (size_t n = 0; n < MOST_ITEMS; n += end - begin) {
        const bool some = pool_take(&s, 2, &begin, &end);
        CHECK(some && begin == at && begin < end, "at %zu, want %zu", begin, at);
        if (!some || begin >= end)
            return;
        CHECK(begin / part == (end - 1) / part, "%zu to %zu", begin, end);
        CHECK(end - begin <= part / 2, "%zu to %zu: more than half", begin, end);
        at = end % MOST_ITEMS;
    }
    CHECK(!pool_take(&s, 2, &begin, &end), "nothing is left");
}

int main(void)
{
    static const int threads[] = {1, 2, 3, 4, 7};
    static const size_t counts[] = {0, 1, 3, 4, 5, 12, 63, 64, 65, 999, MOST_ITEMS};
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
        struct pool *p;
        struct bitnet_error err;
        if (!pool_open(&p, threads[i], &err)) {
            CHECK(false, "%s", err.msg);
            continue;
        }
        for (size_t j = 0; j < sizeof counts / sizeof *counts; j++) {
            each_once(p, counts[j], 1);
            each_once(p, counts[j], 4);
        }
        if (threads[i] == 4)
            own_first(p);
        pool_close(p);
    }
    return check_done();
}
