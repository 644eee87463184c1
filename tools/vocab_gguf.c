/* vocab_gguf.c: the vocabulary in a GGUF file's metadata. */
#include <stdlib.h>
#include <string.h>

#include "tools/vocab.h"

/* The names that converters give to pre-tokenizers of one kind. */
static const struct {
    const char *name;
    enum pretokenizer pretok;
} known_pre[] = {
    {"gpt-2", PRETOK_GPT2},       {"gpt2", PRETOK_GPT2},
    {"gpt-neox", PRETOK_GPT2},    {"mpt", PRETOK_GPT2},
    {"olmo", PRETOK_GPT2},        {"jais", PRETOK_GPT2},
    {"trillion", PRETOK_GPT2},    {"phi-2", PRETOK_GPT2},
    {"llama3", PRETOK_LLAMA3},    {"llama-v3", PRETOK_LLAMA3},
    {"llama-bpe", PRETOK_LLAMA3}, {"falcon3", PRETOK_LLAMA3},
    {"falcon_e", PRETOK_LLAMA3},  {"falcon-h1", PRETOK_LLAMA3},
    {"falcon-e", PRETOK_LLAMA3},  {"lfm2", PRETOK_LLAMA3},
    {"pixtral", PRETOK_LLAMA3},   {"midm-2.0", PRETOK_LLAMA3},
    {"qwen2", PRETOK_QWEN2},      {"deepseek-r1-qwen", PRETOK_QWEN2},
    {"stablelm2", PRETOK_QWEN2},  {"qwen35", PRETOK_QWEN35},
    {"falcon", PRETOK_FALCON},    {"default", PRETOK_DEFAULT},
};

struct reader {
    struct vocab_file *f;
    const struct gguf *g;
    struct bitnet_error *err;
};

static bool is_bpe(const struct reader *r)
{
    return r->f->vocab.kind == TOKENIZER_BPE;
}

static bool read_kind(struct reader *r)
{
    struct gguf_text model;
    if (!gguf_get_text(r->g, "tokenizer.ggml.model", &model)) {
        return fail(r->err, BITNET_BAD,
                    "%s: has no tokenizer.ggml.model: no vocabulary is in this "
                    "file",
                    r->f->path);
    }
    if (gguf_text_is(model, "gpt2")) {
        r->f->vocab.kind = TOKENIZER_BPE;
    } else if (gguf_text_is(model, "llama")) {
        r->f->vocab.kind = TOKENIZER_SPM;
    } else {
        return fail(r->err, BITNET_BAD,
                    "%s: tokenizer.ggml.model is '%.*s', wanted gpt2 or llama",
                    r->f->path, (int)(model.n_bytes < 80 ? model.n_bytes : 80),
                    model.bytes);
    }
    return true;
}

static bool add_token(struct reader *r, uint64_t id, struct gguf_text text, int64_t type,
                      double score, struct buffer *bytes)
{
    if (type < TOKEN_NORMAL || type > TOKEN_BYTE) {
        return fail(r->err, BITNET_BAD, "%s: token %llu has type %lld, wanted 1 to 6",
                    r->f->path, (unsigned long long)id, (long long)type);
    }
    int byte = type == TOKEN_BYTE ? vocab_byte_piece(text.bytes, text.n_bytes) : -1;
    bool plain = type == TOKEN_NORMAL || type == TOKEN_UNUSED || type == TOKEN_USER;
    bytes->n_bytes = 0;
    if (type == TOKEN_BYTE && byte < 0) {
        return fail(r->err, BITNET_BAD, "%s: byte token %llu is not spelled like <0x0A>",
                    r->f->path, (unsigned long long)id);
    }
    if (byte >= 0) {
        buffer_add(bytes, &(uint8_t){(uint8_t)byte}, 1);
    } else if (plain && !is_bpe(r)) {
        vocab_unspace(text.bytes, text.n_bytes, bytes);
    } else if (type != TOKEN_NORMAL || !vocab_unmap(text.bytes, text.n_bytes, bytes)) {
        buffer_add(bytes, text.bytes, text.n_bytes);
    }
    return vocab_set(r->f, id, (const char *)bytes->data, bytes->n_bytes,
                     (enum token_type)type, (float)score, r->err);
}

static bool read_tokens(struct reader *r)
{
    struct gguf_array tokens, types, scores;
    if (!gguf_get_array(r->g, "tokenizer.ggml.tokens", &tokens) ||
        tokens.kind != GGUF_TEXT) {
        return fail(r->err, BITNET_BAD, "%s: has no tokenizer.ggml.tokens", r->f->path);
    }
    bool has_types = gguf_get_array(r->g, "tokenizer.ggml.token_type", &types);
    bool has_scores = gguf_get_array(r->g, "tokenizer.ggml.scores", &scores);
    if (!is_bpe(r) && !has_scores) {
        return fail(r->err, BITNET_BAD, "%s: has no tokenizer.ggml.scores", r->f->path);
    }
    struct buffer bytes = {0};
    buffer_add(&bytes, "", 1);
    bool ok = vocab_size(r->f, tokens.n_items, r->err);
    struct gguf_text text;
    for (uint64_t i = 0; ok && i < tokens.n_items; i++) {
        int64_t type = TOKEN_NORMAL;
        double score = 0;
        bool whole = gguf_next_text(&tokens, &text) &&
                     (!has_types || gguf_item_i64(&types, i, &type)) &&
                     (is_bpe(r) || gguf_item_f64(&scores, i, &score));
        ok = whole ? add_token(r, i, text, type, score, &bytes)
                   : fail(r->err, BITNET_BAD,
                          "%s: token_type or scores are no numbers, or fewer "
                          "than the tokens",
                          r->f->path);
    }
    buffer_free(&bytes);
    return ok && vocab_seal(r->f, r->err);
}

static int32_t piece_id(struct reader *r, const char *text, size_t n_bytes,
                        struct buffer *bytes)
{
    bytes->n_bytes = 0;
    if (!vocab_unmap(text, n_bytes, bytes)) {
        buffer_add(bytes, text, n_bytes);
    }
    return vocab_find(r->f, (const char *)bytes->data, bytes->n_bytes);
}

static bool read_merges(struct reader *r)
{
    struct gguf_array merges;
    struct gguf_text m;
    if (!gguf_get_array(r->g, "tokenizer.ggml.merges", &merges) ||
        merges.kind != GGUF_TEXT) {
        return fail(r->err, BITNET_BAD, "%s: has no tokenizer.ggml.merges", r->f->path);
    }
    struct buffer bytes = {0};
    buffer_add(&bytes, "", 1);
    bool ok = true;
    while (ok && gguf_next_text(&merges, &m)) {
        const char *gap = m.n_bytes > 1 ? memchr(m.bytes + 1, ' ', m.n_bytes - 1) : NULL;
        size_t n_left = gap != NULL ? (size_t)(gap - m.bytes) : m.n_bytes;
        int32_t left = piece_id(r, m.bytes, n_left, &bytes);
        int32_t right =
            gap == NULL ? -1 : piece_id(r, gap + 1, m.n_bytes - n_left - 1, &bytes);
        ok = vocab_merge(r->f, left, right, r->err);
    }
    buffer_free(&bytes);
    return ok;
}

/* What the file says of its pre-tokenizer, unless its vocabulary says better: early
 * files of BitNet-2B say nothing, or "default". */
static bool read_pre(struct reader *r)
{
    struct gguf_text pre;
    bool has_pre = gguf_get_text(r->g, "tokenizer.ggml.pre", &pre);
    if (!has_pre || gguf_text_is(pre, "default")) {
        if (!vocab_guess_pretok(r->f, &r->f->vocab.pretok)) {
            r->f->vocab.pretok = PRETOK_DEFAULT;
        }
        return true;
    }
    for (size_t i = 0; i < sizeof known_pre / sizeof *known_pre; i++) {
        if (gguf_text_is(pre, known_pre[i].name)) {
            r->f->vocab.pretok = known_pre[i].pretok;
            return true;
        }
    }
    return fail(r->err, BITNET_BAD,
                "%s: tokenizer.ggml.pre is '%.*s', which is not known", r->f->path,
                (int)(pre.n_bytes < 80 ? pre.n_bytes : 80), pre.bytes);
}

static bool read_id(struct reader *r, const char *key, int32_t *id)
{
    uint64_t value;
    if (gguf_find(r->g, key) == NULL) {
        return true;
    }
    /* -1 and its unsigned reading stand for "none" */
    if (!gguf_get_u64(r->g, key, &value) || value == UINT32_MAX) {
        *id = -1;
        return true;
    }
    if (value >= r->f->vocab.n_tokens) {
        return fail(r->err, BITNET_BAD, "%s: %s is %llu, there are %zu tokens",
                    r->f->path, key, (unsigned long long)value, r->f->vocab.n_tokens);
    }
    *id = (int32_t)value;
    return true;
}

/* Some files call everything normal; these tokens are never text. */
static void mark_control(struct vocab_file *f, int32_t id)
{
    if (id >= 0 && f->vocab.tokens[id].type == TOKEN_NORMAL) {
        f->vocab.tokens[id].type = TOKEN_CONTROL;
    }
}

static bool read_ids(struct reader *r)
{
    struct vocab *v = &r->f->vocab;
    if (!is_bpe(r) && v->n_tokens > 2) {
        v->unk = 0;
        v->bos = 1;
        v->eos = 2;
    }
    int32_t eot = -1, eom = -1;
    if (!read_id(r, "tokenizer.ggml.bos_token_id", &v->bos) ||
        !read_id(r, "tokenizer.ggml.eos_token_id", &v->eos) ||
        !read_id(r, "tokenizer.ggml.unknown_token_id", &v->unk) ||
        !read_id(r, "tokenizer.ggml.padding_token_id", &v->pad) ||
        !read_id(r, "tokenizer.ggml.eot_token_id", &eot) ||
        !read_id(r, "tokenizer.ggml.eom_token_id", &eom)) {
        return false;
    }
    vocab_stop(r->f, eot);
    vocab_stop(r->f, eom);
    static const char *const names[] = {"<|eot_id|>",          "<|im_end|>",
                                        "<|im_start|>",        "<|endoftext|>",
                                        "<|end_of_text|>",     "<|begin_of_text|>",
                                        "<|start_header_id|>", "<|end_header_id|>"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        mark_control(r->f, vocab_find_name(r->f, names[i]));
    }
    return true;
}

static bool read_template(struct reader *r)
{
    struct gguf_text text;
    if (!gguf_get_text(r->g, "tokenizer.chat_template", &text)) {
        return true;
    }
    r->f->chat_template = strndup(text.bytes, text.n_bytes);
    return r->f->chat_template != NULL ||
           fail(r->err, BITNET_FAILED, "%s: not enough memory for its vocabulary",
                r->f->path);
}

static bool read_all(struct reader *r)
{
    struct vocab *v = &r->f->vocab;
    if (!read_kind(r) || !read_tokens(r) || !read_ids(r) || !read_template(r) ||
        (is_bpe(r) && (!read_merges(r) || !read_pre(r)))) {
        return false;
    }
    bool is_qwen = v->pretok == PRETOK_QWEN2 || v->pretok == PRETOK_QWEN35;
    v->ignore_merges = v->pretok == PRETOK_LLAMA3;
    v->nfc = is_qwen;
    v->add_bos = !is_bpe(r) || v->pretok == PRETOK_LLAMA3;
    v->add_space_prefix = !is_bpe(r);
    gguf_get_bool(r->g, "tokenizer.ggml.add_bos_token", &v->add_bos);
    gguf_get_bool(r->g, "tokenizer.ggml.add_eos_token", &v->add_eos);
    gguf_get_bool(r->g, "tokenizer.ggml.add_space_prefix", &v->add_space_prefix);
    return true;
}

bool vocab_from_gguf(struct vocab_file *f, const struct gguf *g, struct bitnet_error *err)
{
    if (f->path == NULL) {
        *f = (struct vocab_file){.vocab = {.bos = -1, .eos = -1, .unk = -1, .pad = -1}};
        f->path = strdup(g->path);
    }
    struct reader r = {.f = f, .g = g, .err = err};
    return f->path == NULL ? fail(err, BITNET_FAILED, "not enough memory") : read_all(&r);
}
