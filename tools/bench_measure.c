/* bench_measure.c: see bench_measure.h. A window is one pass of all threads over a stretch of
 * weights, some hundreds of microseconds; kernel, read and peak take turns, so that what disturbs the
 * machine disturbs them alike, and medians drop what disturbs one. */
#include <stdlib.h>
#include <string.h>

#include "tools/bench_measure.h"

enum { MEMORY_BYTES = 256 << 20, CACHE_BYTES = 512 << 10, MAX_WINDOWS = 2000, MIN_WINDOWS = 5,
       PEAK_ROUNDS = 20000 };
/* Shorter than the slices in which systems share a core, so that most windows are undisturbed; in
 * cache reached by repetition. Many tokens need more blocks, for what is done once for all. */
#define WINDOW_NS 3e5
#define WINDOW_NS_MANY 1e6
enum { LEAST_BLOCKS = 8, LEAST_BLOCKS_MANY = 48, MANY_TOKENS = 9 };

struct run {
    const struct bench_job *job;
    struct matmul m[2]; /* block_end: how many blocks a window takes */
    struct matrix w[2];
    struct activations x[2];
    void *scratch[MAX_THREADS];
    uint8_t *room;
    size_t n_parts, n_repeats;
    size_t n_places; /* windows that a copy has room for */
    size_t window;   /* number of this one: which copy, and where in it */
    volatile uint64_t sink[MAX_THREADS];
};

static uint32_t next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void random_block(uint8_t *block, enum encoding e, uint32_t group, size_t n_cols,
                         void *values, uint16_t *halves)
{
    static const int least[] = {[ENC_I8] = -127, [ENC_T2] = -1, [ENC_T1_6] = -1, [ENC_B1] = -1,
                                [ENC_I6] = -32, [ENC_I4] = -8, [ENC_I8X2] = -127};
    static const uint32_t n_values[] = {[ENC_I8] = 255, [ENC_T2] = 3, [ENC_T1_6] = 3,
                                        [ENC_B1] = 2, [ENC_I6] = 64, [ENC_I4] = 16,
                                        [ENC_I8X2] = 255};
    uint32_t state = 1;
    for (size_t i = 0; i < BLOCK_ROWS * n_cols; i++) {
        if (e == ENC_F16) {
            ((uint16_t *)values)[i] = (uint16_t)(0x3000 | (next(&state) & 0x83ff));
        } else {
            int v = least[e] + (int)(next(&state) % n_values[e]);
            ((int8_t *)values)[i] = (int8_t)(e == ENC_B1 && v == 0 ? 1 : v);
        }
    }
    for (size_t i = 0; i < BLOCK_ROWS * (n_cols / 32 + 1); i++) {
        halves[i] = (uint16_t)(0x2000 | (next(&state) & 0x3ff));
    }
    layout_pack(block, e, group, values, group ? halves : NULL, n_cols);
}

bool bench_weights_make(struct bench_weights *w, enum encoding e, uint32_t group,
                        struct bench_shape shape, struct bitnet_error *err)
{
    *w = (struct bench_weights){.encoding = e, .group = group, .shape = shape};
    size_t rows[] = {shape.n_rows, shape.n_cols}, block_bytes[2];
    for (size_t p = 0; p < 2; p++) {
        block_bytes[p] = layout_block_bytes(e, group, rows[!p]);
        w->part_bytes[p] = layout_blocks(rows[p]) * block_bytes[p];
    }
    w->copy_bytes = w->part_bytes[0] + w->part_bytes[1];
    w->n_copies = MEMORY_BYTES / w->copy_bytes + 2;
    size_t most = shape.n_rows > shape.n_cols ? shape.n_rows : shape.n_cols;
    uint16_t *values = malloc(BLOCK_ROWS * (most * 2 + most / 16 + 2));
    if (!values || posix_memalign((void **)&w->bytes, 4096, w->n_copies * w->copy_bytes) != 0) {
        free(values);
        return fail(err, BITNET_FAILED, "cannot get %zu MiB of memory for the weights",
                    w->n_copies * w->copy_bytes >> 20);
    }
    for (size_t p = 0, at = 0; p < 2; at += w->part_bytes[p++]) {
        random_block(w->bytes + at, e, group, rows[!p], values, values + BLOCK_ROWS * most);
        for (size_t i = block_bytes[p]; i < w->part_bytes[p]; i += block_bytes[p]) {
            memcpy(w->bytes + at + i, w->bytes + at, block_bytes[p]);
        }
    }
    for (size_t i = 1; i < w->n_copies; i++) {
        memcpy(w->bytes + i * w->copy_bytes, w->bytes, w->copy_bytes);
    }
    free(values);
    return true;
}

void bench_weights_free(struct bench_weights *w)
{
    free(w->bytes);
    w->bytes = NULL;
}

static size_t block_bytes_of(const struct matrix *w)
{
    return layout_block_bytes((enum encoding)w->encoding, w->group, w->n_cols);
}

static void share(const struct matmul *m, int worker, int n_workers, size_t *begin, size_t *end)
{
    *begin = m->block_end * (size_t)worker / (size_t)n_workers;
    *end = m->block_end * ((size_t)worker + 1) / (size_t)n_workers;
}

/* The first block of this window: one after the other through all copies. */
static const uint8_t *part_at(const struct run *r, size_t part)
{
    const struct bench_weights *w = r->job->weights;
    size_t copy = r->window / r->n_places % w->n_copies, place = r->window % r->n_places;
    return w->bytes + copy * w->copy_bytes + (part ? w->part_bytes[0] : 0) +
           place * r->m[part].block_end * block_bytes_of(&r->w[part]);
}

static void kernel_window(void *ctx, int worker, int n_workers)
{
    const struct run *r = ctx;
    for (size_t i = 0; i < r->n_repeats * r->n_parts; i++) {
        struct matmul m = r->m[i % r->n_parts];
        struct matrix w = *m.w;
        w.lines = part_at(r, i % r->n_parts);
        m.w = &w;
        m.scratch = r->scratch[worker];
        share(&r->m[i % r->n_parts], worker, n_workers, &m.block_begin, &m.block_end);
        if (m.block_begin < m.block_end) {
            r->job->fn(&m);
        }
    }
}

static void read_window(void *ctx, int worker, int n_workers)
{
    struct run *r = ctx;
    uint64_t sum = 0;
    for (size_t i = 0; i < r->n_repeats * r->n_parts; i++) {
        size_t begin, end, part = i % r->n_parts, bytes = block_bytes_of(&r->w[part]);
        share(&r->m[part], worker, n_workers, &begin, &end);
        sum += r->job->peak->read(part_at(r, part) + begin * bytes,
                                  (end - begin) * bytes / 1024 * 1024);
    }
    r->sink[worker] += sum;
}

static void peak_window(void *ctx, int worker, int n_workers)
{
    struct run *r = ctx;
    (void)n_workers;
    const struct peak *p = r->job->peak;
    r->sink[worker] += r->job->act == ACT_F32 ? p->multiply_f32(PEAK_ROUNDS)
                                              : p->multiply_i8(PEAK_ROUNDS);
}

static double time_window(struct run *r, pool_fn *window)
{
    uint64_t start = now_ns();
    pool_run(r->job->pool, window, r);
    return (double)(now_ns() - start);
}

static size_t aligned(size_t n_bytes)
{
    return (n_bytes + 127) / 64 * 64;
}

static void fill_activations(struct activations *x, enum act_kind kind, int8_t *q, int32_t *sum32,
                             float *scale, float *f)
{
    static const int most[] = {[ACT_I8] = 127, [ACT_I4] = 7, [ACT_I2] = 1, [ACT_SIGN] = 1};
    uint32_t state = 7;
    for (size_t i = 0; i < x->n_tok * x->q_stride; i++) {
        if (i % x->q_stride >= x->n_cols) {
            continue;
        }
        if (kind == ACT_F32) {
            f[i] = (float)next(&state) * 0x1p-23f - 1.0f;
            continue;
        }
        int v = (int)(next(&state) % (uint32_t)(2 * most[kind] + 1)) - most[kind];
        q[i] = (int8_t)(kind == ACT_SIGN && v == 0 ? 1 : v);
        sum32[i / 32] += q[i];
    }
    for (size_t t = 0; t < x->n_tok; t++) {
        scale[t] = 0.01f;
    }
    x->q = q, x->sum32 = sum32, x->scale = scale, x->f = f;
}

/* Activations, results and scratch for both matrices. */
static bool run_open(struct run *r, const struct bench_job *job, struct bitnet_error *err)
{
    const struct bench_weights *w = job->weights;
    size_t rows[] = {w->shape.n_rows, w->shape.n_cols};
    size_t most = rows[0] > rows[1] ? rows[0] : rows[1], stride = act_stride(most);
    size_t n_threads = (size_t)pool_threads(job->pool);
    size_t n_q = aligned(job->n_tok * stride), n_y = aligned(job->n_tok * (most + 16) * 4);
    size_t n_scale = aligned(most * 4 + 64) + aligned(job->n_tok * 4);
    size_t n_scratch = aligned(matmul_scratch_bytes(most));
    size_t total = 2 * (n_q + n_q / 8 + 128 + 4 * n_q) + n_y + n_scale + n_threads * n_scratch;
    *r = (struct run){.job = job, .n_parts = job->cached ? 1 : 2, .n_repeats = 1,
                      .n_places = 1};
    if (posix_memalign((void **)&r->room, 64, total) != 0) {
        return fail(err, BITNET_FAILED, "cannot get %zu MiB of memory", total >> 20);
    }
    memset(r->room, 0, total);
    uint8_t *at = r->room;
    float *y = (float *)(void *)at, *wscale = (float *)(void *)(at + n_y);
    float *ascale = (float *)(void *)(at + n_y + aligned(most * 4 + 64));
    at += n_y + n_scale;
    for (size_t i = 0; i < most + 16; i++) {
        wscale[i] = 0.5f;
    }
    for (size_t p = 0; p < 2; p++) {
        r->w[p] = (struct matrix){.scale = w->group ? NULL : wscale, .n_rows = rows[p],
                                  .n_cols = rows[!p], .group = w->group,
                                  .encoding = (uint8_t)w->encoding,
                                  .scale_kind = w->group ? SCALE_GROUP : SCALE_ROW};
        r->x[p] = (struct activations){.n_tok = job->n_tok, .n_cols = rows[!p], .n_groups = 1,
                                       .q_stride = act_stride(rows[!p]),
                                       .kind = (uint8_t)job->act};
        fill_activations(&r->x[p], job->act, (int8_t *)at, (int32_t *)(void *)(at + n_q), ascale,
                         (float *)(void *)(at + n_q + aligned(n_q / 8)));
        at += n_q + aligned(n_q / 8) + 4 * n_q;
        r->m[p] = (struct matmul){.y = y, .y_stride = layout_blocks(rows[p]) * BLOCK_ROWS,
                                  .w = &r->w[p], .x = &r->x[p],
                                  .block_end = layout_blocks(rows[p])};
    }
    for (size_t i = 0; i < n_threads; i++) {
        r->scratch[i] = at + i * n_scratch;
    }
    return true;
}

/* Cuts the window to what fits the caches, or to the time it may take; repeats what is short. */
static void fit_window(struct run *r)
{
    bool many = r->job->n_tok >= MANY_TOKENS && r->job->act != ACT_F32;
    size_t n_threads = (size_t)pool_threads(r->job->pool);
    size_t all[2] = {r->m[0].block_end, r->m[1].block_end};
    size_t unit = n_threads * (many ? LEAST_BLOCKS_MANY : LEAST_BLOCKS);
    if (r->job->cached) {
        size_t fit = CACHE_BYTES * n_threads / block_bytes_of(&r->w[0]) / n_threads * n_threads;
        r->m[0].block_end = fit < all[0] ? fit : all[0];
        double once = (time_window(r, kernel_window), time_window(r, kernel_window));
        r->n_repeats = once < WINDOW_NS ? (size_t)(WINDOW_NS / once) + 1 : 1;
        return;
    }
    for (size_t p = 0; p < 2; p++) {
        r->m[p].block_end = all[p] < unit ? all[p] : unit;
    }
    double ns = (time_window(r, kernel_window), time_window(r, kernel_window));
    size_t n_units = (size_t)((many ? WINDOW_NS_MANY : WINDOW_NS) / ns);
    n_units = n_units < 1 ? 1 : n_units;
    r->n_places = SIZE_MAX;
    for (size_t p = 0; p < 2; p++) {
        r->m[p].block_end = unit * n_units < all[p] ? unit * n_units : all[p];
        size_t n = all[p] / r->m[p].block_end;
        r->n_places = n < r->n_places ? n : r->n_places;
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

bool bench_measure(struct bench_result *result, const struct bench_job *job,
                   struct bitnet_error *err)
{
    static double ns[3][MAX_WINDOWS];
    struct run r;
    if (!run_open(&r, job, err)) {
        return false;
    }
    fit_window(&r);
    size_t n = 0;
    uint64_t end = now_ns() + (uint64_t)(job->seconds * 1e9);
    for (; n < MAX_WINDOWS && (n < MIN_WINDOWS || now_ns() < end); n++) {
        r.window = job->cached ? 0 : 2 * n;
        ns[0][n] = time_window(&r, kernel_window);
        r.window = job->cached ? 0 : 2 * n + 1;
        ns[1][n] = time_window(&r, read_window);
        ns[2][n] = time_window(&r, peak_window);
    }
    for (size_t i = 0; i < 3; i++) {
        qsort(ns[i], n, sizeof ns[i][0], by_value);
    }
    *result = (struct bench_result){.ns = ns[0][n / 2], .read_ns = ns[1][n / 2],
                                    .peak_ns = ns[2][n / 2]};
    result->spread = (ns[0][3 * n / 4] - ns[0][n / 4]) / result->ns;
    for (size_t p = 0; p < r.n_parts; p++) {
        double blocks = (double)(r.m[p].block_end * r.n_repeats);
        result->n_bytes += blocks * (double)block_bytes_of(&r.w[p]);
        result->n_weights += blocks * BLOCK_ROWS * (double)r.w[p].n_cols;
    }
    size_t macs = job->act == ACT_F32 ? job->peak->macs_f32 : job->peak->macs_i8;
    result->peak_ops = 2.0 * (double)macs * PEAK_ROUNDS * pool_threads(job->pool);
    free(r.room);
    return true;
}
