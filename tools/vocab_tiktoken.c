/* vocab_tiktoken.c: tiktoken's ranks, one "base64 rank" a line. There are no merges in
 * it: the pair that is joined first is the one whose text has the lowest rank, so every
 * way to cut a token in two tokens is a merge of that rank. Its special tokens stand
 * beside it, in tokenizer_config.json, or are those of Llama 3. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/infile.h"
#include "tools/vocab.h"

enum { n_llama3_ranks = 128000, n_llama3_specials = 256 };

static int base64_digit(char c)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *hit = c != 0 ? strchr(digits, c) : NULL;
    return hit != NULL ? (int)(hit - digits) : -1;
}

/* Appends the bytes; false when it is not base64. */
static bool base64(const char *text, size_t n, struct buffer *out)
{
    while (n > 0 && text[n - 1] == '=') {
        n--;
    }
    uint32_t bits = 0;
    for (size_t i = 0; i < n; i++) {
        int digit = base64_digit(text[i]);
        if (digit < 0) {
            return false;
        }
        bits = bits << 6 | (uint32_t)digit;
        if (i % 4 != 0) {
            uint8_t byte = (uint8_t)(bits >> (6 - 2 * (i % 4)));
            buffer_add(out, &byte, 1);
        }
    }
    return n % 4 != 1;
}

/* The next line that is not empty: its text and rank. False at the end; *bad for a
 * wrong one. */
static bool next_line(const char **at, const char *end, struct buffer *bytes,
                      uint64_t *rank, bool *bad)
{
    while (*at < end && (**at == '\n' || **at == '\r')) {
        (*at)++;
    }
    if (*at == end) {
        return false;
    }
    const char *stop = memchr(*at, '\n', (size_t)(end - *at));
    stop = stop == NULL ? end : stop;
    const char *gap = memchr(*at, ' ', (size_t)(stop - *at));
    bytes->n_bytes = 0;
    *bad = gap == NULL || !base64(*at, (size_t)(gap - *at), bytes) || bytes->n_bytes == 0;
    *rank = 0;
    for (const char *c = *bad ? stop : gap + 1; c < stop && *c != '\r'; c++) {
        *bad = *bad || *c < '0' || *c > '9' || *rank > MAX_TOKENS;
        *rank = 10 * *rank + (uint64_t)(*c - '0');
    }
    *at = stop;
    return true;
}

/* Special tokens that tokenizer_config.json lists with their ids. */
static bool add_listed(struct vocab_file *f, const struct json *list,
                       struct bitnet_error *err)
{
    for (const struct json *v = json_first(list); v != NULL; v = json_next(v)) {
        int64_t id;
        const char *content = json_text(json_get(v, "content"));
        if (content == NULL ||
            !parse_i64(v->key, 0, (int64_t)f->vocab.n_tokens - 1, &id)) {
            return fail(err, BITNET_BAD,
                        "%s: token %.20s of its tokenizer_config.json does not fit",
                        f->path, v->key);
        }
        if (f->text_off[id] == SIZE_MAX &&
            !vocab_set(f, (uint64_t)id, content, strlen(content),
                       json_true(json_get(v, "special")) ? TOKEN_CONTROL : TOKEN_USER, 0,
                       err)) {
            return false;
        }
    }
    return true;
}

static bool add_llama3_specials(struct vocab_file *f, struct bitnet_error *err)
{
    static const char *const first[] = {
        "<|begin_of_text|>",   "<|end_of_text|>",   NULL, NULL,        NULL, NULL,
        "<|start_header_id|>", "<|end_header_id|>", NULL, "<|eot_id|>"};
    bool ok = true;
    for (size_t i = 0, n_reserved = 0; i < n_llama3_specials && ok; i++) {
        char name[64];
        bool named = i < sizeof first / sizeof *first && first[i] != NULL;
        if (named) {
            snprintf(name, sizeof name, "%s", first[i]);
        } else {
            snprintf(name, sizeof name, "<|reserved_special_token_%zu|>", n_reserved++);
        }
        ok = vocab_set(f, n_llama3_ranks + i, name, strlen(name), TOKEN_CONTROL, 0, err);
    }
    return ok;
}

/* Makes room for the ranks and the special tokens behind them. */
static bool size_and_specials(struct vocab_file *f, uint64_t n_ranks,
                              struct bitnet_error *err)
{
    size_t n_dir = (size_t)(path_base(f->path) - f->path);
    char *dir = n_dir > 0 ? strndup(f->path, n_dir) : strdup(".");
    char *path = dir != NULL ? path_join(dir, "tokenizer_config.json") : NULL;
    free(dir);
    struct json_doc doc = {0};
    bool ok = path != NULL || fail(err, BITNET_FAILED, "%s: not enough memory", f->path);
    ok = ok && (!path_is_file(path) || json_read(&doc, path, err));
    free(path);
    const struct json *list = json_object(doc.root, "added_tokens_decoder");
    uint64_t n_tokens = n_ranks;
    for (const struct json *v = json_first(list); v != NULL; v = json_next(v)) {
        int64_t id;
        if (parse_i64(v->key, 0, MAX_TOKENS, &id) && (uint64_t)id >= n_tokens) {
            n_tokens = (uint64_t)id + 1;
        }
    }
    bool is_llama3 = list == NULL && n_ranks == n_llama3_ranks;
    ok = ok && vocab_size(f, n_tokens + (is_llama3 ? n_llama3_specials : 0), err);
    ok = ok && (is_llama3 ? add_llama3_specials(f, err) : add_listed(f, list, err));
    json_free(&doc);
    return ok;
}

static bool add_merges(struct vocab_file *f, struct bitnet_error *err)
{
    const struct vocab *v = &f->vocab;
    bool ok = true;
    for (size_t i = 0; i < v->n_tokens && ok; i++) {
        const struct vocab_token *t = &v->tokens[i];
        for (uint32_t cut = 1; cut < t->n_bytes && t->type == TOKEN_NORMAL && ok; cut++) {
            int32_t left = vocab_find(f, t->bytes, cut);
            int32_t right =
                left < 0 ? -1 : vocab_find(f, t->bytes + cut, t->n_bytes - cut);
            if (left >= 0 && right >= 0 && v->tokens[left].type == TOKEN_NORMAL &&
                v->tokens[right].type == TOKEN_NORMAL) {
                ok = vocab_merge(f, left, right, err);
            }
        }
    }
    return ok;
}

bool vocab_tiktoken(struct vocab_file *f, const char *bytes, size_t n_bytes,
                    struct bitnet_error *err)
{
    struct buffer token = {0};
    const char *at = bytes, *end = bytes + n_bytes;
    uint64_t rank, n_ranks = 0;
    bool bad = false;
    while (!bad && next_line(&at, end, &token, &rank, &bad)) {
        n_ranks = rank >= n_ranks ? rank + 1 : n_ranks;
    }
    bool ok = !bad || fail(err, BITNET_BAD,
                           "%s: is neither SentencePiece nor tiktoken: byte %zu is "
                           "not a line of base64 and a rank",
                           f->path, (size_t)(at - bytes));
    ok = ok && size_and_specials(f, n_ranks, err);
    at = bytes;
    while (ok && next_line(&at, end, &token, &rank, &bad)) {
        ok = vocab_set(f, rank, (const char *)token.data, token.n_bytes, TOKEN_NORMAL, 0,
                       err);
    }
    buffer_free(&token);
    ok = ok && vocab_seal(f, err) && add_merges(f, err);
    f->vocab.kind = TOKENIZER_BPE;
    f->vocab.ignore_merges = true;
    if (ok && !vocab_guess_pretok(f, &f->vocab.pretok)) {
        ok = fail(err, BITNET_BAD,
                  "%s: which pre-tokenizer goes with its %zu tokens is not known; "
                  "take the model's tokenizer.json",
                  f->path, f->vocab.n_tokens);
    }
    f->vocab.add_bos = f->vocab.pretok == PRETOK_LLAMA3;
    return ok && vocab_hf_neighbours(f, f->path, err);
}
