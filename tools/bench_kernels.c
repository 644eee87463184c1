/* bench_kernels.c: `bitnet bench kernels`: every matrix kernel of this machine's tiers beside the
 * plain read speed and the multiply-add peak of the same run. */
#include <stdlib.h>
#include <string.h>

#include "kernels/dispatch.h"
#include "src/cmd_out.h"
#include "tools/bench_measure.h"
#include "tools/tools.h"

/* The largest matrices of BitNet b1.58 2B-4T, and of Qwen3-1.7B for what its kin are packed in. */
static const struct bench_shape shape_2b4t = {6912, 2560}, shape_qwen = {6144, 2048};

static const struct kernel_row {
    const char *name;
    size_t offset; /* in struct matrix_kernels */
    enum encoding encoding;
    uint32_t group;
    enum act_kind act;
} kernel_rows[] = {
#define ENTRY(member) #member, offsetof(struct matrix_kernels, member)
    {ENTRY(t2_i8), ENC_T2, 0, ACT_I8},        {ENTRY(t2_planes), ENC_T2, 0, ACT_I8},
    {ENTRY(t2_planes), ENC_T2, 0, ACT_I4},    {ENTRY(t2_f32), ENC_T2, 0, ACT_F32},
    {ENTRY(t1_6_i8), ENC_T1_6, 0, ACT_I8},    {ENTRY(t1_6_f32), ENC_T1_6, 0, ACT_F32},
    {ENTRY(b1_i8), ENC_B1, 0, ACT_I8},        {ENTRY(b1_planes), ENC_B1, 0, ACT_I8},
    {ENTRY(b1_i8), ENC_B1, 0, ACT_I4},        {ENTRY(b1_planes), ENC_B1, 0, ACT_I4},
    {ENTRY(b1_i8), ENC_B1, 0, ACT_I2},        {ENTRY(b1_planes), ENC_B1, 0, ACT_I2},
    {ENTRY(b1_sign), ENC_B1, 0, ACT_SIGN},    {ENTRY(b1_f32), ENC_B1, 0, ACT_F32},
    {ENTRY(b1_i8), ENC_B1, 128, ACT_I8},      {ENTRY(b1_planes), ENC_B1, 128, ACT_I8},
    {ENTRY(b1_sign), ENC_B1, 128, ACT_SIGN},  {ENTRY(b1_f32), ENC_B1, 128, ACT_F32},
    {ENTRY(i8_i8), ENC_I8, 0, ACT_I8},        {ENTRY(i8_f32), ENC_I8, 0, ACT_F32},
    {ENTRY(i8x2_i8), ENC_I8X2, 0, ACT_I8},
    {ENTRY(i6_i8), ENC_I6, 32, ACT_I8},       {ENTRY(i6_f32), ENC_I6, 32, ACT_F32},
    {ENTRY(i4_i8), ENC_I4, 32, ACT_I8},       {ENTRY(i4_f32), ENC_I4, 32, ACT_F32},
    {ENTRY(f16_f32), ENC_F16, 0, ACT_F32},
#undef ENTRY
};
enum { N_KERNELS = sizeof kernel_rows / sizeof *kernel_rows, MAX_COUNTS = 16 };

static const struct run_kind {
    size_t n_tok;
    bool cached;
} run_kinds[] = {{1, true}, {1, false}, {4, false}, {256, false}};

struct bench {
    const char *only_kernel, *only_tier; /* comma lists, or NULL */
    bool json;
    double seconds;
    int n_threads[MAX_COUNTS];
    size_t n_counts;
    struct pool *pools[MAX_COUNTS];
    struct bench_weights weights;
    size_t n_printed;
    struct bitnet_error err;
};

/* Does the comma list name the word? No list names all. */
static bool listed(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = list; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
        if (strncmp(p, word, n) == 0 && (p[n] == ',' || p[n] == 0)) {
            return true;
        }
    }
    return list == NULL;
}

static matmul_fn *entry_of(const struct kernels *k, const struct kernel_row *row)
{
    matmul_fn *fn;
    memcpy(&fn, (const char *)&k->matrix + row->offset, sizeof fn);
    return fn;
}

static bool print_row(struct bench *b, const struct kernel_row *row, const char *tier,
                      const struct bench_job *job, const struct bench_result *r)
{
    static const char *const acts[] = {[ACT_F32] = "f32", [ACT_I8] = "i8", [ACT_I4] = "i4",
                                       [ACT_I2] = "i2", [ACT_SIGN] = "sign"};
    char encoding[16];
    layout_name(encoding, row->encoding, row->group);
    double gop = 2 * r->n_weights * (double)job->n_tok / r->ns;
    double pct_read = 100 * r->read_ns / r->ns, pct_peak = 100 * gop * r->peak_ns / r->peak_ops;
    const char *resident = job->cached ? "cache" : "dram";
    int n_threads = pool_threads(job->pool);
    if (b->json) {
        printf("%s\n {\"kernel\": \"%s\", \"encoding\": \"%s\", \"act\": \"%s\", \"tier\": \"%s\", "
               "\"tokens\": %zu, \"threads\": %d, \"resident\": \"%s\", \"gb_per_s\": %.2f, "
               "\"pct_read\": %.1f, \"weights_per_ns\": %.2f, \"gop_per_s\": %.1f, "
               "\"pct_peak\": %.1f}",
               b->n_printed ? "," : "", row->name, encoding, acts[row->act], tier, job->n_tok,
               n_threads, resident, r->n_bytes / r->ns, pct_read, r->n_weights / r->ns, gop,
               pct_peak);
    } else {
        printf("%-10s %-7s %-5s%-13s%6zu %3d  %-6s%8.2f %6.1f%% %9.2f %9.1f %6.1f%% %5.1f%%\n",
               row->name, encoding, acts[row->act], tier, job->n_tok, n_threads, resident,
               r->n_bytes / r->ns, pct_read, r->n_weights / r->ns, gop, pct_peak,
               100 * r->spread);
    }
    b->n_printed++;
    return out_flush(&b->err);
}

static bool measure_kernel(struct bench *b, const struct kernel_row *row, const char *tier,
                           matmul_fn *fn)
{
    struct peak peak;
    kernels_peak(&peak, tier);
    for (size_t i = 0; i < sizeof run_kinds / sizeof *run_kinds; i++) {
        for (size_t c = 0; c < b->n_counts; c++) {
            struct bench_job job = {.weights = &b->weights, .peak = &peak, .pool = b->pools[c],
                                    .fn = fn, .act = row->act, .n_tok = run_kinds[i].n_tok,
                                    .cached = run_kinds[i].cached, .seconds = b->seconds};
            struct bench_result result;
            if (!bench_measure(&result, &job, &b->err) ||
                !print_row(b, row, tier, &job, &result)) {
                return false;
            }
        }
    }
    return true;
}

/* A tier's own code for the row; NULL where it has that of the tier below. Below scalar is NULL. */
static matmul_fn *own_entry(const struct kernel_row *row, const char *tier, const char *below)
{
    struct kernels k;
    kernels_fill(&k, tier);
    matmul_fn *fn = entry_of(&k, row);
    if (below) {
        kernels_fill(&k, below);
        fn = fn == entry_of(&k, row) ? NULL : fn;
    }
    return fn;
}

/* The row in every tier that has code of its own for it. Scalar is the specification and not made
 * for speed: it is timed when it is asked for, or alone. */
static bool measure_row(struct bench *b, const struct kernel_row *row)
{
    const struct bench_weights *w = &b->weights;
    bool usable, same = w->bytes && w->encoding == row->encoding && w->group == row->group;
    const char *tier, *below = NULL;
    size_t n_tiers = 0;
    while (kernels_tier(n_tiers, &usable) && usable) {
        n_tiers++;
    }
    for (size_t i = 0; (tier = kernels_tier(i, &usable)) != NULL && usable; below = tier, i++) {
        matmul_fn *fn = own_entry(row, tier, below);
        bool timed = fn && (i > 0 || b->only_tier || n_tiers == 1);
        if (!timed || !listed(b->only_tier, tier)) {
            continue;
        }
        if (!same) {
            bench_weights_free(&b->weights);
            struct bench_shape shape = row->group == 128 ? shape_qwen : shape_2b4t;
            if (!bench_weights_make(&b->weights, row->encoding, row->group, shape, &b->err)) {
                return false;
            }
            same = true;
        }
        if (!measure_kernel(b, row, tier, fn)) {
            return false;
        }
    }
    return true;
}

static void print_cpu(void)
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && fgets(line, sizeof line, f)) {
        if (strncmp(line, "model name", 10) == 0 && strchr(line, ':')) {
            printf("cpu      %s", strchr(line, ':') + 2);
            break;
        }
    }
    if (f) {
        fclose(f);
    }
}

static void print_head(const struct bench *b)
{
    double load[3] = {0};
    const char *tier;
    bool usable;
    print_cpu();
    printf("tiers   ");
    for (size_t i = 0; (tier = kernels_tier(i, &usable)) != NULL; i++) {
        printf(usable ? " %s" : " (%s)", tier);
    }
    printf("\ncores    %d usable", pool_usable_cores());
    if (getloadavg(load, 3) == 3) {
        printf(", load average %.2f %.2f %.2f", load[0], load[1], load[2]);
    }
    printf("\nweights  2B-4T: 6912x2560 and 2560x6912; b1g128, Qwen3-1.7B: 6144x2048 and 2048x6144\n"
           "         cache: 512 KiB of them per thread; dram: 256 MiB in turn\n"
           "columns  medians of windows of %.2f s; %% read: of a plain read loop beside it; %% peak:\n"
           "         of the tier's multiply-add loop beside it (f32: of its f32 one); +-: quartiles\n"
           "\nkernel     enc     act  tier         tokens  -t  in       GB/s   read   weights/ns"
           "   GOP/s   peak     +-\n",
           b->seconds);
}

/* "1,2,8" into counts and a pool for each. */
static bool open_pools(struct bench *b, const char *list)
{
    int most = pool_usable_cores();
    b->n_threads[0] = 1;
    b->n_threads[1] = most;
    b->n_counts = most > 1 ? 2 : 1;
    for (size_t n = 0; list; n++) {
        char word[16];
        size_t n_bytes = strcspn(list, ",");
        int64_t value = 0;
        if (n == MAX_COUNTS || n_bytes >= sizeof word) {
            return fail(&b->err, BITNET_USAGE, "-t: at most %d numbers 1..%d", MAX_COUNTS,
                        MAX_THREADS);
        }
        memcpy(word, list, n_bytes);
        word[n_bytes] = 0;
        if (!parse_i64(word, 1, MAX_THREADS, &value)) {
            return fail(&b->err, BITNET_USAGE, "-t '%s': threads must be 1..%d", word,
                        MAX_THREADS);
        }
        b->n_threads[n] = (int)value;
        b->n_counts = n + 1;
        list = list[n_bytes] ? list + n_bytes + 1 : NULL;
    }
    for (size_t i = 0; i < b->n_counts; i++) {
        if (!pool_open(&b->pools[i], b->n_threads[i], &b->err)) {
            return false;
        }
    }
    return true;
}

/* Does one of the tiers have code of its own for one of the kernels? */
static bool has_rows(const struct bench *b)
{
    const char *tier, *below = NULL;
    bool usable, any = false;
    for (size_t t = 0; (tier = kernels_tier(t, &usable)) != NULL && usable; below = tier, t++) {
        for (size_t i = 0; i < N_KERNELS && listed(b->only_tier, tier); i++) {
            any = any || (listed(b->only_kernel, kernel_rows[i].name) &&
                          own_entry(&kernel_rows[i], tier, below));
        }
    }
    return any;
}

/* Every name of a list must be one that there is, and both lists together must name something. */
static bool check_names(struct bench *b)
{
    char why[256], note[256], word[64];
    struct kernels k;
    for (const char *p = b->only_tier; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
        snprintf(word, sizeof word, "%.*s", (int)strcspn(p, ","), p);
        if (!kernels_select(&k, word, why, note)) {
            return fail(&b->err, BITNET_USAGE, "--tier: %s", why);
        }
    }
    for (const char *p = b->only_kernel; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
        snprintf(word, sizeof word, "%.*s", (int)strcspn(p, ","), p);
        bool known = false;
        for (size_t i = 0; i < N_KERNELS; i++) {
            known = known || strcmp(kernel_rows[i].name, word) == 0;
        }
        if (!known) {
            return fail(&b->err, BITNET_USAGE, "--kernel '%s': the table's first column has the "
                        "names", word);
        }
    }
    if (!has_rows(b)) {
        return fail(&b->err, BITNET_USAGE, "--tier %s: no code of its own for --kernel %s, a lower "
                    "tier's is used; leave out --tier", b->only_tier, b->only_kernel);
    }
    return true;
}

static bool measure_all(struct bench *b)
{
    if (!b->json) {
        print_head(b);
    } else {
        printf("[");
    }
    for (size_t i = 0; i < N_KERNELS; i++) {
        if (listed(b->only_kernel, kernel_rows[i].name) && !measure_row(b, &kernel_rows[i])) {
            return false;
        }
    }
    if (b->json) {
        printf("\n]\n");
    }
    return true;
}

int tool_bench_kernels(int argc, char **argv)
{
    static struct bench b;
    struct args a;
    int status;
    if (!cmd_begin(&a, "bench kernels", argc, argv, &status)) {
        return status;
    }
    b.json = args_flag(&a, "--json");
    b.seconds = args_seconds(&a, "--seconds");
    b.only_tier = args_text(&a, "--tier");
    b.only_kernel = args_text(&a, "--kernel");
    bool ok = check_names(&b) && open_pools(&b, args_text(&a, "--threads")) && measure_all(&b);
    for (size_t i = 0; i < b.n_counts; i++) {
        pool_close(b.pools[i]);
    }
    bench_weights_free(&b.weights);
    args_free(&a);
    return ok ? BITNET_OK : cmd_fail(&b.err);
}
