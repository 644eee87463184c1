/* kernels_bench.c: check_kernels --bench, for whoever is writing a matrix kernel. Each entry of
 * each tier, cache-resident and from DRAM, for one token, four, eight and 256, beside a plain
 * read of as many bytes in the same minute. `bitnet bench kernels` is the command for users. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base.h"
#include "tests/kernel_cases.h"

enum { N_COLS = 2560, MAX_TOK = 256, N_WINDOWS = 15, DRAM_BYTES = 400 << 20, CACHE_BYTES = 1 << 20 };
static const uint64_t window_ns = 12000000;

struct job {
    struct matmul m;
    struct matrix w;
    struct activations x;
    matmul_fn *fn;
    const uint8_t *lines; /* all of them; calls take one matrix after another */
    size_t n_bytes, matrix_bytes, at;
};

static volatile uint64_t sink;

/* What the machine reads without doing anything to it. */
static void read_plain(const uint8_t *p, size_t n_bytes)
{
    const size_t half = n_bytes / 2 / 64 * 64;
    uint64_t sum[8] = {0};
    for (size_t i = 0; i < half; i += 64) {
        __builtin_prefetch(p + i + 8192, 0, 2);
        __builtin_prefetch(p + i + half + 8192, 0, 2);
        for (size_t j = 0; j < 8; j++) {
            uint64_t a, b;
            memcpy(&a, p + i + 8 * j, 8);
            memcpy(&b, p + half + i + 8 * j, 8);
            sum[j] += a + b;
        }
    }
    for (size_t j = 0; j < 8; j++)
        sink += sum[j];
}

static const uint8_t *next_matrix(struct job *j)
{
    if (j->at + j->matrix_bytes > j->n_bytes)
        j->at = 0;
    const uint8_t *p = j->lines + j->at;
    j->at += j->matrix_bytes;
    return p;
}

/* Nanoseconds per matrix over one window; a NULL function reads. */
static double window(struct job *j, matmul_fn *fn)
{
    uint64_t start = now_ns(), end;
    size_t n = 0;
    do {
        j->w.lines = next_matrix(j);
        if (fn)
            fn(&j->m);
        else
            read_plain(j->w.lines, j->matrix_bytes);
        n++;
        end = now_ns();
    } while (end - start < window_ns);
    return (double)(end - start) / (double)n;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(struct job *j, const char *tier, const char *name, const char *where)
{
    double own[N_WINDOWS], plain[N_WINDOWS];
    for (size_t i = 0; i < N_WINDOWS; i++) {
        own[i] = window(j, j->fn);
        plain[i] = window(j, NULL);
    }
    qsort(own, N_WINDOWS, sizeof *own, by_value);
    qsort(plain, N_WINDOWS, sizeof *plain, by_value);
    double ns = own[N_WINDOWS / 2], read = plain[N_WINDOWS / 2], bytes = (double)j->matrix_bytes;
    double weights = (double)(j->m.block_end * BLOCK_ROWS * N_COLS);
    printf("%-8s %-10s %-6s %4zu tok %7.2f GB/s %5.1f %% of read %7.1f w/ns %7.1f GOP/s\n", tier,
           name, where, j->x.n_tok, bytes / ns, 100 * read / ns, weights / ns,
           2 * weights * (double)j->x.n_tok / ns);
}

void bench_entry(struct harness *h, const char *name, enum encoding e, uint32_t group,
                 enum act_kind act, matmul_fn *(*of)(const struct kernels *))
{
    static const size_t tokens[] = {1, 2, 4, 8, 12, 256};
    const size_t stride = act_stride(N_COLS);
    static uint8_t *lines;
    struct job j = {.n_bytes = DRAM_BYTES};
    size_t block_bytes = layout_block_bytes(e, group, N_COLS);
    if (!lines) {
        lines = aligned_alloc(64, DRAM_BYTES);
        for (size_t i = 0; lines && i < DRAM_BYTES; i++)
            lines[i] = (uint8_t)(draw(h, 256) & 0x2a); /* codes 0 and 2, small half scales */
    }
    int8_t *q = aligned_alloc(64, MAX_TOK * stride);
    int32_t *sum32 = calloc(MAX_TOK * stride / 32, 4);
    float *f = aligned_alloc(64, MAX_TOK * stride * 4), *scale = calloc(MAX_TOK * 128, 4);
    float *y = aligned_alloc(64, (size_t)MAX_TOK * 65536 * 4);
    void *scratch = aligned_alloc(64, matmul_scratch_bytes(N_COLS));
    if (!lines || !q || !sum32 || !f || !scale || !y || !scratch)
        exit(1);
    for (size_t i = 0; i < MAX_TOK * stride; i++) {
        q[i] = (int8_t)draw_int(h, act == ACT_I8 ? -127 : -1, 1);
        f[i] = q[i];
        sum32[i / 32] += q[i];
    }
    j.x = (struct activations){.q = q, .sum32 = sum32, .scale = scale, .f = f, .n_cols = N_COLS,
                               .q_stride = stride, .kind = (uint8_t)act,
                               .n_groups = 1};
    j.w = (struct matrix){.scale = scale, .n_cols = N_COLS, .group = group,
                          .encoding = (uint8_t)e,
                          .scale_kind = group ? SCALE_GROUP : SCALE_TENSOR};
    j.m = (struct matmul){.y = y, .w = &j.w, .x = &j.x, .scratch = scratch};
    j.lines = lines;
    for (size_t t = 1; t < h->n_tiers; t++) {
        j.fn = of(&h->tiers[t]);
        if (j.fn == of(&h->tiers[t - 1]) ||
            (h->only_tier && strcmp(h->only_tier, h->tiers[t].tier) != 0))
            continue;
        for (size_t i = 0; i < 2 * sizeof tokens / sizeof *tokens; i++) {
            bool cache = i % 2 == 0;
            j.x.n_tok = tokens[i / 2];
            size_t wanted = cache ? CACHE_BYTES : (size_t)432 * block_bytes;
            j.m.block_end = wanted / block_bytes;
            j.matrix_bytes = j.m.block_end * block_bytes;
            j.n_bytes = cache ? j.matrix_bytes : DRAM_BYTES;
            j.m.y_stride = j.w.n_rows = j.m.block_end * BLOCK_ROWS;
            if (j.m.y_stride <= 65536)
                measure(&j, h->tiers[t].tier, name, cache ? "cache" : "dram");
        }
    }
    free(q), free(sum32), free(f), free(scale), free(y), free(scratch);
}
