/* cmd_perplexity.c: `bitnet perplexity`: the sum of -ln p over the tokens of a text. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/cmd_out.h"
#include "src/cmd_reader.h"
#include "src/json.h"
#include "src/progress.h"

enum { ROWS = 32 };

struct score {
    double nll;
    uint64_t n;
    uint64_t n_failed; /* records that could not be scored */
};

/* Scores ids[1..n) behind ids[0] in an empty sequence. */
static bool score_window(struct host *h, const int32_t *ids, size_t n_ids, struct score *score,
                         struct bitnet_error *err)
{
    bitnet_seq_cut(h->session, 0, 0);
    for (size_t at = 0; at + 1 < n_ids;) {
        struct bitnet_input in[ROWS];
        size_t n = n_ids - 1 - at < ROWS ? n_ids - 1 - at : ROWS;
        for (size_t i = 0; i < n; i++)
            in[i] = (struct bitnet_input){ids[at + i], 0, true};
        if (!host_eval(h, in, n, err))
            return false;
        for (size_t i = 0; i < n; i++)
            score->nll -= bitnet_logprob(bitnet_logits(h->session, i), h->n_vocab,
                                         ids[at + i + 1]);
        score->n += n;
        at += n;
    }
    return true;
}

static double perplexity(const struct score *s)
{
    return s->n > 0 ? exp(s->nll / (double)s->n) : NAN;
}

static bool print_score(const struct score *s, const char *first_key, int64_t first,
                        struct bitnet_error *err)
{
    struct buffer b = {0};
    buffer_add(&b, "{", 1);
    out_whole(&b, first_key, first);
    out_whole(&b, "n", (int64_t)s->n);
    out_number(&b, "nll", s->nll);
    out_number(&b, "perplexity", perplexity(s));
    buffer_add(&b, "}\n", 2);
    bool good = out_text(b.data, b.n_bytes, err);
    buffer_free(&b);
    return good;
}

static bool append_eos(struct host *h, struct bitnet_ids *ids, struct bitnet_error *err)
{
    size_t n_bytes;
    const char *name = bitnet_token_name(h->tokenizer, bitnet_eos(h->tokenizer), &n_bytes);
    return bitnet_encode(h->tokenizer, name, n_bytes, BITNET_SPECIAL, ids, err);
}

static bool score_record(struct host *h, const char *bytes, size_t n_bytes, struct score *own,
                         struct bitnet_error *err)
{
    struct json_doc doc = {0};
    struct bitnet_ids ids = {0};
    bool good = json_parse(&doc, bytes, n_bytes, "record", err);
    const struct json *text = good ? json_get(doc.root, "text") : NULL;
    if (good && (text == NULL || text->kind != JSON_STRING))
        good = fail(err, BITNET_BAD, "the record has no string 'text'");
    good = good &&
           bitnet_encode(h->tokenizer, text->text, text->text_bytes, BITNET_BOS, &ids, err) &&
           (!args_flag(h->args, "--eos") || append_eos(h, &ids, err)) &&
           score_window(h, ids.ids, ids.n_ids < h->n_ctx ? ids.n_ids : h->n_ctx, own, err);
    bitnet_ids_free(&ids);
    json_free(&doc);
    return good;
}

/* A line on stderr and one in the place of the scores. */
static bool print_bad(uint64_t index, const struct bitnet_error *bad, struct bitnet_error *err)
{
    struct buffer b = {0};
    fflush(stdout);
    fprintf(stderr, "bitnet: record %llu: %s\n", (unsigned long long)index + 1, bad->msg);
    buffer_add(&b, "{", 1);
    out_whole(&b, "i", (int64_t)index);
    out_string(&b, "error", bad->msg, strlen(bad->msg));
    buffer_add(&b, "}\n", 2);
    bool good = out_text(b.data, b.n_bytes, err);
    buffer_free(&b);
    return good;
}

/* One line in, one line out; false when there can be no more of them. */
static bool take_record(struct host *h, enum reader_result got, const char *bytes, size_t n_bytes,
                        uint64_t index, struct score *total, struct bitnet_error *err)
{
    struct bitnet_error bad = {0};
    struct score own = {0};
    if (got == READER_TOO_LONG)
        fail(&bad, BITNET_BAD, "longer than %d MiB", RECORD_MAX_BYTES >> 20);
    else
        score_record(h, bytes, n_bytes, &own, &bad);
    if (cmd_signal() != 0) /* no error of the record, and its score is of a part */
        return false;
    if (bad.code != BITNET_OK) {
        total->n_failed++;
        return print_bad(index, &bad, err);
    }
    total->nll += own.nll;
    total->n += own.n;
    return print_score(&own, "i", (int64_t)index, err);
}

static bool score_records(struct host *h, const char *path, struct score *total,
                          struct bitnet_error *err)
{
    struct reader r;
    struct progress bar;
    const char *bytes;
    size_t n_bytes;
    if (args_flag(h->args, "--eos") && bitnet_eos(h->tokenizer) < 0)
        return fail(err, BITNET_USAGE, "--eos: the model has no token that ends a text");
    if (!reader_open(&r, path, '\n', err))
        return false;
    progress_start(&bar, "perplexity", "records", 0, args_flag(h->args, "--quiet"));
    for (uint64_t i = 0; cmd_signal() == 0;) {
        enum reader_result got = reader_next(&r, true, &bytes, &n_bytes, err);
        if (got == READER_END || got == READER_FAILED)
            break;
        progress_clear(&bar);
        if (got != READER_LATER && !take_record(h, got, bytes, n_bytes, i++, total, err))
            break;
        progress_set(&bar, i);
    }
    progress_clear(&bar);
    reader_close(&r);
    return err->code == BITNET_OK;
}

/* Windows of the whole context, each behind BOS where the model wants one. */
static bool score_text(struct host *h, const char *path, struct score *total,
                       struct bitnet_error *err)
{
    struct buffer text = {0};
    struct bitnet_ids ids = {0}, window = {0};
    struct progress bar;
    bool good = prompt_read_file(path, &text, err) &&
                bitnet_encode(h->tokenizer, "", 0, BITNET_BOS, &window, err) &&
                bitnet_encode(h->tokenizer, text.n_bytes > 0 ? (const char *)text.data : "",
                              text.n_bytes, 0, &ids, err);
    size_t n_bos = window.n_ids, n_step = h->n_ctx - n_bos;
    int32_t *place = malloc(h->n_ctx * sizeof *place);
    if (good && place == NULL)
        good = fail(err, BITNET_FAILED, "out of memory for a window");
    progress_start(&bar, "perplexity", "tok", ids.n_ids, args_flag(h->args, "--quiet"));
    for (size_t at = 0; good && at < ids.n_ids && n_step > 0 && cmd_signal() == 0;) {
        size_t n = ids.n_ids - at < n_step ? ids.n_ids - at : n_step;
        if (n_bos > 0)
            memcpy(place, window.ids, n_bos * sizeof *place);
        memcpy(place + n_bos, ids.ids + at, n * sizeof *place);
        good = score_window(h, place, n_bos + n, total, err);
        at += n;
        progress_set(&bar, at);
    }
    progress_clear(&bar);
    free(place);
    buffer_free(&text);
    bitnet_ids_free(&ids);
    bitnet_ids_free(&window);
    return good;
}

static bool print_total(const struct host *h, const struct score *total, struct bitnet_error *err)
{
    char line[160];
    if (args_flag(h->args, "--json") || args_flag(h->args, "--jsonl"))
        return print_score(total, "n_ctx", (int64_t)h->n_ctx, err);
    int n = snprintf(line, sizeof line, "perplexity %.4f, nll %.6f over %llu tokens, context %zu\n",
                     perplexity(total), total->nll, (unsigned long long)total->n, h->n_ctx);
    return out_text(line, (size_t)n, err);
}

static bool check(const struct args *a, struct bitnet_error *err)
{
    if (!cmd_check_stdin(a, args_text(a, "--file"), "the text", err))
        return false;
    return !args_flag(a, "--eos") || args_flag(a, "--jsonl") ||
           fail(err, BITNET_USAGE, "--eos needs --jsonl: a text that is cut into windows has no "
                "end of its own");
}

int cmd_perplexity(int argc, char **argv)
{
    struct args a;
    int status;
    struct bitnet_error err = {0};
    struct host h = {0};
    struct score total = {0};
    if (!cmd_begin(&a, "perplexity", argc, argv, &status))
        return status;
    cmd_watch_signals();
    const char *file = args_text(&a, "--file");
    bool good = check(&a, &err) && host_open(&h, &a, 0, &err) && host_start(&h, 1, ROWS, &err) &&
                (args_flag(&a, "--jsonl") ? score_records(&h, file, &total, &err)
                                          : score_text(&h, file, &total, &err));
    if (cmd_signal() != 0)
        good = fail(&err, 128 + cmd_signal(), "interrupted");
    if (good && total.n == 0 && total.n_failed == 0)
        good = fail(&err, BITNET_BAD, "%s: fewer than two tokens: nothing to predict", file);
    good = good && print_total(&h, &total, &err) && out_flush(&err);
    status = !good ? cmd_fail(&err) : total.n_failed > 0 ? BITNET_FAILED : BITNET_OK;
    host_close(&h);
    args_free(&a);
    return status;
}
