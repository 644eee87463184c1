/* cmd_logits.c: `bitnet logits`: the network's raw output for given tokens. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/cmd_file.h"
#include "src/cmd_prompt.h"
#include "src/progress.h"

enum { ROWS = 32 }; /* of logits kept at a time */

static bool add_id(struct bitnet_ids *ids, int64_t id, struct bitnet_error *err)
{
    if (ids->n_ids == ids->n_alloc) {
        size_t n = ids->n_alloc * 2 + 256;
        int32_t *p = realloc(ids->ids, n * sizeof *p);
        if (p == NULL)
            return fail(err, BITNET_FAILED, "out of memory for %zu ids", n);
        ids->ids = p;
        ids->n_alloc = n;
    }
    ids->ids[ids->n_ids++] = (int32_t)id;
    return true;
}

/* Ids with blanks between them, or a comma with or without blanks. */
static bool parse_ids(const char *text, struct bitnet_ids *ids, struct bitnet_error *err)
{
    static const char blanks[] = " \t\n";
    const char *p = text + strspn(text, blanks);
    while (*p != '\0') {
        char word[24];
        size_t n = strcspn(p, " ,\t\n");
        int64_t id;
        snprintf(word, sizeof word, "%.*s", (int)(n < sizeof word ? n : sizeof word - 1), p);
        if (n >= sizeof word || !parse_i64(word, 0, INT32_MAX, &id))
            return fail(err, BITNET_USAGE, "--ids: '%s' is not a token id", word);
        if (!add_id(ids, id, err))
            return false;
        p += n;
        p += strspn(p, blanks);
        if (*p != ',')
            continue;
        p++;
        p += strspn(p, blanks);
        if (*p == '\0')
            return fail(err, BITNET_USAGE, "--ids: no token id follows the last comma");
    }
    return true;
}

/* Input that a program made: what is wrong in it is no wrong command line. */
static bool read_ids_file(const struct host *h, const char *path, struct bitnet_ids *ids,
                          struct bitnet_error *err)
{
    FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    uint8_t word[4];
    size_t n = 0;
    if (in == NULL)
        return fail(err, BITNET_FAILED, "%s: %s", path, strerror(errno));
    while (err->code == BITNET_OK && (n = fread(word, 1, 4, in)) == 4) {
        int32_t id = (int32_t)load_u32(word);
        if (id < 0 || (size_t)id >= h->n_vocab)
            fail(err, BITNET_BAD, "%s: id %d at byte %zu, the vocabulary has 0..%zu", path, (int)id,
                 4 * ids->n_ids, h->n_vocab - 1);
        else
            add_id(ids, id, err);
    }
    if (err->code == BITNET_OK && ferror(in))
        fail(err, BITNET_FAILED, "%s: %s", path, strerror(errno));
    else if (err->code == BITNET_OK && n != 0)
        fail(err, BITNET_BAD, "%s: %zu bytes follow the last whole int32", path, n);
    if (in != stdin)
        fclose(in);
    return err->code == BITNET_OK;
}

static bool get_ids(struct host *h, struct bitnet_ids *ids, struct bitnet_error *err)
{
    const struct args *a = h->args;
    const char *text = args_text(a, "--ids"), *file = args_text(a, "--ids-file");
    const char *prompt = args_text(a, "--prompt");
    if ((text != NULL) + (file != NULL) + (prompt != NULL) != 1)
        return fail(err, BITNET_USAGE, "give one of --ids, --ids-file and -p");
    bool good = text != NULL   ? parse_ids(text, ids, err)
                : file != NULL ? read_ids_file(h, file, ids, err)
                               : bitnet_encode(h->tokenizer, prompt, strlen(prompt), BITNET_BOS,
                                               ids, err);
    if (good && ids->n_ids == 0)
        return fail(err, BITNET_USAGE, "no token: there is nothing to compute");
    if (good && ids->n_ids > h->n_ctx)
        return fail(err, BITNET_FAILED, "%zu tokens, the context holds %zu%s", ids->n_ids, h->n_ctx,
                    host_remedy(h));
    return good;
}

static bool write_rows(struct host *h, const struct bitnet_ids *ids, struct out_file *out,
                       size_t chunk, struct bitnet_error *err)
{
    struct progress bar;
    progress_start(&bar, "logits", "tok", ids->n_ids, args_flag(h->args, "--quiet"));
    for (size_t at = 0; at < ids->n_ids && cmd_signal() == 0;) {
        struct bitnet_input in[ROWS];
        size_t n = ids->n_ids - at < chunk ? ids->n_ids - at : chunk;
        for (size_t i = 0; i < n; i++)
            in[i] = (struct bitnet_input){ids->ids[at + i], 0, true};
        if (!bitnet_eval(h->session, in, n, err))
            break;
        for (size_t i = 0; i < n; i++) {
            if (!out_file_write(out, bitnet_logits(h->session, i), h->n_vocab * sizeof(float), err))
                break;
        }
        at += n;
        progress_set(&bar, at);
    }
    progress_clear(&bar);
    return err->code == BITNET_OK;
}

static bool check(const struct args *a, struct bitnet_error *err)
{
    if (strcmp(args_text(a, "--output"), "-") == 0 && isatty(1))
        return fail(err, BITNET_USAGE, "the rows are raw float32, nothing for a terminal: give "
                    "-o FILE, or send them to a pipe or file");
    return cmd_check_stdin(a, args_text(a, "--ids-file"), "the ids", err);
}

int cmd_logits(int argc, char **argv)
{
    struct args a;
    int status;
    struct bitnet_error err = {0};
    struct host h = {0};
    struct bitnet_ids ids = {0};
    struct out_file out = {0};
    if (!cmd_begin(&a, "logits", argc, argv, &status))
        return status;
    cmd_watch_signals();
    bool good = check(&a, &err) && host_open(&h, &a, 0, &err) && get_ids(&h, &ids, &err) &&
                host_start(&h, 1, ROWS, &err) &&
                out_file_open(&out, args_text(&a, "--output"), &err) &&
                write_rows(&h, &ids, &out, args_flag(&a, "--one-by-one") ? 1 : ROWS, &err);
    if (cmd_signal() != 0)
        good = fail(&err, 128 + cmd_signal(), "interrupted");
    if (out.open)
        good = out_file_close(&out, &err);
    status = good ? BITNET_OK : cmd_fail(&err);
    host_close(&h);
    bitnet_ids_free(&ids);
    args_free(&a);
    return status;
}
