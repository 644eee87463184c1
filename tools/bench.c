/* bench.c: `bitnet bench` measures one model whole: how fast it reads a prompt, how fast it writes,
 * and how near writing comes to what the memory gives.
 *
 * A run is a prompt of -p tokens in an empty context, then -n tokens one by one. Between the runs
 * the same weights are read plainly by as many threads; the share of plain read speed compares
 * each run with the reads before and after it. Tokens are drawn beforehand: what is measured is
 * the network and the choice of the likeliest token.
 *
 * --json prints one object, version 1; keys may be added, never changed. "median" comes with
 * "min" and "max" of the runs:
 *
 *     {"version": 1, "model": path, "cpu": name, "load": x, "tier": name, "act": kind,
 *      "file_bytes": n, "open_ms": {...},
 *      "runs": n, "prompt_tokens": n, "predict_tokens": n,
 *      "rows": [{"threads": n, "prefill_tok_per_s": {...}, "decode_tok_per_s": {...},
 *                "first_token_ms": {...}, "weight_bytes": n, "cache_bytes": n,
 *                "gb_per_s": {...}, "read_gb_per_s": {...}, "pct_read": {...}}, ...]}
 *
 * weight_bytes and cache_bytes are read for one token, the cache on average; gb_per_s is their sum
 * times the speed. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/cmd.h"
#include "src/json.h"
#include "src/machine.h"
#include "src/map.h"
#include "src/read_speed.h"
#include "tools/cache.h"
#include "tools/tools.h"

enum { MAX_RUNS = 100, MAX_LIST = 16, N_OPENS = 5 };

struct series {
    double v[MAX_RUNS];
    size_t n;
};

struct row { /* one count of threads */
    int n_threads;
    struct series prefill, decode, first_ms, gb, read, pct;
};

struct bench {
    const struct args *args;
    const char *path; /* NULL: the built-in model */
    bitnet_model *model;
    bitnet_engine *engine;
    bitnet_session *session;
    bitnet_sampler *sampler; /* greedy */
    struct pool *pool; /* for plain reads, while the engine's threads sleep */
    struct map map;
    struct bitnet_input *in; /* [n_prompt + n_predict] */
    size_t n_prompt, n_predict, n_runs;
    uint64_t cache_bytes;
    struct series open_ms;
    struct row rows[MAX_LIST];
    size_t n_rows;
    char tier[32];
};

static void note(struct series *s, double v)
{
    if (s->n < MAX_RUNS)
        s->v[s->n++] = v;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct summary {
    double median, min, max;
};

static struct summary sum_up(const struct series *s)
{
    double v[MAX_RUNS];
    memcpy(v, s->v, sizeof v);
    qsort(v, s->n, sizeof *v, by_value);
    return (struct summary){(v[(s->n - 1) / 2] + v[s->n / 2]) / 2, v[0], v[s->n - 1]};
}

static double ms_since(uint64_t start)
{
    return (double)(now_ns() - start) / 1e6;
}

/* "1,2,4" into the rows. */
static bool read_threads(struct bench *b, const char *list, struct bitnet_error *err)
{
    const char *p = list;
    if (!list) {
        b->rows[b->n_rows++].n_threads = pool_usable_cores();
        return true;
    }
    do {
        size_t n_digits = strspn(p, "0123456789");
        char digits[8] = "";
        int64_t n;
        if (n_digits < sizeof digits)
            memcpy(digits, p, n_digits);
        if (b->n_rows == MAX_LIST || !parse_i64(digits, 1, MAX_THREADS, &n) ||
            (p[n_digits] && p[n_digits] != ','))
            return fail(err, BITNET_USAGE, "--threads %s: wanted numbers from 1 to %d, separated "
                        "by commas, at most %d of them", list, MAX_THREADS, MAX_LIST);
        b->rows[b->n_rows++].n_threads = (int)n;
        p += n_digits;
    } while (*p++ == ',');
    return true;
}

/* Opens several times; the last one stays. The first one may read from disk. */
static bool open_model(struct bench *b, struct bitnet_error *err)
{
    for (size_t i = 0; i < N_OPENS; i++) {
        bitnet_model_close(b->model);
        b->model = NULL;
        uint64_t start = now_ns();
        if (!bitnet_model_open(&b->model, b->path, err))
            return false;
        note(&b->open_ms, ms_since(start));
    }
    return b->path ? map_open(&b->map, b->path, err) : map_embedded(&b->map);
}

/* Lengths that fit the context, and the tokens: any will do, but the same every time. */
static bool make_tokens(struct bench *b, struct bitnet_error *err)
{
    const struct bitnet_shape *s = bitnet_model_shape(b->model);
    b->n_prompt = (size_t)args_int(b->args, "--prompt-tokens");
    b->n_predict = (size_t)args_int(b->args, "--predict");
    size_t room = s->n_ctx_train > b->n_predict ? s->n_ctx_train - b->n_predict : 1;
    if (!args_given(b->args, "--prompt-tokens") && b->n_prompt > room)
        b->n_prompt = room;
    size_t n = b->n_prompt + b->n_predict;
    if (n > s->n_ctx_train)
        return fail(err, BITNET_USAGE, "-p %zu -n %zu: the model was trained for %zu tokens",
                    b->n_prompt, b->n_predict, s->n_ctx_train);
    b->in = calloc(n, sizeof *b->in);
    if (!b->in)
        return fail(err, BITNET_FAILED, "bench: out of memory");
    for (size_t i = 0; i < n; i++) {
        b->in[i].token = (int32_t)(i * 2654435761u % s->n_vocab);
        b->in[i].want_logits = i + 1 >= b->n_prompt;
    }
    size_t value_bytes = strcmp(args_text(b->args, "--kv"), "i8") == 0 ? 1 : 2;
    b->cache_bytes = (uint64_t)s->n_layers * 2 * s->n_kv_heads * s->head_dim * value_bytes *
                     (b->n_prompt + b->n_predict / 2);
    return true;
}

static bool open_session(struct bench *b, int n_threads, struct bitnet_error *err)
{
    struct bitnet_sampling greedy = bitnet_sampling_defaults();
    greedy.temp = 0;
    static const char *const acts[] = {"model", "i8", "i8g32", "i8g128", "f32", "i4", "sign"};
    struct bitnet_session_options o = {.n_ctx = b->n_prompt + b->n_predict, .max_logits = 1};
    for (int i = 0; i < (int)(sizeof acts / sizeof *acts); i++)
        if (strcmp(acts[i], args_text(b->args, "--act")) == 0)
            o.act = (enum bitnet_act)i;
    o.kv = strcmp(args_text(b->args, "--kv"), "i8") == 0 ? BITNET_KV_I8 : BITNET_KV_F16;
    o.max_batch = o.n_ctx < 512 ? o.n_ctx : 512;
    if (!bitnet_engine_open(&b->engine, args_text(b->args, "--tier"), n_threads, err) ||
        !bitnet_session_open(&b->session, b->engine, b->model, &o, err) ||
        !bitnet_sampler_open(&b->sampler, b->model, &greedy, err))
        return false;
    snprintf(b->tier, sizeof b->tier, "%s", bitnet_engine_tier(b->engine));
    return pool_open(&b->pool, n_threads, err);
}

static void close_session(struct bench *b)
{
    pool_close(b->pool);
    bitnet_sampler_close(b->sampler);
    bitnet_session_close(b->session);
    bitnet_engine_close(b->engine);
    b->pool = NULL, b->sampler = NULL, b->session = NULL, b->engine = NULL;
}

/* Feeds tokens [begin, end) in batches and draws the likeliest next one. */
static bool feed(struct bench *b, size_t begin, size_t end, struct bitnet_error *err)
{
    size_t batch = bitnet_session_opts(b->session)->max_batch;
    for (size_t i = begin, n; i < end; i += n) {
        n = end - i < batch ? end - i : batch;
        if (!bitnet_eval_for(b->session, b->in + i, n, &b->sampler, err))
            return false;
    }
    bitnet_sample(b->sampler, bitnet_logits(b->session, 0), NULL);
    return true;
}

/* Plain reads of as many bytes as one token takes, from where the weights lie. */
static double read_weights(struct bench *b)
{
    uint64_t n = bitnet_model_shape(b->model)->decode_bytes;
    return read_speed(b->pool, b->map.bytes, (size_t)(n < b->map.n_bytes ? n : b->map.n_bytes));
}

/* The median of several passes, for at least 50 ms. */
static double read_steadily(struct bench *b)
{
    struct series s = {.n = 0};
    uint64_t start = now_ns();
    while (s.n < 3 || (s.n < MAX_RUNS && now_ns() - start < 50000000))
        note(&s, read_weights(b));
    return sum_up(&s).median;
}

static bool run_once(struct bench *b, struct row *r, double *read, struct bitnet_error *err)
{
    const struct bitnet_shape *s = bitnet_model_shape(b->model);
    size_t end = b->n_prompt + b->n_predict;
    bitnet_seq_cut(b->session, 0, 0);
    uint64_t start = now_ns();
    if (!feed(b, 0, b->n_prompt, err))
        return false;
    double ms = ms_since(start);
    note(&r->first_ms, ms);
    note(&r->prefill, (double)b->n_prompt / ms * 1e3);
    start = now_ns();
    for (size_t i = b->n_prompt; i < end; i++)
        if (!feed(b, i, i + 1, err))
            return false;
    double tok_per_s = (double)b->n_predict / ms_since(start) * 1e3, before = *read;
    double gb = tok_per_s * (double)(s->decode_bytes + b->cache_bytes) / 1e9;
    *read = read_steadily(b);
    note(&r->decode, tok_per_s);
    note(&r->gb, gb);
    note(&r->read, *read);
    note(&r->pct, 100 * gb / ((before + *read) / 2));
    return true;
}

static bool run_row(struct bench *b, struct row *r, struct bitnet_error *err)
{
    bool good = open_session(b, r->n_threads, err);
    /* Pages and caches are touched before the clock runs. */
    good = good && feed(b, 0, b->n_prompt < 16 ? b->n_prompt : 16, err);
    double read = good ? read_steadily(b) : 0;
    for (size_t i = 0; i < b->n_runs && good; i++)
        good = run_once(b, r, &read, err);
    close_session(b);
    return good;
}

static void print_series(const char *label, const char *unit, const struct series *s)
{
    struct summary x = sum_up(s);
    printf("  %-22s%10.4g %-7s (%.4g .. %.4g)\n", label, x.median, unit, x.min, x.max);
}

/* What activations are rounded to: as asked, or as the file says. */
static const char *act_name(const struct bench *b)
{
    const char *act = args_text(b->args, "--act");
    return strcmp(act, "model") == 0 ? bitnet_model_meta(b->model, "arch.act") : act;
}

static void print_text(const struct bench *b, const struct machine *m)
{
    const struct bitnet_shape *s = bitnet_model_shape(b->model);
    printf("%s, load average %.2f, tier %s, activations %s\n",
           m->cpu[0] ? m->cpu : "unknown CPU", m->load, b->tier, act_name(b));
    printf("%s: %.1f MB, %.1f MB of weights and %.1f MB of cache read for one token\n",
           b->path ? b->path : "built-in model", (double)s->file_bytes / 1e6,
           (double)s->decode_bytes / 1e6, (double)b->cache_bytes / 1e6);
    printf("%zu runs of %zu prompt tokens and %zu more; median (least .. most)\n", b->n_runs,
           b->n_prompt, b->n_predict);
    print_series("open", "ms", &b->open_ms);
    for (size_t i = 0; i < b->n_rows; i++) {
        const struct row *r = &b->rows[i];
        printf("%d thread%s\n", r->n_threads, r->n_threads == 1 ? "" : "s");
        print_series("prompt", "tok/s", &r->prefill);
        print_series("first token after", "ms", &r->first_ms);
        print_series("answer", "tok/s", &r->decode);
        print_series("  reads", "GB/s", &r->gb);
        print_series("  a plain read", "GB/s", &r->read);
        print_series("  share of it", "%", &r->pct);
    }
}

static void json_series(const char *key, const struct series *s)
{
    struct summary x = sum_up(s);
    printf(", \"%s\": {\"median\": %.6g, \"min\": %.6g, \"max\": %.6g}", key, x.median, x.min,
           x.max);
}

static bool json_string(const char *key, const char *text, struct bitnet_error *err)
{
    struct buffer t = {0};
    json_add_string(&t, text, strlen(text));
    if (!t.failed)
        printf(", \"%s\": %.*s", key, (int)t.n_bytes, (const char *)t.data);
    bool good = !t.failed;
    buffer_free(&t);
    return good || fail(err, BITNET_FAILED, "bench: out of memory");
}

static bool print_json(const struct bench *b, const struct machine *m, struct bitnet_error *err)
{
    const struct bitnet_shape *s = bitnet_model_shape(b->model);
    printf("{\"version\": 1");
    if (!json_string("model", b->path ? b->path : "built-in model", err) ||
        !json_string("cpu", m->cpu, err) || !json_string("tier", b->tier, err) ||
        !json_string("act", act_name(b), err))
        return false;
    printf(", \"load\": %.2f, \"file_bytes\": %" PRIu64, m->load, s->file_bytes);
    json_series("open_ms", &b->open_ms);
    printf(", \"runs\": %zu, \"prompt_tokens\": %zu, \"predict_tokens\": %zu, \"rows\": [",
           b->n_runs, b->n_prompt, b->n_predict);
    for (size_t i = 0; i < b->n_rows; i++) {
        const struct row *r = &b->rows[i];
        printf("%s{\"threads\": %d", i ? ", " : "", r->n_threads);
        json_series("prefill_tok_per_s", &r->prefill);
        json_series("decode_tok_per_s", &r->decode);
        json_series("first_token_ms", &r->first_ms);
        printf(", \"weight_bytes\": %" PRIu64 ", \"cache_bytes\": %" PRIu64, s->decode_bytes,
               b->cache_bytes);
        json_series("gb_per_s", &r->gb);
        json_series("read_gb_per_s", &r->read);
        json_series("pct_read", &r->pct);
        printf("}");
    }
    printf("]}\n");
    return true;
}

static bool bench(struct bench *b, struct bitnet_error *err)
{
    struct machine m;
    machine_read(&m); /* before our own threads count as load */
    bool good = open_model(b, err) && make_tokens(b, err);
    for (size_t i = 0; i < b->n_rows && good; i++)
        good = run_row(b, &b->rows[i], err);
    if (good && args_flag(b->args, "--json"))
        good = print_json(b, &m, err);
    else if (good)
        print_text(b, &m);
    return good;
}

int tool_bench(int argc, char **argv)
{
    struct bitnet_error err = {0};
    struct cached file = {0};
    struct args a;
    int status;
    if (!cmd_begin(&a, "bench", argc, argv, &status))
        return status;
    struct bench *b = calloc(1, sizeof *b);
    const char *path = cmd_model(args_text(&a, "--model"));
    if (!b) {
        fail(&err, BITNET_FAILED, "bench: out of memory");
    } else if (cache_open(&file, path, args_flag(&a, "--no-cache"),
                          args_flag(&a, "--quiet"), &err)) {
        b->args = &a;
        b->path = file.path;
        b->n_runs = (size_t)args_int(&a, "--runs");
        if (read_threads(b, args_text(&a, "--threads"), &err))
            bench(b, &err);
        bitnet_model_close(b->model);
        map_close(&b->map);
        cache_close(&file);
        free(b->in);
    }
    free(b);
    args_free(&a);
    return err.code == BITNET_OK ? BITNET_OK : cmd_fail(&err);
}
