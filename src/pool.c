/* pool.c: see pool.h. One counter of runs starts the workers, one counter of the finished ends the
 * run; the mutex and condition serve only those who gave up spinning. */
#if defined(__linux__)
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "src/pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Fork and join cost 0.3 us while spinning and 32 us through a futex (two threads, AVX-512 VM), and
 * the steps of one token are at most some tens of microseconds apart. */
enum { SPINS_BEFORE_YIELD = 2000, SPINS_BEFORE_SLEEP = 12000 };

/* One thread reads so much in 4 us from the L2 cache and in 32 us from memory; a worker that was
 * preempted on a busy machine comes back after milliseconds. */
enum { BYTES_WORTH_SHARING = 512 << 10 };

struct worker {
    struct pool *pool;
    int idx;
    pthread_t thread;
};

struct pool {
    int n_threads, n_started, n_spins;
    pool_fn *fn;
    void *ctx;
    _Alignas(64) atomic_uint n_runs; /* a new value starts a run */
    _Alignas(64) atomic_int n_busy;
    _Alignas(64) atomic_int n_asleep;
    atomic_bool quit;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    struct worker workers[MAX_THREADS];
};

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void wait_for_run(struct pool *p, unsigned seen)
{
    for (int i = 0; i < p->n_spins; i++) {
        if (atomic_load_explicit(&p->n_runs, memory_order_acquire) != seen)
            return;
        if (i < SPINS_BEFORE_YIELD)
            relax();
        else
            sched_yield(); /* more threads than cores: let the others come to an end */
    }
    pthread_mutex_lock(&p->mutex);
    atomic_fetch_add(&p->n_asleep, 1);
    while (atomic_load(&p->n_runs) == seen)
        pthread_cond_wait(&p->wake, &p->mutex);
    atomic_fetch_sub(&p->n_asleep, 1);
    pthread_mutex_unlock(&p->mutex);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct pool *p = w->pool;
    for (unsigned seen = 0;; seen++) {
        wait_for_run(p, seen);
        if (atomic_load(&p->quit))
            return NULL;
        p->fn(p->ctx, w->idx, p->n_threads);
        atomic_fetch_sub_explicit(&p->n_busy, 1, memory_order_release);
    }
}

static void start_run(struct pool *p)
{
    atomic_fetch_add(&p->n_runs, 1);
    /* n_asleep rises under the mutex before its owner looks at n_runs again, so a worker that this
     * test misses has already seen the new run. */
    if (atomic_load(&p->n_asleep) > 0) {
        pthread_mutex_lock(&p->mutex);
        pthread_cond_broadcast(&p->wake);
        pthread_mutex_unlock(&p->mutex);
    }
}

void pool_run(struct pool *p, pool_fn *fn, void *ctx)
{
    if (p->n_threads == 1) {
        fn(ctx, 0, 1);
        return;
    }
    p->fn = fn;
    p->ctx = ctx;
    atomic_store(&p->n_busy, p->n_threads - 1);
    start_run(p);
    fn(ctx, 0, p->n_threads);
    for (int i = 0; atomic_load_explicit(&p->n_busy, memory_order_acquire) > 0; i++) {
        if (i < SPINS_BEFORE_YIELD)
            relax();
        else
            sched_yield();
    }
}

void pool_run_sized(struct pool *p, uint64_t n_bytes, pool_fn *fn, void *ctx)
{
    if (n_bytes < BYTES_WORTH_SHARING)
        fn(ctx, 0, 1);
    else
        pool_run(p, fn, ctx);
}

void pool_share_out(struct pool_shares *s, const struct pool *p, size_t n_items, size_t least)
{
    const size_t n_parts = (size_t)p->n_threads;
    s->n_items = n_items;
    s->least = least;
    s->part = (n_items + n_parts * least - 1) / (n_parts * least) * least;
    s->n_parts = p->n_threads;
    for (size_t i = 0; i < n_parts; i++)
        atomic_store_explicit(&s->next[i], i * s->part, memory_order_relaxed);
}

static bool take_of_part(struct pool_shares *s, size_t i, size_t *begin, size_t *end)
{
    const size_t last = (i + 1) * s->part < s->n_items ? (i + 1) * s->part : s->n_items;
    *begin = atomic_load_explicit(&s->next[i], memory_order_relaxed);
    do {
        if (*begin >= last)
            return false;
        const size_t n_left = last - *begin;
        size_t n = s->n_parts == 1 ? n_left : n_left / 2 / s->least * s->least;
        n = n < s->least ? s->least : n;
        *end = *begin + (n < n_left ? n : n_left);
    } while (!atomic_compare_exchange_weak_explicit(&s->next[i], begin, *end, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

bool pool_take(struct pool_shares *s, int worker, size_t *begin, size_t *end)
{
    for (int i = 0; i < s->n_parts; i++)
        if (take_of_part(s, (size_t)((worker + i) % s->n_parts), begin, end))
            return true;
    return false;
}

bool pool_open(struct pool **out, int n_threads, struct bitnet_error *err)
{
    if (n_threads < 1 || n_threads > MAX_THREADS)
        return fail(err, BITNET_USAGE, "-t %d: threads must be 1..%d", n_threads, MAX_THREADS);
    struct pool *p = NULL;
    if (posix_memalign((void **)&p, 64, sizeof *p) != 0)
        return fail(err, BITNET_FAILED, "cannot get memory for %d threads", n_threads);
    /* More threads than cores: who spins keeps those from running that it waits for. */
    *p = (struct pool){.n_threads = n_threads,
                       .n_spins = n_threads <= pool_usable_cores() ? SPINS_BEFORE_SLEEP : 0};
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->wake, NULL);
    sigset_t all, before; /* signals belong to the caller's thread */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int i = 1; i < n_threads; i++) {
        p->workers[i] = (struct worker){.pool = p, .idx = i};
        if (pthread_create(&p->workers[i].thread, NULL, worker_main, &p->workers[i]) != 0)
            break;
        p->n_started = i;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (p->n_started != n_threads - 1) {
        pool_close(p);
        return fail(err, BITNET_FAILED, "-t %d: the system refused to start so many threads",
                    n_threads);
    }
    *out = p;
    return true;
}

void pool_close(struct pool *p)
{
    if (!p)
        return;
    atomic_store(&p->quit, true);
    start_run(p);
    for (int i = 1; i <= p->n_started; i++)
        pthread_join(p->workers[i].thread, NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->mutex);
    free(p);
}

int pool_threads(const struct pool *p)
{
    return p->n_threads;
}

/* "max 100000" or "150000 100000": microseconds of CPU per period; rounded up to whole cores. */
static int cgroup_cores(void)
{
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "r");
    if (!f)
        return MAX_THREADS;
    long quota, period;
    int n = fscanf(f, "%ld %ld", &quota, &period);
    fclose(f);
    if (n != 2 || quota <= 0 || period <= 0)
        return MAX_THREADS;
    long cores = (quota + period - 1) / period;
    return cores < MAX_THREADS ? (int)cores : MAX_THREADS;
}

int pool_usable_cores(void)
{
    int n = 0;
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        n = CPU_COUNT(&set);
#endif
    if (n < 1)
        n = (int)sysconf(_SC_NPROCESSORS_ONLN);
    int limit = cgroup_cores();
    n = n < limit ? n : limit;
    return n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : n;
}
