#include "src/read_speed.h"

typedef uint64_t pair __attribute__((vector_size(16)));

struct job {
    const uint8_t *bytes;
    size_t n_bytes;
    volatile uint64_t sum[MAX_THREADS * 8]; /* so that no read is dropped; a line for each */
};

/* Two streams, prefetched: one alone does not reach the memory's limit. */
static void read_part(void *ctx, int worker, int n_workers)
{
    struct job *j = ctx;
    size_t n_lines = j->n_bytes / 64, i = (size_t)worker, n = (size_t)n_workers;
    const uint8_t *begin = j->bytes + n_lines * i / n * 64;
    size_t half = (n_lines * (i + 1) / n - n_lines * i / n) / 2 * 64;
    pair sum[4] = {{0}};
    for (size_t at = 0; at < half; at += 64) {
        const pair *a = (const void *)(begin + at), *b = (const void *)(begin + half + at);
        __builtin_prefetch(begin + at + 8192, 0, 2);
        __builtin_prefetch(begin + half + at + 8192, 0, 2);
        for (size_t k = 0; k < 4; k++)
            sum[k] += a[k] + b[k];
    }
    pair all = sum[0] + sum[1] + sum[2] + sum[3];
    j->sum[8 * i] = all[0] + all[1];
}

double read_speed(struct pool *p, const void *bytes, size_t n_bytes)
{
    struct job j = {.bytes = bytes, .n_bytes = n_bytes};
    uint64_t start = now_ns();
    pool_run(p, read_part, &j);
    uint64_t ns = now_ns() - start;
    return (double)n_bytes / (double)(ns ? ns : 1);
}
