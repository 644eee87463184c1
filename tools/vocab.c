/* vocab.c: finds out what a file is, and holds the vocabulary that its reader builds. */
#include "tools/vocab.h"

#include <stdlib.h>
#include <string.h>

#include "src/utf8.h"
#include "tools/infile.h"

static bool no_memory(const struct vocab_file *f, struct bitnet_error *err)
{
    return fail(err, BITNET_FAILED, "%s: not enough memory for its vocabulary", f->path);
}

bool vocab_size(struct vocab_file *f, uint64_t n_tokens, struct bitnet_error *err)
{
    if (n_tokens == 0 || n_tokens > MAX_TOKENS) {
        return fail(err, BITNET_BAD, "%s: %llu tokens, wanted 1 to %d", f->path,
                    (unsigned long long)n_tokens, (int)MAX_TOKENS);
    }
    f->vocab.tokens = calloc((size_t)n_tokens, sizeof *f->vocab.tokens);
    f->text_off = malloc((size_t)n_tokens * sizeof *f->text_off);
    if (f->vocab.tokens == NULL || f->text_off == NULL) {
        return no_memory(f, err);
    }
    f->vocab.n_tokens = (size_t)n_tokens;
    for (size_t i = 0; i < n_tokens; i++) {
        f->text_off[i] = SIZE_MAX;
    }
    return true;
}

bool vocab_set(struct vocab_file *f, uint64_t id, const char *bytes, size_t n_bytes,
               enum token_type type, float score, struct bitnet_error *err)
{
    if (id >= f->vocab.n_tokens || n_bytes > INT32_MAX) {
        return fail(err, BITNET_BAD, "%s: token id %llu, wanted below %zu", f->path,
                    (unsigned long long)id, f->vocab.n_tokens);
    }
    if (f->text_off[id] != SIZE_MAX) {
        return fail(err, BITNET_BAD, "%s: two tokens have the id %llu", f->path,
                    (unsigned long long)id);
    }
    f->text_off[id] = f->text.n_bytes;
    f->vocab.tokens[id] = (struct vocab_token){
        .n_bytes = (uint32_t)n_bytes, .type = (uint8_t)type, .score = score};
    buffer_add(&f->text, bytes, n_bytes);
    return !f->text.failed || no_memory(f, err);
}

bool vocab_seal(struct vocab_file *f, struct bitnet_error *err)
{
    f->n_slots = 4;
    while (f->n_slots < 2 * f->vocab.n_tokens) {
        f->n_slots *= 2;
    }
    f->table = calloc(f->n_slots, sizeof *f->table);
    buffer_add(&f->text, "", 1); /* so that there is an address even for no text */
    if (f->table == NULL || f->text.failed) {
        return no_memory(f, err);
    }
    /* Normal tokens first: merges name them by spelling. */
    for (int turn = 0; turn < 2; turn++) {
        for (size_t i = 0; i < f->vocab.n_tokens; i++) {
            struct vocab_token *t = &f->vocab.tokens[i];
            if (turn == 0 && f->text_off[i] == SIZE_MAX) {
                *t = (struct vocab_token){.type = TOKEN_UNUSED};
                f->text_off[i] = 0;
            }
            t->bytes = (const char *)f->text.data + f->text_off[i];
            if ((t->type == TOKEN_NORMAL) == (turn == 0) && t->type != TOKEN_BYTE &&
                vocab_find(f, t->bytes, t->n_bytes) < 0) {
                size_t slot = hash64(t->bytes, t->n_bytes) & (f->n_slots - 1);
                while (f->table[slot] != 0) {
                    slot = (slot + 1) & (f->n_slots - 1);
                }
                f->table[slot] = (uint32_t)i + 1;
            }
        }
    }
    return true;
}

int32_t vocab_find(const struct vocab_file *f, const char *bytes, size_t n_bytes)
{
    for (size_t slot = hash64(bytes, n_bytes);; slot++) {
        uint32_t entry = f->table[slot & (f->n_slots - 1)];
        if (entry == 0) {
            return -1;
        }
        const struct vocab_token *t = &f->vocab.tokens[entry - 1];
        if (t->n_bytes == n_bytes && memcmp(t->bytes, bytes, n_bytes) == 0) {
            return (int32_t)(entry - 1);
        }
    }
}

int32_t vocab_find_name(const struct vocab_file *f, const char *name)
{
    return vocab_find(f, name, strlen(name));
}

bool vocab_merge(struct vocab_file *f, int32_t left, int32_t right,
                 struct bitnet_error *err)
{
    struct vocab *v = &f->vocab;
    if (left < 0 || right < 0) {
        return fail(err, BITNET_BAD, "%s: merge %zu names a piece that is no token",
                    f->path, v->n_merges);
    }
    if (v->n_merges == f->n_merges_alloc) {
        size_t n_alloc = v->n_merges == 0 ? 1024 : 2 * v->n_merges;
        void *merges = realloc(v->merges, n_alloc * sizeof *v->merges);
        if (merges == NULL) {
            return no_memory(f, err);
        }
        v->merges = merges;
        f->n_merges_alloc = n_alloc;
    }
    v->merges[v->n_merges][0] = (uint32_t)left;
    v->merges[v->n_merges][1] = (uint32_t)right;
    v->n_merges++;
    return true;
}

void vocab_stop(struct vocab_file *f, int64_t id)
{
    struct vocab *v = &f->vocab;
    bool known = id < 0 || (uint64_t)id >= v->n_tokens ||
                 v->n_stops == sizeof v->stops / sizeof *v->stops;
    for (size_t i = 0; i < v->n_stops && !known; i++) {
        known = v->stops[i] == id;
    }
    if (!known) {
        v->stops[v->n_stops++] = (int32_t)id;
    }
}

bool vocab_guess_pretok(const struct vocab_file *f, enum pretokenizer *out)
{
    static const struct {
        const char *name; /* a token of these vocabularies alone */
        enum pretokenizer pretok;
    } marks[] = {{"<|begin_of_text|>", PRETOK_LLAMA3},
                 {"<|eot_id|>", PRETOK_LLAMA3},
                 {"<|im_start|>", PRETOK_QWEN2},
                 {">>ABSTRACT<<", PRETOK_FALCON}};
    size_t n = f->vocab.n_tokens;
    if (n == 248320) {
        *out = PRETOK_QWEN35;
        return true;
    }
    if (n == 131072 || n == 131080) { /* Falcon 3 */
        *out = PRETOK_LLAMA3;
        return true;
    }
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        if (vocab_find_name(f, marks[i].name) >= 0) {
            *out = marks[i].pretok;
            return true;
        }
    }
    *out = PRETOK_GPT2; /* GPT-2 has 50257, GPT-NeoX 50254 and padding */
    return n >= 50254 && n <= 50688;
}

bool vocab_unmap(const char *text, size_t n_bytes, struct buffer *out)
{
    size_t start = out->n_bytes;
    for (size_t at = 0, n; at < n_bytes; at += n) {
        uint32_t code = 0;
        n = utf8_decode(text + at, n_bytes - at, &code);
        bool itself =
            (code >= 33 && code <= 126) || (code >= 161 && code <= 255 && code != 173);
        /* U+0100 on: the bytes 0..32, 127..160 and 173 in this order */
        uint32_t moved = code - 256;
        if (n == 0 || (!itself && moved > 67)) {
            out->n_bytes = start;
            return false;
        }
        uint8_t byte = (uint8_t)(itself        ? code
                                 : moved <= 32 ? moved
                                 : moved <= 66 ? moved + 94
                                               : 173);
        buffer_add(out, &byte, 1);
    }
    return true;
}

void vocab_unspace(const char *text, size_t n_bytes, struct buffer *out)
{
    for (size_t at = 0; at < n_bytes;) {
        bool glyph = n_bytes - at >= 3 && memcmp(text + at, "\xe2\x96\x81", 3) == 0;
        buffer_add(out, glyph ? " " : text + at, 1);
        at += glyph ? 3 : 1;
    }
}

int vocab_byte_piece(const char *text, size_t n_bytes)
{
    if (n_bytes != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>') {
        return -1;
    }
    int value = 0;
    for (int i = 3; i < 5; i++) {
        char c = text[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) {
            return -1;
        }
        value = 16 * value + digit;
    }
    return value;
}

/* tokenizer.model: a protobuf of pieces, or lines of base64 and rank. */
static bool open_model_file(struct vocab_file *f, const struct infile *in,
                            struct bitnet_error *err)
{
    if (in->n_bytes > 1u << 28) {
        return fail(err, BITNET_BAD, "%s: %llu bytes, too large for a vocabulary",
                    f->path, (unsigned long long)in->n_bytes);
    }
    size_t n_bytes = (size_t)in->n_bytes;
    uint8_t *bytes = malloc(n_bytes + 1);
    bool ok =
        (bytes != NULL || no_memory(f, err)) && infile_read(in, 0, bytes, n_bytes, err);
    if (ok) {
        ok = bytes[0] == 0x0a ? vocab_spm(f, bytes, n_bytes, err)
                              : vocab_tiktoken(f, (const char *)bytes, n_bytes, err);
    }
    free(bytes);
    return ok;
}

static bool open_file(struct vocab_file *f, struct bitnet_error *err)
{
    struct infile in;
    if (!infile_open(&in, f->path, err)) {
        return false;
    }
    char head[256] = {0}; /* ends in 0 */
    size_t n_head = sizeof head - 1;
    n_head = in.n_bytes < n_head ? (size_t)in.n_bytes : n_head;
    bool ok = infile_read(&in, 0, head, n_head, err);
    if (ok && memcmp(head, "GGUF", 4) == 0) {
        infile_close(&in);
        struct gguf g;
        if (!gguf_open(&g, f->path, err)) {
            return false;
        }
        ok = vocab_from_gguf(f, &g, err);
        gguf_close(&g);
        return ok;
    }
    size_t blanks = strspn(head, " \t\r\n");
    if (ok && blanks < n_head && head[blanks] == '{') {
        ok = vocab_hf(f, f->path, err);
    } else if (ok && strspn(head, "\nABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789+/=") > 0) {
        ok = open_model_file(f, &in, err);
    } else if (ok) {
        ok = fail(err, BITNET_BAD,
                  "%s: is no vocabulary that is known (tokenizer.json, "
                  "tokenizer.model, .gguf, .bnp, or a folder with one of them)",
                  f->path);
    }
    infile_close(&in);
    return ok;
}

bool vocab_open(struct vocab_file *f, const char *path, struct bitnet_error *err)
{
    *f = (struct vocab_file){.vocab = {.bos = -1, .eos = -1, .unk = -1, .pad = -1}};
    if (strcmp(path, "-") == 0) {
        return fail(err, BITNET_USAGE, "-: only a .bnp vocabulary can come from standard input; "
                    "the others have files beside them");
    }
    if (path_is_dir(path)) {
        static const char *const names[] = {"tokenizer.json", "tokenizer.model"};
        for (size_t i = 0; i < 2; i++) {
            f->path = path_join(path, names[i]);
            if (f->path == NULL || path_is_file(f->path)) {
                break;
            }
            free(f->path);
            f->path = NULL;
            if (i == 1) {
                return fail(err, BITNET_BAD,
                            "%s: holds neither tokenizer.json nor tokenizer.model", path);
            }
        }
    } else {
        f->path = strdup(path);
    }
    if (f->path == NULL) {
        return fail(err, BITNET_FAILED, "%s: not enough memory for its vocabulary", path);
    }
    if (open_file(f, err)) {
        return true;
    }
    vocab_close(f);
    return false;
}

void vocab_close(struct vocab_file *f)
{
    free(f->vocab.tokens);
    free(f->vocab.merges);
    free(f->text_off);
    free(f->table);
    free(f->chat_template);
    free(f->path);
    buffer_free(&f->text);
    *f = (struct vocab_file){0};
}

bool tokenizer_file_open(struct tokenizer_file *f, const char *path,
                         struct bitnet_error *err)
{
    *f = (struct tokenizer_file){0};
    bool ok;
    if (path == NULL || is_bnp_file(path, err)) {
        ok = model_file_open(&f->model, path, err);
        f->section = f->model.bnp.tokenizer;
        f->section_bytes = (size_t)f->model.bnp.tokenizer_bytes;
    } else {
        struct vocab_file v;
        ok = vocab_open(&v, path, err);
        if (ok) {
            ok = tokenizer_pack(&v.vocab, &f->packed, err);
            vocab_close(&v);
        }
        f->section = f->packed.data;
        f->section_bytes = f->packed.n_bytes;
    }
    ok = ok && tokenizer_open(&f->tokenizer, f->section, f->section_bytes,
                              path != NULL ? path : "built-in model", err);
    if (!ok) {
        tokenizer_file_close(f);
    }
    return ok;
}

void tokenizer_file_close(struct tokenizer_file *f)
{
    tokenizer_close(f->tokenizer);
    buffer_free(&f->packed);
    if (f->model.bnp.bytes != NULL) {
        model_file_close(&f->model);
    }
    *f = (struct tokenizer_file){0};
}
