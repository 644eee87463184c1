/* info.c: `bitnet info [FILE]` says what a model file holds and what running it takes.
 *
 * --json prints one object, version 1; keys may be added, never changed:
 *
 *     {"version": 1, "file": path, "file_bytes": n, "bnp_version": 1,
 *      "meta": {key: text or number, ...},                        every key of the file
 *      "tokenizer": {"bytes": n, "n_tokens": n, "bos": id, "eos": id, "stops": [id, ...]},
 *      "encodings": [{"encoding": "t2", "n_tensors": n, "n_weights": n, "bytes": n}, ...],
 *      "bits_per_weight": x,                                      of the layers' matrices
 *      "decode_bytes": n,                                         read for one token
 *      "memory": {"n_ctx": n, "file_bytes": n, "session_bytes": n, "session_bytes_kv_i8": n},
 *      "tensors": [{"name": ..., "encoding": "t2", "scale": "tensor", "n_rows": n, "n_cols": n,
 *                   "off": n, "bytes": n, "hash": "16 hex digits"}, ...]}
 *
 * tokenizer's ids, bits_per_weight, decode_bytes and memory are absent from a file that is whole
 * but that this version cannot run; the reason follows on stderr, exit status 5. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "src/cmd_out.h"
#include "src/json.h"
#include "tools/modelfile.h"
#include "tools/tools.h"

enum { MAX_KINDS = 64, MAX_STOPS = 8 };

struct kind { /* all tensors of one encoding */
    char name[16];
    uint64_t n_tensors, n_weights, n_bytes;
};

struct report {
    const struct bnp *file;
    const bitnet_model *model; /* NULL: cannot be run */
    struct kind kinds[MAX_KINDS];
    size_t n_kinds;
    struct bitnet_session_options options;
    uint64_t session_bytes, session_bytes_i8;
    int32_t stops[MAX_STOPS];
    size_t n_stops;
};

static const char *const scale_names[] = {"none", "tensor", "row", "column", "group"};

static void count_kinds(struct report *r)
{
    for (size_t i = 0; i < r->file->n_tensors; i++) {
        const struct bnp_tensor *t = &r->file->tensors[i];
        char name[16];
        size_t k = 0;
        layout_name(name, (enum encoding)t->matrix.encoding, t->matrix.group);
        while (k < r->n_kinds && strcmp(r->kinds[k].name, name) != 0)
            k++;
        memcpy(r->kinds[k].name, name, sizeof name);
        r->n_kinds = k == r->n_kinds ? k + 1 : r->n_kinds;
        r->kinds[k].n_tensors++;
        r->kinds[k].n_weights += (uint64_t)t->matrix.n_rows * t->matrix.n_cols;
        r->kinds[k].n_bytes += t->n_bytes;
    }
}

static void ask_model(struct report *r, size_t n_ctx)
{
    const bitnet_tokenizer *t = bitnet_model_tokenizer(r->model);
    size_t n_train = bitnet_model_shape(r->model)->n_ctx_train;
    r->options.n_ctx = n_ctx ? n_ctx : n_train < 4096 ? n_train : 4096;
    r->options.kv = BITNET_KV_F16;
    r->session_bytes = bitnet_session_bytes(r->model, &r->options);
    r->options.kv = BITNET_KV_I8;
    r->session_bytes_i8 = bitnet_session_bytes(r->model, &r->options);
    for (size_t i = 0; i < bitnet_n_tokens(t) && r->n_stops < MAX_STOPS; i++)
        if (bitnet_token_is_stop(t, (int32_t)i))
            r->stops[r->n_stops++] = (int32_t)i;
}

/* A metadata value as text; numbers into room[32]. */
static const char *meta_value(const struct bnp *f, const char *key, char room[32])
{
    uint64_t u;
    double d;
    if (bnp_u64(f, key, &u))
        snprintf(room, 32, "%" PRIu64, u);
    else if (bnp_f64(f, key, &d))
        snprintf(room, 32, "%.17g", d);
    else
        return bnp_text(f, key);
    return room;
}

/* Counts with a separator for thousands: 1,234,567. */
static const char *grouped(char room[32], uint64_t n)
{
    char digits[24];
    size_t n_digits = (size_t)snprintf(digits, sizeof digits, "%" PRIu64, n), out = 0;
    for (size_t i = 0; i < n_digits; i++) {
        if (i > 0 && (n_digits - i) % 3 == 0)
            room[out++] = ',';
        room[out++] = digits[i];
    }
    room[out] = 0;
    return room;
}

static void print_row(const char *label, const char *text)
{
    if (text)
        printf("%-16s%s\n", label, text);
}

static void print_meta(const struct bnp *f)
{
    static const char *const labels[][2] = {
        {"name", "info.name"},           {"source", "info.source"},
        {"source hash", "info.source_hash"}, {"converter", "info.converter"},
        {"licence", "info.licence"},     {"architecture", "arch.name"},
        {"layers", "arch.n_layers"},     {"width", "arch.n_embd"},
        {"feed-forward", "arch.n_ff"},   {"  function", "arch.ffn_act"},
        {"heads", "arch.n_heads"},       {"  kv heads", "arch.n_kv_heads"},
        {"  head width", "arch.head_dim"},    {"vocabulary", "arch.n_vocab"},
        {"context", "arch.n_ctx"},       {"activations", "arch.act"},
        {"rope base", "rope.base"},      {"rope pairing", "rope.pairing"},
        {"rope scaling", "rope.scaling"}, {"chat template", "chat.template"},
        {"pooling", "pool"},
    };
    char room[32];
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++)
        print_row(labels[i][0], meta_value(f, labels[i][1], room));
}

static void print_encodings(const struct report *r)
{
    char n[32], b[32];
    for (size_t i = 0; i < r->n_kinds; i++) {
        const struct kind *k = &r->kinds[i];
        printf("%-16s%-8s%5" PRIu64 " tensors %16s weights %14s bytes %6.2f bits each\n",
               i == 0 ? "encodings" : "", k->name, k->n_tensors, grouped(n, k->n_weights),
               grouped(b, k->n_bytes), 8.0 * (double)k->n_bytes / (double)k->n_weights);
    }
}

static void print_tensors(const struct bnp *f)
{
    for (size_t i = 0; i < f->n_tensors; i++) {
        const struct bnp_tensor *t = &f->tensors[i];
        char name[16];
        layout_name(name, (enum encoding)t->matrix.encoding, t->matrix.group);
        printf("%-32s %-8s %-6s %8zu x %-8zu %12" PRIu64 " bytes at %12" PRIu64 "  %016" PRIx64
               "\n", t->name, name, scale_names[t->matrix.scale_kind], t->matrix.n_rows,
               t->matrix.n_cols, t->n_bytes, t->off, t->hash);
    }
}

static void print_tokenizer(const struct report *r)
{
    const bitnet_tokenizer *t = bitnet_model_tokenizer(r->model);
    printf("%-16s%zu tokens", "tokenizer", bitnet_n_tokens(t));
    if (bitnet_bos(t) >= 0)
        printf(", begins with %" PRId32, bitnet_bos(t));
    for (size_t i = 0; i < r->n_stops; i++)
        printf("%s %" PRId32, i == 0 ? ", stops at" : ",", r->stops[i]);
    printf("\n");
}

static void print_text(const struct report *r, bool all_tensors)
{
    char n[32];
    print_row("file", r->file->path);
    printf("%-16s%s bytes, .bnp version %d, %zu tensors\n", "size", grouped(n, r->file->n_bytes),
           BNP_VERSION, r->file->n_tensors);
    print_meta(r->file);
    print_encodings(r);
    if (r->model) {
        const struct bitnet_shape *s = bitnet_model_shape(r->model);
        print_tokenizer(r);
        printf("%-16s%.3f in the layers' matrices\n", "bits per weight", s->bits_per_weight);
        printf("%-16s%s bytes of weights\n", "read per token", grouped(n, s->decode_bytes));
        printf("%-16sat -c %zu: the file, mapped, and %s bytes", "memory", r->options.n_ctx,
               grouped(n, r->session_bytes));
        printf("; %s with an int8 cache\n", grouped(n, r->session_bytes_i8));
    }
    if (all_tensors)
        print_tensors(r->file);
}

static void add(struct buffer *b, const char *text)
{
    buffer_add(b, text, strlen(text));
}

/* "key": with what separates it from the member before. */
static void add_key(struct buffer *b, const char *key)
{
    uint8_t last = b->n_bytes ? b->data[b->n_bytes - 1] : '{';
    add(b, last == '{' ? "" : ", ");
    json_add_string(b, key, strlen(key));
    add(b, ": ");
}

static void add_number(struct buffer *b, const char *key, uint64_t n)
{
    char room[32];
    snprintf(room, sizeof room, "%" PRIu64, n);
    add_key(b, key);
    add(b, room);
}

static void add_string(struct buffer *b, const char *key, const char *text)
{
    add_key(b, key);
    json_add_string(b, text, strlen(text));
}

static void add_meta(struct buffer *b, const struct bnp *f)
{
    const char *key, *text;
    char room[32];
    add_key(b, "meta");
    add(b, "{");
    for (size_t i = 0; (key = bnp_meta_key(f, i)); i++) {
        text = meta_value(f, key, room);
        if (text != room) {
            add_string(b, key, text);
        } else {
            add_key(b, key);
            add(b, room);
        }
    }
    add(b, "}");
}

static void add_model(struct buffer *b, const struct report *r)
{
    char room[32];
    const struct bitnet_shape *s = bitnet_model_shape(r->model);
    snprintf(room, sizeof room, "%.4f", s->bits_per_weight);
    add_key(b, "bits_per_weight");
    add(b, room);
    add_number(b, "decode_bytes", s->decode_bytes);
    add_key(b, "memory");
    add(b, "{");
    add_number(b, "n_ctx", r->options.n_ctx);
    add_number(b, "file_bytes", r->file->n_bytes);
    add_number(b, "session_bytes", r->session_bytes);
    add_number(b, "session_bytes_kv_i8", r->session_bytes_i8);
    add(b, "}");
}

static void add_tokenizer(struct buffer *b, const struct report *r)
{
    char room[32];
    add_key(b, "tokenizer");
    add(b, "{");
    add_number(b, "bytes", r->file->tokenizer_bytes);
    if (r->model) {
        const bitnet_tokenizer *t = bitnet_model_tokenizer(r->model);
        add_number(b, "n_tokens", bitnet_n_tokens(t));
        snprintf(room, sizeof room, "%" PRId32, bitnet_bos(t));
        add_key(b, "bos");
        add(b, room);
        snprintf(room, sizeof room, "%" PRId32, bitnet_eos(t));
        add_key(b, "eos");
        add(b, room);
        add_key(b, "stops");
        for (size_t i = 0; i < r->n_stops; i++) {
            snprintf(room, sizeof room, "%s%" PRId32, i == 0 ? "[" : ", ", r->stops[i]);
            add(b, room);
        }
        add(b, r->n_stops ? "]" : "[]");
    }
    add(b, "}");
}

static void add_tensor(struct buffer *b, const struct bnp_tensor *t, bool first)
{
    char name[16], hash[32];
    layout_name(name, (enum encoding)t->matrix.encoding, t->matrix.group);
    snprintf(hash, sizeof hash, "%016" PRIx64, t->hash);
    add(b, first ? "{" : ", {");
    add_string(b, "name", t->name);
    add_string(b, "encoding", name);
    add_string(b, "scale", scale_names[t->matrix.scale_kind]);
    add_number(b, "n_rows", t->matrix.n_rows);
    add_number(b, "n_cols", t->matrix.n_cols);
    add_number(b, "off", t->off);
    add_number(b, "bytes", t->n_bytes);
    add_string(b, "hash", hash);
    add(b, "}");
}

static void add_kind(struct buffer *b, const struct kind *k, bool first)
{
    add(b, first ? "{" : ", {");
    add_string(b, "encoding", k->name);
    add_number(b, "n_tensors", k->n_tensors);
    add_number(b, "n_weights", k->n_weights);
    add_number(b, "bytes", k->n_bytes);
    add(b, "}");
}

static bool print_json(const struct report *r, struct bitnet_error *err)
{
    struct buffer b = {0};
    add(&b, "{");
    add_number(&b, "version", 1);
    add_string(&b, "file", r->file->path);
    add_number(&b, "file_bytes", r->file->n_bytes);
    add_number(&b, "bnp_version", BNP_VERSION);
    add_meta(&b, r->file);
    add_tokenizer(&b, r);
    add_key(&b, "encodings");
    add(&b, "[");
    for (size_t i = 0; i < r->n_kinds; i++)
        add_kind(&b, &r->kinds[i], i == 0);
    add(&b, "]");
    if (r->model)
        add_model(&b, r);
    add_key(&b, "tensors");
    add(&b, "[");
    for (size_t i = 0; i < r->file->n_tensors; i++)
        add_tensor(&b, &r->file->tensors[i], i == 0);
    add(&b, "]}\n");
    bool good = (!b.failed || fail(err, BITNET_FAILED, "info: out of memory")) &&
                out_text(b.data, b.n_bytes, err);
    buffer_free(&b);
    return good;
}

int tool_info(int argc, char **argv)
{
    struct bitnet_error err = {0};
    struct report r = {0};
    struct model_file file;
    bitnet_model *model = NULL;
    struct args a;
    int status;
    if (!cmd_begin(&a, "info", argc, argv, &status))
        return status;
    const char *path = cmd_model(a.operands[0]);
    if (model_file_open(&file, path, &err)) {
        r.file = &file.bnp;
        count_kinds(&r);
        if (bitnet_model_open(&model, path, &err)) {
            r.model = model;
            ask_model(&r, args_given(&a, "--ctx-size") ? (size_t)args_int(&a, "--ctx-size") : 0);
        }
        if (args_flag(&a, "--json"))
            print_json(&r, &err);
        else
            print_text(&r, args_flag(&a, "--verbose"));
        bitnet_model_close(model);
        model_file_close(&file);
    }
    args_free(&a);
    return err.code == BITNET_OK ? BITNET_OK : cmd_fail(&err);
}
