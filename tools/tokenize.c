/* tokenize.c: `bitnet tokenize`: text to ids and back, with the vocabulary of any
 * file. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/cmd_out.h"
#include "src/cmd_reader.h"
#include "src/json.h"
#include "src/utf8.h"
#include "tools/tools.h"
#include "tools/vocab.h"

struct job_options {
    const struct bitnet_tokenizer *t;
    unsigned flags;
    bool pieces, special;
};

/* A token as people read it: its spelling, with what is not printable escaped as in C. */
static void add_piece(struct buffer *b, const struct bitnet_tokenizer *t, int32_t id)
{
    size_t n_bytes;
    const char *name = bitnet_token_name(t, id, &n_bytes);
    buffer_add(b, "\"", 1);
    for (size_t at = 0, n; at < n_bytes; at += n) {
        static const char from[] = "\n\t\r\"\\", to[] = "ntr\"\\";
        uint32_t code = 0;
        n = utf8_decode(name + at, n_bytes - at, &code);
        const char *hit =
            code != 0 ? memchr(from, (int)(code < 128 ? code : 0), 5) : NULL;
        if (hit != NULL) {
            buffer_add(b, (char[2]){'\\', to[hit - from]}, 2);
        } else if (n == 0 || code < 0x20 || (code >= 0x7f && code < 0xa0)) {
            char hex[5];
            snprintf(hex, sizeof hex, "\\x%02x", (unsigned)(uint8_t)name[at]);
            buffer_add(b, hex, 4);
            n = 1;
        } else {
            buffer_add(b, name + at, n);
        }
    }
    buffer_add(b, "\"", 1);
}

static void add_plain_ids(struct buffer *b, const struct job_options *o,
                          const struct bitnet_ids *ids)
{
    char number[16];
    for (size_t i = 0; i < ids->n_ids; i++) {
        const char *format = o->pieces ? "%6d  " : i > 0 ? " %d" : "%d";
        buffer_add(b, number,
                   (size_t)snprintf(number, sizeof number, format, (int)ids->ids[i]));
        if (o->pieces) {
            add_piece(b, o->t, ids->ids[i]);
            buffer_add(b, "\n", 1);
        }
    }
    if (!o->pieces) {
        buffer_add(b, "\n", 1);
    }
}

static bool check_id(const struct job_options *o, int64_t id, struct bitnet_error *err)
{
    size_t n_tokens = bitnet_n_tokens(o->t);
    return (id >= 0 && (uint64_t)id < n_tokens) ||
           fail(err, BITNET_BAD, "id %lld, the vocabulary has 0..%zu", (long long)id,
                n_tokens - 1);
}

static bool keep_id(const struct job_options *o, int64_t id, struct bitnet_ids *ids,
                    struct bitnet_error *err)
{
    return check_id(o, id, err) &&
           (ids_add(ids, (int32_t)id) ||
            fail(err, BITNET_FAILED, "not enough memory for the ids"));
}

/* Numbers with blanks or commas between them, in brackets or not. */
static bool read_ids(const struct job_options *o, const char *text,
                     struct bitnet_ids *ids, struct bitnet_error *err)
{
    static const char between[] = " \t\r\n,[]";
    for (text += strspn(text, between); *text != 0; text += strspn(text, between)) {
        char number[24];
        size_t n = strcspn(text, between);
        int64_t id;
        snprintf(number, sizeof number, "%.*s", n < 23 ? (int)n : 23, text);
        if (!parse_i64(number, 0, INT32_MAX, &id)) {
            return fail(err, BITNET_BAD, "'%s' is no token id", number);
        }
        if (!keep_id(o, id, ids, err)) {
            return false;
        }
        text += n;
    }
    return true;
}

/* Under --special control tokens are spelled out. */
static void decode(const struct job_options *o, const struct bitnet_ids *ids,
                   struct buffer *out)
{
    if (!o->special) {
        tokenizer_decode(o->t, ids->ids, ids->n_ids, out);
        return;
    }
    for (size_t i = 0, begin = 0; i <= ids->n_ids; i++) {
        if (i == ids->n_ids || !bitnet_token_is_text(o->t, ids->ids[i])) {
            size_t n_bytes = 0;
            tokenizer_decode(o->t, ids->ids + begin, i - begin, out);
            const char *name =
                i < ids->n_ids ? bitnet_token_name(o->t, ids->ids[i], &n_bytes) : "";
            buffer_add(out, name, n_bytes);
            begin = i + 1;
        }
    }
}

static bool encode_record(const struct job_options *o, const struct json *record,
                          struct bitnet_ids *ids, struct buffer *line,
                          struct bitnet_error *err)
{
    const struct json *text = json_get(record, "text");
    if (text == NULL || text->kind != JSON_STRING) {
        return fail(err, BITNET_BAD, "the record has no string 'text'");
    }
    if (!bitnet_encode(o->t, text->text, text->text_bytes, o->flags, ids, err)) {
        return false;
    }
    buffer_add(line, "{", 1);
    out_ids(line, "ids", ids);
    if (o->pieces) {
        out_key(line, "pieces");
        for (size_t i = 0; i < ids->n_ids; i++) {
            size_t n_bytes;
            const char *name = bitnet_token_name(o->t, ids->ids[i], &n_bytes);
            buffer_add(line, i == 0 ? "[" : ",", 1);
            json_add_string(line, name, n_bytes);
        }
        buffer_add(line, ids->n_ids == 0 ? "[]" : "]", ids->n_ids == 0 ? 2 : 1);
    }
    return true;
}

static bool decode_record(const struct job_options *o, const struct json *record,
                          struct bitnet_ids *ids, struct buffer *line,
                          struct bitnet_error *err)
{
    const struct json *list = json_array(record, "ids");
    if (list == NULL) {
        return fail(err, BITNET_BAD, "the record has no array 'ids'");
    }
    for (const struct json *v = json_first(list); v != NULL; v = json_next(v)) {
        int64_t id;
        if (!json_i64(v, &id)) {
            return fail(err, BITNET_BAD, "'ids' holds something that is no whole number");
        }
        if (!keep_id(o, id, ids, err)) {
            return false;
        }
    }
    struct buffer text = {0};
    decode(o, ids, &text);
    buffer_add(line, "{", 1);
    out_string(line, "text", text.data != NULL ? (const char *)text.data : "",
               text.n_bytes);
    line->failed = line->failed || text.failed;
    buffer_free(&text);
    return true;
}

/* One line of JSON to one line of JSON; what fails becomes {"error": ...}. */
static bool convert_record(const struct job_options *o, bool backward, const char *bytes,
                           size_t n_bytes, struct buffer *line, struct bitnet_error *err)
{
    struct json_doc doc = {0};
    struct bitnet_ids ids = {0};
    line->n_bytes = 0;
    bool ok = json_parse(&doc, bytes, n_bytes, "JSON", err) &&
              (backward ? decode_record(o, doc.root, &ids, line, err)
                        : encode_record(o, doc.root, &ids, line, err));
    if (!ok) {
        line->n_bytes = 0;
        buffer_add(line, "{", 1);
        out_string(line, "error", err->msg, strlen(err->msg));
    }
    buffer_add(line, "}\n", 2);
    json_free(&doc);
    bitnet_ids_free(&ids);
    return ok;
}

static int run_records(const struct job_options *o, const char *path, bool backward)
{
    struct bitnet_error err = {0};
    struct reader r;
    struct buffer line = {0};
    const char *bytes;
    size_t n_bytes, n_failed = 0, number = 0;
    enum reader_result got = READER_FAILED;
    bool ok = reader_open(&r, path, '\n', &err);
    while (ok && (got = reader_next(&r, true, &bytes, &n_bytes, &err)) != READER_END &&
           got != READER_FAILED) {
        struct bitnet_error bad = {0};
        if (got == READER_LATER) {
            continue;
        }
        number++;
        if (got == READER_TOO_LONG) {
            bytes = "", n_bytes = 0; /* no JSON either: becomes an error record */
            fail(&bad, BITNET_BAD, "longer than %d MiB", RECORD_MAX_BYTES >> 20);
        }
        if (!convert_record(o, backward, bytes, n_bytes, &line, &bad)) {
            n_failed++;
            fflush(stdout);
            fprintf(stderr, "bitnet: record %zu: %s\n", number, bad.msg);
        }
        ok = (!line.failed ||
              fail(&err, BITNET_FAILED, "not enough memory for a record")) &&
             out_text(line.data, line.n_bytes, &err);
    }
    ok = ok && got == READER_END && out_flush(&err);
    reader_close(&r);
    buffer_free(&line);
    if (!ok) {
        return cmd_fail(&err);
    }
    return n_failed > 0 ? BITNET_FAILED : BITNET_OK;
}

/* All of it, to the last newline: ids stand for every byte. */
static bool read_text(const char *path, struct buffer *text, struct bitnet_error *err)
{
    bool is_stdin = strcmp(path, "-") == 0;
    const char *name = is_stdin ? "standard input" : path;
    FILE *in = is_stdin ? stdin : fopen(path, "rb");
    if (in == NULL) {
        return fail(err, BITNET_FAILED, "%s: %s", name, strerror(errno));
    }
    char piece[65536];
    /* Behind its end nothing is read: a terminal would be asked for a second Ctrl-D. */
    while (!feof(in) && !ferror(in) && !text->failed) {
        buffer_add(text, piece, fread(piece, 1, sizeof piece, in));
    }
    bool ok = !ferror(in) || fail(err, BITNET_FAILED, "%s: %s", name, strerror(errno));
    if (!is_stdin) {
        fclose(in);
    }
    buffer_add(text, "", 1); /* read_ids stops at it */
    return ok &&
           (!text->failed || fail(err, BITNET_FAILED, "%s: not enough memory", name));
}

static bool run_text(const struct job_options *o, const char *text, size_t n_bytes,
                     bool backward, struct bitnet_error *err)
{
    struct bitnet_ids ids = {0};
    struct buffer out = {0};
    bool ok = backward ? read_ids(o, text, &ids, err)
                       : bitnet_encode(o->t, text, n_bytes, o->flags, &ids, err);
    if (ok && backward) {
        decode(o, &ids, &out);
        if (isatty(1)) {
            buffer_add(&out, "\n", 1);
        }
    } else if (ok) {
        add_plain_ids(&out, o, &ids);
    }
    ok = ok &&
         (!out.failed || fail(err, BITNET_FAILED, "not enough memory for the output")) &&
         out_text(out.data, out.n_bytes, err) && out_flush(err);
    bitnet_ids_free(&ids);
    buffer_free(&out);
    return ok;
}

static int run(const struct args *a, const struct job_options *o)
{
    struct bitnet_error err = {0};
    struct buffer text = {0};
    const char *prompt = args_text(a, "--prompt"), *path = args_text(a, "--file");
    bool backward = args_flag(a, "--decode"), ok;
    if (prompt != NULL && strcmp(prompt, "-") == 0) {
        prompt = NULL;
    }
    if (args_flag(a, "--jsonl")) {
        ok = prompt == NULL || fail(&err, BITNET_USAGE,
                                    "--jsonl reads records from stdin or -f, "
                                    "not from -p");
        return ok ? run_records(o, path != NULL ? path : "-", backward) : cmd_fail(&err);
    }
    if (prompt != NULL && path != NULL) {
        ok = fail(&err, BITNET_USAGE, "the text comes from -p or from -f, not from both");
    } else if (prompt != NULL) {
        ok = run_text(o, prompt, strlen(prompt), backward, &err);
    } else {
        ok = read_text(path != NULL ? path : "-", &text, &err) &&
             run_text(o, (const char *)text.data, text.n_bytes - 1, backward, &err);
    }
    buffer_free(&text);
    return ok ? BITNET_OK : cmd_fail(&err);
}

static bool check_input(const struct args *a, struct bitnet_error *err)
{
    const char *prompt = args_text(a, "--prompt"), *path = args_text(a, "--file");
    if (prompt != NULL && strcmp(prompt, "-") != 0 && !args_flag(a, "--jsonl")) {
        return true;
    }
    return cmd_check_stdin(a, path != NULL ? path : "-", "the text", err);
}

int tool_tokenize(int argc, char **argv)
{
    struct args a;
    int status;
    if (!cmd_begin(&a, "tokenize", argc, argv, &status)) {
        return status;
    }
    const char *path = cmd_model(args_text(&a, "--model"));
    struct bitnet_error err = {0};
    struct tokenizer_file f;
    if (check_input(&a, &err) && tokenizer_file_open(&f, path, &err)) {
        struct job_options o = {.t = f.tokenizer,
                                .pieces = args_flag(&a, "--verbose"),
                                .special = args_flag(&a, "--special")};
        o.flags = (args_flag(&a, "--no-bos") ? 0 : BITNET_BOS) |
                  (o.special ? BITNET_SPECIAL : 0);
        status = run(&a, &o);
        tokenizer_file_close(&f);
    } else {
        status = cmd_fail(&err);
    }
    args_free(&a);
    return status;
}
