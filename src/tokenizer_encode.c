/* tokenizer_encode.c: bitnet_encode: special tokens are cut out first, what is between
 * them is normalized as the vocabulary wants it, cut into chunks, and each chunk
 * merged. Long texts repeat their chunks: a small cache remembers where in the output a
 * chunk's ids stand. */
#include <stdlib.h>
#include <string.h>

#include "src/tokenizer_merge.h"
#include "src/unicode.h"

enum { n_cached = 8192, cache_from_bytes = 2048, max_cached_ids = 16 };

struct cached {
    uint64_t hash;
    size_t at; /* in the output */
    uint32_t n_ids;
};

struct encoder {
    const struct bitnet_tokenizer *t;
    struct bitnet_ids *ids;
    struct merger merger;
    struct cached *cache; /* [n_cached] or NULL */
    struct buffer span;   /* a normalized copy */
    uint8_t bad;          /* a byte without a token; the text that it was in may be gone */
    bool failed;
};

static bool add(struct encoder *e, int32_t id)
{
    e->failed = e->failed || !ids_add(e->ids, id);
    return !e->failed;
}

/* The hash may collide, the bytes behind the ids may not. */
static bool stands_for(const struct encoder *e, const struct cached *c, const char *text,
                       size_t n_bytes)
{
    size_t at = 0;
    for (uint32_t i = 0; i < c->n_ids; i++) {
        size_t n;
        const char *bytes = bitnet_token_bytes(e->t, e->ids->ids[c->at + i], &n);
        if (n > n_bytes - at || memcmp(text + at, bytes, n) != 0) {
            return false;
        }
        at += n;
    }
    return at == n_bytes;
}

static bool encode_chunk(struct encoder *e, const char *text, size_t n_bytes)
{
    uint64_t hash = hash64(text, n_bytes);
    if ((e->t->flags & TOKENIZER_IGNORE_MERGES) != 0) {
        int32_t id = tokenizer_lookup(e->t, text, n_bytes, hash);
        if (id >= 0 &&
            (e->t->types[id] == TOKEN_NORMAL || e->t->types[id] == TOKEN_USER)) {
            return add(e, id);
        }
    }
    struct cached *c = e->cache != NULL ? &e->cache[hash % n_cached] : NULL;
    if (c != NULL && c->n_ids > 0 && c->hash == hash && stands_for(e, c, text, n_bytes)) {
        for (uint32_t i = 0; i < c->n_ids; i++) {
            if (!add(e, e->ids->ids[c->at + i])) {
                return false;
            }
        }
        return true;
    }
    size_t begin = e->ids->n_ids, bad;
    if (!merge_chunk(&e->merger, e->t, text, n_bytes, e->ids, &bad)) {
        e->bad = (uint8_t)text[bad];
        return false;
    }
    e->failed = e->failed || e->merger.failed;
    if (c != NULL && e->ids->n_ids - begin <= max_cached_ids) {
        *c = (struct cached){hash, begin, (uint32_t)(e->ids->n_ids - begin)};
    }
    return !e->failed;
}

static bool encode_bpe(struct encoder *e, const char *text, size_t n_bytes)
{
    if ((e->t->flags & TOKENIZER_NFC) != 0) {
        e->span.n_bytes = 0;
        unicode_nfc(text, n_bytes, &e->span);
        if (e->span.failed) {
            e->failed = true;
            return false;
        }
        text = (const char *)e->span.data;
        n_bytes = e->span.n_bytes;
    }
    struct pretok chunks;
    pretok_start(&chunks, e->t->pretok, text, n_bytes);
    for (size_t n, at = 0; (n = pretok_next(&chunks)) > 0; at += n) {
        if (!encode_chunk(e, text + at, n)) {
            return false;
        }
    }
    return true;
}

/* SentencePiece's glyph for a space is one in our text. */
static void add_spaced(struct buffer *out, const char *text, size_t n_bytes)
{
    static const char glyph[] = "\xe2\x96\x81"; /* U+2581 */
    while (n_bytes > 0) {
        const char *hit = text;
        while ((hit = memchr(hit, glyph[0], n_bytes - (size_t)(hit - text))) != NULL) {
            if (n_bytes - (size_t)(hit - text) >= 3 && memcmp(hit, glyph, 3) == 0) {
                break;
            }
            hit++;
        }
        size_t n = hit == NULL ? n_bytes : (size_t)(hit - text);
        buffer_add(out, text, n);
        if (hit != NULL) {
            buffer_add(out, " ", 1);
            n += 3;
        }
        text += n;
        n_bytes -= n;
    }
}

static bool encode_spm(struct encoder *e, const char *text, size_t n_bytes, bool is_first)
{
    unsigned flags = e->t->flags;
    e->span.n_bytes = 0;
    if ((flags & TOKENIZER_SPACE_PREFIX) != 0 &&
        (is_first || (flags & TOKENIZER_PREFIX_ONCE) == 0)) {
        buffer_add(&e->span, " ", 1);
    }
    add_spaced(&e->span, text, n_bytes);
    if (e->span.failed) {
        e->failed = true;
        return false;
    }
    const char *all = (const char *)e->span.data;
    for (size_t at = 0, end; at < e->span.n_bytes; at = end) {
        end = e->span.n_bytes;
        /* No token crosses from a word to the next space. */
        if ((flags & TOKENIZER_WORDS) != 0) {
            for (end = at + 1; end < e->span.n_bytes; end++) {
                if (all[end] == ' ' && all[end - 1] != ' ') {
                    break;
                }
            }
        }
        if (!encode_chunk(e, all + at, end - at)) {
            return false;
        }
    }
    return true;
}

/* The longest special token that starts at text, or -1. */
static int32_t special_at(const struct bitnet_tokenizer *t, const char *text,
                          size_t n_left, unsigned mask, size_t *n_bytes)
{
    for (uint32_t i = 0; i < t->n_lengths; i++) {
        size_t n = tokenizer_word(t->lengths, i);
        int32_t id = n <= n_left ? tokenizer_lookup(t, text, n, hash64(text, n)) : -1;
        if (id >= 0 && (t->types[id] == TOKEN_USER ||
                        ((mask & 2) != 0 && (t->types[id] == TOKEN_CONTROL ||
                                             t->types[id] == TOKEN_UNKNOWN)))) {
            *n_bytes = n;
            return id;
        }
    }
    return -1;
}

static bool encode_all(struct encoder *e, const char *text, size_t n_bytes, unsigned mask)
{
    const struct bitnet_tokenizer *t = e->t;
    for (size_t at = 0; at < n_bytes;) {
        size_t end = at, n_special = 0;
        int32_t special = -1;
        if (!t->has_specials[mask]) {
            end = n_bytes;
        }
        for (; end < n_bytes; end++) {
            if ((t->special_starts[(uint8_t)text[end]] & mask) != 0) {
                special = special_at(t, text + end, n_bytes - end, mask, &n_special);
                if (special >= 0) {
                    break;
                }
            }
        }
        if (end > at &&
            !(t->kind == TOKENIZER_BPE ? encode_bpe(e, text + at, end - at)
                                       : encode_spm(e, text + at, end - at, at == 0))) {
            return false;
        }
        if (special >= 0 && !add(e, special)) {
            return false;
        }
        at = end + n_special;
    }
    return true;
}

bool bitnet_encode(const bitnet_tokenizer *t, const char *text, size_t n_bytes,
                   unsigned flags, struct bitnet_ids *ids, struct bitnet_error *err)
{
    if (n_bytes > INT32_MAX) {
        return fail(err, BITNET_BAD,
                    "a text of %zu bytes, at most 2 GiB can be tokenized", n_bytes);
    }
    struct encoder e = {.t = t, .ids = ids};
    if (n_bytes >= cache_from_bytes) {
        e.cache = calloc(n_cached, sizeof *e.cache); /* without it, only slower */
    }
    size_t n_before = ids->n_ids;
    bool wants_bos = (flags & BITNET_BOS) != 0 && (t->flags & TOKENIZER_ADD_BOS) != 0 &&
                     t->bos >= 0 && n_before == 0;
    bool ok = !wants_bos || add(&e, t->bos);
    ok = ok && encode_all(&e, text, n_bytes, (flags & BITNET_SPECIAL) != 0 ? 3 : 1);
    bool brought_own = wants_bos && ids->n_ids > 1 && ids->ids[1] == t->bos;
    if (ok && brought_own) {
        ids->n_ids--;
        memmove(ids->ids, ids->ids + 1, ids->n_ids * sizeof *ids->ids);
    }
    if (ok && (flags & BITNET_EOS) != 0 && (t->flags & TOKENIZER_ADD_EOS) != 0 &&
        t->eos >= 0) {
        ok = add(&e, t->eos);
    }
    merger_free(&e.merger);
    free(e.cache);
    buffer_free(&e.span);
    if (ok) {
        return true;
    }
    ids->n_ids = n_before;
    if (e.failed) {
        return fail(err, BITNET_FAILED, "not enough memory to tokenize %zu bytes",
                    n_bytes);
    }
    return fail(err, BITNET_BAD,
                "the vocabulary has no token for byte 0x%02x and no unknown token",
                (unsigned)e.bad);
}
