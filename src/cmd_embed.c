/* cmd_embed.c: `bitnet embed`: the state after a text's last token, scaled to length
 * one. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/cmd_file.h"
#include "src/cmd_out.h"
#include "src/cmd_reader.h"
#include "src/progress.h"

enum format { FORMAT_TEXT, FORMAT_JSON, FORMAT_RAW };

static bool read_text(struct host *h, const char *text, size_t n_bytes, struct bitnet_error *err)
{
    struct bitnet_ids ids = {0};
    bool good = bitnet_encode(h->tokenizer, text, n_bytes, BITNET_BOS | BITNET_EOS, &ids, err);
    if (good && ids.n_ids == 0)
        good = fail(err, BITNET_USAGE, "an empty text has no vector with this model");
    if (good && ids.n_ids > h->n_ctx)
        good = fail(err, BITNET_FAILED, "a text has %zu tokens, the context holds %zu%s", ids.n_ids,
                    h->n_ctx, host_remedy(h));
    bitnet_seq_cut(h->session, 0, 0);
    for (size_t at = 0; good && at < ids.n_ids;) {
        struct bitnet_input in[128];
        size_t n = ids.n_ids - at < h->max_batch ? ids.n_ids - at : h->max_batch;
        for (size_t i = 0; i < n; i++)
            in[i] = (struct bitnet_input){ids.ids[at + i], 0, at + i + 1 == ids.n_ids};
        good = host_eval(h, in, n, err);
        at += n;
    }
    bitnet_ids_free(&ids);
    return good;
}

static bool write_vector(const struct host *h, struct out_file *out, enum format format,
                         struct bitnet_error *err)
{
    size_t n = bitnet_model_shape(h->model)->n_embd;
    const float *x = bitnet_hidden(h->session, 0);
    struct buffer b = {0};
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * x[i];
    double scale = sum > 0 ? 1 / sqrt(sum) : 0;
    for (size_t i = 0; i < n; i++) {
        float value = (float)(x[i] * scale);
        char digits[40];
        if (format == FORMAT_RAW) {
            store_f32(digits, value);
            buffer_add(&b, digits, sizeof value);
            continue;
        }
        const char *before = format == FORMAT_TEXT ? " " : ",";
        if (i == 0)
            before = format == FORMAT_TEXT ? "" : "[";
        int n_digits = snprintf(digits, sizeof digits, "%s%.9g", before, (double)value);
        buffer_add(&b, digits, (size_t)n_digits);
    }
    if (format != FORMAT_RAW)
        buffer_add(&b, format == FORMAT_JSON ? "]\n" : "\n", format == FORMAT_JSON ? 2 : 1);
    bool good = !b.failed || fail(err, BITNET_FAILED, "out of memory for a vector");
    good = good && out_file_write(out, b.data, b.n_bytes, err);
    buffer_free(&b);
    return good;
}

static bool embed_lines(struct host *h, struct out_file *out, enum format format,
                        struct bitnet_error *err)
{
    struct reader r;
    struct progress bar;
    const char *bytes;
    size_t n_bytes, n_done = 0;
    if (!reader_open(&r, args_text(h->args, "--file"), '\n', err))
        return false;
    progress_start(&bar, "embed", "texts", 0, args_flag(h->args, "--quiet"));
    while (cmd_signal() == 0 && err->code == BITNET_OK) {
        enum reader_result got = reader_next(&r, true, &bytes, &n_bytes, err);
        if (got == READER_END || got == READER_FAILED)
            break;
        if (got == READER_TOO_LONG)
            fail(err, BITNET_FAILED, "%s: line %zu is longer than %d MiB", r.name, n_done + 1,
                 RECORD_MAX_BYTES >> 20);
        if (got == READER_RECORD && read_text(h, bytes, n_bytes, err) &&
            write_vector(h, out, format, err))
            progress_set(&bar, ++n_done);
    }
    progress_clear(&bar);
    reader_close(&r);
    return err->code == BITNET_OK;
}

int cmd_embed(int argc, char **argv)
{
    struct args a;
    int status;
    struct bitnet_error err = {0};
    struct host h = {0};
    struct out_file out = {0};
    if (!cmd_begin(&a, "embed", argc, argv, &status))
        return status;
    cmd_watch_signals();
    const char *text = args_text(&a, "--prompt"), *name = args_text(&a, "--format");
    enum format format = name[0] == 't' ? FORMAT_TEXT : name[0] == 'j' ? FORMAT_JSON : FORMAT_RAW;
    bool good = (text != NULL || cmd_check_stdin(&a, args_text(&a, "--file"), "the texts", &err)) &&
                host_open(&h, &a, 0, &err) && host_start(&h, 1, 1, &err) &&
                out_file_open(&out, args_text(&a, "--output"), &err);
    if (good && text != NULL)
        good = read_text(&h, text, strlen(text), &err) && write_vector(&h, &out, format, &err);
    else if (good)
        good = embed_lines(&h, &out, format, &err);
    if (cmd_signal() != 0)
        good = fail(&err, 128 + cmd_signal(), "interrupted");
    if (out.open)
        good = out_file_close(&out, &err);
    status = good ? BITNET_OK : cmd_fail(&err);
    host_close(&h);
    args_free(&a);
    return status;
}
