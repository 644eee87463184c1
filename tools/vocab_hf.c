/* vocab_hf.c: tokenizer.json of Hugging Face's tokenizers: byte-level BPE, and
 * SentencePiece's BPE in its two spellings. A component that is not known is refused by
 * name: it would change ids. */
#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "tools/vocab.h"

struct hf {
    struct vocab_file *f;
    const struct json *root, *model, *vocab, *added;
    struct bitnet_error *err;
    bool byte_level; /* pieces in GPT-2's alphabet */
    bool spaces;     /* pieces with the glyph for a space */
};

static bool refuse(struct hf *h, const char *what, const char *name)
{
    return fail(h->err, BITNET_BAD, "%s: %s '%.200s' is not known", h->f->path, what,
                name != NULL ? name : "?");
}

static const char *type_of(const struct json *v)
{
    return json_text(json_get(v, "type"));
}

static bool normalizer(struct hf *h, const struct json *v)
{
    if (json_absent(v)) {
        return true;
    }
    if (json_is(json_get(v, "type"), "Sequence")) {
        const struct json *part = json_first(json_array(v, "normalizers"));
        for (; part != NULL; part = json_next(part)) {
            if (!normalizer(h, part)) {
                return false;
            }
        }
        return true;
    }
    if (json_is(json_get(v, "type"), "NFC")) {
        h->f->vocab.nfc = true;
        return true;
    }
    if (json_is(json_get(v, "type"), "Prepend") &&
        json_is(json_get(v, "prepend"), "\xe2\x96\x81")) {
        h->f->vocab.add_space_prefix = true;
        return true;
    }
    if (json_is(json_get(v, "type"), "Replace") &&
        json_is(json_get(v, "content"), "\xe2\x96\x81") &&
        json_is(json_get(json_get(v, "pattern"), "String"), " ")) {
        h->spaces = true;
        return true;
    }
    return refuse(h, "normalizer", type_of(v));
}

static bool regex(struct hf *h, const char *pattern)
{
    static const struct {
        const char *pattern;
        enum pretokenizer pretok;
    } known[] = {
        {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| "
         "?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
         PRETOK_GPT2},
        {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "
         "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
         PRETOK_LLAMA3},
        {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "
         "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
         PRETOK_QWEN2},
        {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| "
         "?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
         PRETOK_QWEN35},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known && pattern != NULL; i++) {
        if (strcmp(pattern, known[i].pattern) == 0) {
            h->f->vocab.pretok = known[i].pretok;
            return true;
        }
    }
    return refuse(h, "the pattern of a pre-tokenizer,", pattern);
}

/* What stands in a sequence beside the byte level, so far. */
struct passes {
    bool punctuation, threes;
};

static bool metaspace(struct hf *h, const struct json *v)
{
    const struct json *prefix = json_get(v, "add_prefix_space");
    const char *scheme = json_text(json_get(v, "prepend_scheme"));
    h->spaces = true;
    h->f->vocab.add_space_prefix = scheme != NULL ? strcmp(scheme, "never") != 0
                                                  : prefix == NULL || json_true(prefix);
    h->f->vocab.prefix_once = scheme != NULL && strcmp(scheme, "first") == 0;
    if (!json_is(json_get(v, "replacement"), "\xe2\x96\x81")) {
        return refuse(h, "replacement of spaces by",
                      json_text(json_get(v, "replacement")));
    }
    return true;
}

static bool pre_tokenizer(struct hf *h, const struct json *v, struct passes *p)
{
    if (json_absent(v)) {
        return true;
    }
    const char *type = type_of(v);
    if (type != NULL && strcmp(type, "Sequence") == 0) {
        const struct json *part = json_first(json_array(v, "pretokenizers"));
        for (; part != NULL; part = json_next(part)) {
            if (!pre_tokenizer(h, part, p)) {
                return false;
            }
        }
        return true;
    }
    if (type != NULL && strcmp(type, "Split") == 0) {
        const char *pattern = json_text(json_get(json_get(v, "pattern"), "Regex"));
        if (!json_is(json_get(v, "behavior"), "Isolated") ||
            json_true(json_get(v, "invert"))) {
            return refuse(h, "splitting by", json_text(json_get(v, "behavior")));
        }
        if (pattern != NULL && strcmp(pattern, "[0-9][0-9][0-9]") == 0 && h->byte_level) {
            p->threes = true;
            return true;
        }
        return regex(h, pattern);
    }
    if (type != NULL && strcmp(type, "Punctuation") == 0 && !h->byte_level) {
        p->punctuation = true;
        return json_is(json_get(v, "behavior"), "Contiguous") ||
               refuse(h, "cutting out punctuation", json_text(json_get(v, "behavior")));
    }
    if (type != NULL && strcmp(type, "ByteLevel") == 0) {
        const struct json *use_regex = json_get(v, "use_regex");
        h->byte_level = true;
        if (json_true(json_get(v, "add_prefix_space"))) {
            return refuse(h, "byte level with", "add_prefix_space");
        }
        if (h->f->vocab.pretok == PRETOK_NONE &&
            (use_regex == NULL || json_true(use_regex))) {
            h->f->vocab.pretok = PRETOK_GPT2;
        }
        return true;
    }
    if (type != NULL && strcmp(type, "Metaspace") == 0) {
        return metaspace(h, v);
    }
    return refuse(h, "pre-tokenizer", type);
}

static bool read_pipeline(struct hf *h)
{
    struct vocab *v = &h->f->vocab;
    struct passes p = {false, false};
    if (!json_is(json_get(h->model, "type"), "BPE")) {
        return refuse(h, "model", type_of(h->model));
    }
    static const char *const affixes[] = {"continuing_subword_prefix",
                                          "end_of_word_suffix"};
    for (size_t i = 0; i < 2; i++) {
        const struct json *affix = json_get(h->model, affixes[i]);
        if (!json_absent(affix) && !json_is(affix, "")) {
            return refuse(h, affixes[i], json_text(affix));
        }
    }
    if (!normalizer(h, json_get(h->root, "normalizer")) ||
        !pre_tokenizer(h, json_get(h->root, "pre_tokenizer"), &p)) {
        return false;
    }
    if (p.punctuation || p.threes) {
        if (!p.punctuation || !p.threes || v->pretok != PRETOK_GPT2) {
            return refuse(h, "pre-tokenizer", "Sequence");
        }
        v->pretok = PRETOK_FALCON;
    }
    bool is_spm = json_true(json_get(h->model, "byte_fallback"));
    v->kind = is_spm ? TOKENIZER_SPM : TOKENIZER_BPE;
    v->ignore_merges = json_true(json_get(h->model, "ignore_merges"));
    if (is_spm ? h->byte_level || !h->spaces || v->nfc || v->ignore_merges
               : !h->byte_level || h->spaces || v->pretok == PRETOK_NONE) {
        return fail(h->err, BITNET_BAD,
                    "%s: is neither byte-level BPE nor SentencePiece BPE with "
                    "byte fallback",
                    h->f->path);
    }
    return true;
}

/* One piece of model.vocab. */
static bool add_piece(struct hf *h, const struct json *piece, const char *unk,
                      struct buffer *bytes)
{
    int64_t id;
    if (!json_i64(piece, &id) || id < 0) {
        return fail(h->err, BITNET_BAD, "%s: the id of token '%.80s' is no number",
                    h->f->path, piece->key);
    }
    bool is_spm = h->f->vocab.kind == TOKENIZER_SPM;
    int byte = is_spm ? vocab_byte_piece(piece->key, piece->key_bytes) : -1;
    enum token_type type = TOKEN_NORMAL;
    bytes->n_bytes = 0;
    if (byte >= 0) {
        type = TOKEN_BYTE;
        buffer_add(bytes, &(uint8_t){(uint8_t)byte}, 1);
    } else if (unk != NULL && strlen(unk) == piece->key_bytes &&
               memcmp(unk, piece->key, piece->key_bytes) == 0) {
        type = TOKEN_UNKNOWN;
        buffer_add(bytes, piece->key, piece->key_bytes);
    } else if (is_spm) {
        vocab_unspace(piece->key, piece->key_bytes, bytes);
    } else if (!vocab_unmap(piece->key, piece->key_bytes, bytes)) {
        buffer_add(bytes, piece->key, piece->key_bytes);
    }
    return vocab_set(h->f, (uint64_t)id, (const char *)bytes->data, bytes->n_bytes, type,
                     0, h->err);
}

/* Special tokens stand in the vocabulary too, or behind it. */
static bool add_added(struct hf *h, const struct json *a)
{
    const struct json *content = json_get(a, "content");
    int64_t id;
    if (content == NULL || content->kind != JSON_STRING ||
        !json_i64(json_get(a, "id"), &id) || id < 0 ||
        (uint64_t)id >= h->f->vocab.n_tokens) {
        return fail(h->err, BITNET_BAD, "%s: an added token has no content or no id",
                    h->f->path);
    }
    enum token_type type = json_true(json_get(a, "special")) ? TOKEN_CONTROL : TOKEN_USER;
    if (h->f->text_off[id] != SIZE_MAX) {
        struct vocab_token *t = &h->f->vocab.tokens[id];
        if (t->type == TOKEN_UNKNOWN) {
            return true;
        }
        /* The same token, now as text to be matched whole. */
        h->f->text_off[id] = SIZE_MAX;
    }
    return vocab_set(h->f, (uint64_t)id, content->text, content->text_bytes, type, 0,
                     h->err);
}

static bool read_tokens(struct hf *h)
{
    int64_t id, max_id = -1;
    for (const struct json *v = json_first(h->vocab); v != NULL; v = json_next(v)) {
        max_id = json_i64(v, &id) && id > max_id ? id : max_id;
    }
    for (const struct json *v = json_first(h->added); v != NULL; v = json_next(v)) {
        max_id = json_i64(json_get(v, "id"), &id) && id > max_id ? id : max_id;
    }
    if (max_id == INT64_MAX || !vocab_size(h->f, (uint64_t)(max_id + 1), h->err)) {
        return fail(h->err, BITNET_BAD, "%s: an id is too large", h->f->path);
    }
    const char *unk = json_text(json_get(h->model, "unk_token"));
    struct buffer bytes = {0};
    buffer_add(&bytes, "", 1);
    bool ok = true;
    for (const struct json *v = json_first(h->vocab); v != NULL && ok; v = json_next(v)) {
        ok = add_piece(h, v, unk, &bytes);
    }
    for (const struct json *v = json_first(h->added); v != NULL && ok; v = json_next(v)) {
        ok = add_added(h, v);
    }
    buffer_free(&bytes);
    ok = ok && vocab_seal(h->f, h->err);
    if (ok && unk != NULL) {
        h->f->vocab.unk = vocab_find_name(h->f, unk);
    }
    return ok;
}

/* A piece of a merge, as model.vocab spells it. */
static int32_t piece_id(struct hf *h, const char *text, size_t n_bytes,
                        struct buffer *bytes)
{
    bytes->n_bytes = 0;
    if (h->f->vocab.kind == TOKENIZER_SPM) {
        vocab_unspace(text, n_bytes, bytes);
    } else if (!vocab_unmap(text, n_bytes, bytes)) {
        buffer_add(bytes, text, n_bytes);
    }
    return vocab_find(h->f, (const char *)bytes->data, bytes->n_bytes);
}

/* A merge is "left right" or ["left", "right"]. */
static bool merge_ids(struct hf *h, const struct json *m, int32_t ids[2],
                      struct buffer *bytes)
{
    if (m->kind == JSON_ARRAY && m->n_items == 2) {
        const struct json *left = json_first(m), *right = json_next(left);
        if (left->kind == JSON_STRING && right->kind == JSON_STRING) {
            ids[0] = piece_id(h, left->text, left->text_bytes, bytes);
            ids[1] = piece_id(h, right->text, right->text_bytes, bytes);
            return true;
        }
    }
    const char *text = m->kind == JSON_STRING ? m->text : "";
    size_t n_bytes = m->text_bytes;
    const char *gap = n_bytes > 1 ? memchr(text + 1, ' ', n_bytes - 1) : NULL;
    if (gap == NULL) {
        return false;
    }
    ids[0] = piece_id(h, text, (size_t)(gap - text), bytes);
    ids[1] = piece_id(h, gap + 1, n_bytes - (size_t)(gap - text) - 1, bytes);
    return true;
}

/* SentencePiece ranks by the result: the earliest merge that makes a token is its
 * score. */
static bool score_merge(struct hf *h, const int32_t ids[2], size_t rank,
                        struct buffer *bytes)
{
    bytes->n_bytes = 0;
    for (int i = 0; i < 2; i++) {
        const struct vocab_token *t = &h->f->vocab.tokens[ids[i]];
        buffer_add(bytes, t->bytes, t->n_bytes);
    }
    int32_t id = vocab_find(h->f, (const char *)bytes->data, bytes->n_bytes);
    if (id < 0) {
        return fail(h->err, BITNET_BAD, "%s: merge %zu gives no token", h->f->path, rank);
    }
    if (h->f->vocab.tokens[id].score == 0) {
        h->f->vocab.tokens[id].score = -1 - (float)rank;
    }
    return true;
}

static bool read_merges(struct hf *h)
{
    const struct json *merges = json_array(h->model, "merges");
    if (merges == NULL) {
        return fail(h->err, BITNET_BAD, "%s: has no model.merges", h->f->path);
    }
    struct buffer bytes = {0};
    buffer_add(&bytes, "", 1);
    bool ok = true;
    size_t rank = 0;
    for (const struct json *m = json_first(merges); m != NULL && ok;
         m = json_next(m), rank++) {
        int32_t ids[2];
        if (!merge_ids(h, m, ids, &bytes) || ids[0] < 0 || ids[1] < 0) {
            ok = fail(h->err, BITNET_BAD, "%s: merge %zu is not of two tokens",
                      h->f->path, rank);
        } else if (h->f->vocab.kind == TOKENIZER_SPM) {
            ok = score_merge(h, ids, rank, &bytes);
        } else {
            ok = vocab_merge(h->f, ids[0], ids[1], h->err);
        }
    }
    buffer_free(&bytes);
    for (size_t i = 0; i < h->f->vocab.n_tokens; i++) {
        struct vocab_token *t = &h->f->vocab.tokens[i];
        /* What no merge makes ranks below all others. */
        t->score = t->score == 0 ? -FLT_MAX : t->score;
    }
    return ok;
}

/* The template of a single text: which special tokens stand before and after it. */
static void read_template(struct hf *h, const struct json *post)
{
    struct vocab *v = &h->f->vocab;
    const struct json *part = json_first(json_array(post, "processors"));
    for (; part != NULL; part = json_next(part)) {
        read_template(h, part);
    }
    bool before = true;
    for (part = json_first(json_array(post, "single")); part != NULL;
         part = json_next(part)) {
        const char *name = json_text(json_get(json_get(part, "SpecialToken"), "id"));
        int32_t id = name != NULL ? vocab_find_name(h->f, name) : -1;
        if (id < 0) {
            before = false;
        } else if (before) {
            v->bos = id;
            v->add_bos = true;
        } else {
            v->eos = id;
            v->add_eos = true;
        }
    }
}

bool vocab_hf(struct vocab_file *f, const char *path, struct bitnet_error *err)
{
    struct json_doc doc;
    if (!json_read(&doc, path, err)) {
        return false;
    }
    struct hf h = {.f = f, .root = doc.root, .err = err};
    h.model = json_object(h.root, "model");
    h.vocab = json_object(h.model, "vocab");
    h.added = json_array(h.root, "added_tokens");
    bool ok = h.vocab != NULL ||
              fail(err, BITNET_BAD, "%s: is JSON, but has no model.vocab", path);
    ok = ok && read_pipeline(&h) && read_tokens(&h) && read_merges(&h);
    if (ok) {
        f->vocab.add_bos =
            f->vocab.kind == TOKENIZER_SPM || f->vocab.pretok == PRETOK_LLAMA3;
        read_template(&h, json_get(h.root, "post_processor"));
        ok = vocab_hf_neighbours(f, path, err);
    }
    json_free(&doc);
    return ok;
}
