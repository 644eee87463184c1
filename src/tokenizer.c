/* tokenizer.c: opens a tokenizer section and answers what a token is. The bytes are
 * checked once, here: whatever encoding follows later, an id, a slot or an offset, is
 * in bounds. */
#include "src/tokenizer.h"

#include <stdlib.h>
#include <string.h>

enum { header_bytes = 96 };

/* The next array of the section, of n_words words. */
static bool take(const uint8_t **array, uint64_t n_words, const uint8_t **at,
                 const uint8_t *end, const char *path, struct bitnet_error *err)
{
    uint64_t n_left = (uint64_t)(end - *at) / 4;
    if (n_words > n_left) {
        return fail(err, BITNET_BAD,
                    "%s: tokenizer: an array has %llu words, %llu are left", path,
                    (unsigned long long)n_words, (unsigned long long)n_left);
    }
    *array = *at;
    *at += 4 * n_words;
    return true;
}

static bool take_arrays(struct bitnet_tokenizer *t, const uint8_t *section,
                        size_t n_bytes, const char *path, struct bitnet_error *err)
{
    const uint8_t *at = section + header_bytes, *end = section + n_bytes;
    bool is_spm = t->kind == TOKENIZER_SPM;
    bool ok = take(&t->offsets, (uint64_t)t->n_tokens + 1, &at, end, path, err) &&
              take(&t->scores, is_spm ? t->n_tokens : 0, &at, end, path, err) &&
              take(&t->stops, t->n_stops, &at, end, path, err) &&
              take(&t->lengths, t->n_lengths, &at, end, path, err) &&
              take(&t->byte_ids, 256, &at, end, path, err) &&
              take(&t->merges, 3 * (uint64_t)t->n_merges, &at, end, path, err) &&
              take(&t->tokens, t->n_token_slots, &at, end, path, err) &&
              take(&t->pairs, t->n_merge_slots, &at, end, path, err) &&
              take(&t->types, ((uint64_t)t->n_tokens + 3) / 4, &at, end, path, err) &&
              take(&t->text, ((uint64_t)t->n_text_bytes + 3) / 4, &at, end, path, err) &&
              take(&t->probes, t->n_probe_words, &at, end, path, err);
    return ok && (at == end || fail(err, BITNET_BAD, "%s: tokenizer: %zu bytes too many",
                                    path, (size_t)(end - at)));
}

static bool is_table(uint32_t n_slots, uint32_t n_entries)
{
    return n_slots > n_entries && (n_slots & (n_slots - 1)) == 0;
}

static bool read_header(struct bitnet_tokenizer *t, const uint8_t *s, size_t n_bytes,
                        const char *path, struct bitnet_error *err)
{
    if (n_bytes < header_bytes || memcmp(s, "BTOK", 4) != 0) {
        return fail(err, BITNET_BAD, "%s: tokenizer: no section of ours (%zu bytes)",
                    path, n_bytes);
    }
    if (load_u32(s + 4) != 1) {
        return fail(err, BITNET_BAD,
                    "%s: tokenizer: version %u, this program reads version 1", path,
                    (unsigned)load_u32(s + 4));
    }
    uint32_t kind = load_u32(s + 8), pretok = load_u32(s + 12);
    t->kind = kind == TOKENIZER_SPM ? TOKENIZER_SPM : TOKENIZER_BPE;
    t->pretok = pretok <= PRETOK_DEFAULT ? (enum pretokenizer)pretok : PRETOK_NONE;
    t->flags = load_u32(s + 16);
    uint32_t *counts[] = {&t->n_tokens,      &t->n_merges, &t->n_token_slots,
                          &t->n_merge_slots, &t->n_stops,  &t->n_lengths,
                          &t->n_text_bytes};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        *counts[i] = load_u32(s + 20 + 4 * i);
    }
    int32_t *ids[] = {&t->bos, &t->eos, &t->unk, &t->pad};
    for (size_t i = 0; i < 4; i++) {
        *ids[i] = (int32_t)load_u32(s + 48 + 4 * i);
        if (*ids[i] < -1 || (*ids[i] >= 0 && (uint32_t)*ids[i] >= t->n_tokens)) {
            return fail(err, BITNET_BAD,
                        "%s: tokenizer: id %d of %s, there are %u tokens", path,
                        (int)*ids[i], ((const char *[]){"bos", "eos", "unk", "pad"})[i],
                        (unsigned)t->n_tokens);
        }
    }
    if (t->n_lengths > MAX_SPECIAL_LENGTHS) {
        return fail(err, BITNET_BAD,
                    "%s: tokenizer: special tokens of %u lengths, at most %d", path,
                    (unsigned)t->n_lengths, MAX_SPECIAL_LENGTHS);
    }
    t->n_probes = load_u32(s + 64);
    t->n_probe_words = load_u32(s + 68);
    static const uint8_t zeros[24];
    bool is_bpe = t->kind == TOKENIZER_BPE;
    if (kind != t->kind || pretok != t->pretok || is_bpe != (pretok != PRETOK_NONE) ||
        t->flags >= 128 || t->n_tokens == 0 || t->n_tokens > MAX_TOKENS ||
        t->n_merges > MAX_TOKENS || !is_table(t->n_token_slots, 0) ||
        (is_bpe ? !is_table(t->n_merge_slots, t->n_merges)
                : (t->n_merge_slots | t->n_merges) != 0) ||
        memcmp(s + 72, zeros, sizeof zeros) != 0) {
        return fail(err, BITNET_BAD,
                    "%s: tokenizer: a field of its header makes no sense", path);
    }
    return true;
}

/* Both loops have no branches: they run over a million words when a model is opened. */
static bool check_table(const uint8_t *table, uint32_t n_slots, uint32_t n_entries)
{
    uint32_t n_full = 0, n_broken = 0, most = 0, run = 0, longest = 0;
    for (uint32_t i = 0; i < n_slots; i++) {
        uint32_t slot = tokenizer_word(table, i), entry = slot & 0xffffff;
        n_full += slot != 0;
        run = slot != 0 ? run + 1 : 0;
        longest = run > longest ? run : longest;
        n_broken += (slot != 0) & (entry == 0);
        most = entry > most ? entry : most;
    }
    return n_broken == 0 && most <= n_entries && longest <= MAX_FULL_RUN &&
           (n_slots == 0 || n_full < n_slots);
}

/* or_none: -1 is allowed beside ids. */
static bool check_ids(const uint8_t *ids, size_t n_ids, uint32_t n_tokens, bool or_none)
{
    uint32_t most = 0, shift = or_none ? 1 : 0; /* moves -1 to 0 and every id up by one */
    for (size_t i = 0; i < n_ids; i++) {
        uint32_t id = tokenizer_word(ids, i) + shift;
        most = id > most ? id : most;
    }
    return n_ids == 0 || most < n_tokens + shift;
}

/* What matches before pre-tokenizing: 1 user tokens, 2 those that need BITNET_SPECIAL,
 * else 0. */
static unsigned special_mask(uint8_t type)
{
    return type == TOKEN_USER                               ? 1
           : type == TOKEN_CONTROL || type == TOKEN_UNKNOWN ? 2
                                                            : 0;
}

static bool check_tokens(struct bitnet_tokenizer *t)
{
    uint32_t begin = tokenizer_word(t->offsets, 0);
    bool ok = begin == 0 && tokenizer_word(t->offsets, t->n_tokens) == t->n_text_bytes;
    for (uint32_t i = 0; i < t->n_tokens && ok; i++) {
        uint32_t end = tokenizer_word(t->offsets, (size_t)i + 1);
        uint8_t type = t->types[i];
        ok = begin <= end && end <= t->n_text_bytes && type >= TOKEN_NORMAL &&
             type <= TOKEN_BYTE && (type != TOKEN_BYTE || end - begin == 1);
        if (ok && end > begin && special_mask(type) != 0) {
            t->special_starts[t->text[begin]] |= special_mask(type);
        }
        begin = end;
    }
    for (int i = 0; i < 256; i++) {
        for (unsigned mask = 1; mask < 4; mask++) {
            t->has_specials[mask] =
                t->has_specials[mask] || (t->special_starts[i] & mask) != 0;
        }
    }
    return ok;
}

static bool check_content(struct bitnet_tokenizer *t, const char *path,
                          struct bitnet_error *err)
{
    bool lengths_ok = true;
    for (uint32_t i = 0, last = UINT32_MAX; i < t->n_lengths; i++) {
        uint32_t length = tokenizer_word(t->lengths, i);
        lengths_ok = lengths_ok && length > 0 && length < last;
        last = length;
    }
    uint32_t n = t->n_tokens;
    const struct {
        bool sound;
        const char *name;
    } parts[] = {
        {check_tokens(t), "tokens"},
        {check_ids(t->stops, t->n_stops, n, false), "stops"},
        {lengths_ok, "lengths"},
        {check_ids(t->byte_ids, 256, n, true), "byte ids"},
        {check_ids(t->merges, 3 * (size_t)t->n_merges, n, false), "merges"},
        {check_table(t->tokens, t->n_token_slots, n), "table of tokens"},
        {check_table(t->pairs, t->n_merge_slots, t->n_merges), "table of merges"},
    };
    const char *what = NULL;
    for (size_t i = 0; i < sizeof parts / sizeof *parts && what == NULL; i++) {
        what = parts[i].sound ? NULL : parts[i].name;
    }
    return what == NULL ||
           fail(err, BITNET_BAD, "%s: tokenizer: damaged: its %s", path, what);
}

bool tokenizer_gives_back(const struct bitnet_tokenizer *t, const char *text,
                          size_t n_bytes, const int32_t *ids, size_t n_ids)
{
    for (size_t i = 0; i < n_ids; i++) {
        if (ids[i] == t->unk) {
            return true;
        }
    }
    struct buffer back = {0};
    tokenizer_decode(t, ids, n_ids, &back);
    bool same = back.n_bytes == n_bytes &&
                (n_bytes == 0 || memcmp(back.data, text, n_bytes) == 0);
    buffer_free(&back);
    return same;
}

/* One stored encoding: the same ids must come out again, and the same text from them. */
static bool check_probe(const struct bitnet_tokenizer *t, const char *text,
                        uint32_t n_bytes, const uint8_t *want, uint32_t n_want,
                        const char *path, struct bitnet_error *err)
{
    struct bitnet_ids ids = {0};
    bool ok = bitnet_encode(t, text, n_bytes, 0, &ids, err);
    bool same = ids.n_ids == n_want;
    for (uint32_t i = 0; i < n_want && same; i++) {
        same = (uint32_t)ids.ids[i] == tokenizer_word(want, i);
    }
    same = same && tokenizer_gives_back(t, text, n_bytes, ids.ids, ids.n_ids);
    ok = ok && (same || fail(err, BITNET_BAD,
                             "%s: tokenizer: '%.*s' does not give the ids that are "
                             "stored for it; convert the model again",
                             path, (int)n_bytes, text));
    bitnet_ids_free(&ids);
    return ok;
}

static bool check_probes(const struct bitnet_tokenizer *t, const char *path,
                         struct bitnet_error *err)
{
    uint64_t at = 0, n_words = t->n_probe_words;
    for (uint32_t i = 0; i < t->n_probes; i++) {
        if (n_words - at < 2) {
            return fail(err, BITNET_BAD, "%s: tokenizer: stored encoding %u is cut short",
                        path, (unsigned)i);
        }
        uint32_t n_bytes = tokenizer_word(t->probes, at),
                 n_ids = tokenizer_word(t->probes, at + 1);
        uint64_t text_words = ((uint64_t)n_bytes + 3) / 4;
        at += 2;
        if (text_words > n_words - at || n_ids > n_words - at - text_words) {
            return fail(err, BITNET_BAD, "%s: tokenizer: stored encoding %u is cut short",
                        path, (unsigned)i);
        }
        const uint8_t *text = t->probes + 4 * at;
        if (!check_probe(t, (const char *)text, n_bytes, text + 4 * text_words, n_ids,
                         path, err)) {
            return false;
        }
        at += text_words + n_ids;
    }
    return at == n_words || fail(err, BITNET_BAD,
                                 "%s: tokenizer: %llu words behind its stored "
                                 "encodings",
                                 path, (unsigned long long)(n_words - at));
}

bool tokenizer_open(struct bitnet_tokenizer **out, const uint8_t *section, size_t n_bytes,
                    const char *path, struct bitnet_error *err)
{
    *out = NULL;
    struct bitnet_tokenizer *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return fail(err, BITNET_FAILED, "%s: not enough memory for the tokenizer", path);
    }
    bool ok = read_header(t, section, n_bytes, path, err) &&
              take_arrays(t, section, n_bytes, path, err) &&
              check_content(t, path, err) && check_probes(t, path, err);
    if (!ok) {
        free(t);
        return false;
    }
    *out = t;
    return true;
}

void tokenizer_close(struct bitnet_tokenizer *t)
{
    free(t);
}

int32_t tokenizer_lookup(const struct bitnet_tokenizer *t, const char *text,
                         size_t n_bytes, uint64_t hash)
{
    uint32_t mask = t->n_token_slots - 1, tag = (uint32_t)(hash >> 56);
    for (uint32_t i = (uint32_t)hash & mask;; i = (i + 1) & mask) {
        uint32_t slot = tokenizer_word(t->tokens, i);
        if (slot == 0) {
            return -1;
        }
        if (slot >> 24 == tag) {
            uint32_t id = (slot & 0xffffff) - 1;
            uint32_t begin = tokenizer_word(t->offsets, id);
            uint32_t end = tokenizer_word(t->offsets, (size_t)id + 1);
            if (end - begin == n_bytes && memcmp(t->text + begin, text, n_bytes) == 0) {
                return (int32_t)id;
            }
        }
    }
}

void tokenizer_decode(const struct bitnet_tokenizer *t, const int32_t *ids, size_t n_ids,
                      struct buffer *out)
{
    bool at_start = (t->flags & TOKENIZER_SPACE_PREFIX) != 0;
    for (size_t i = 0; i < n_ids; i++) {
        size_t n_bytes;
        const char *bytes = bitnet_token_bytes(t, ids[i], &n_bytes);
        size_t skip =
            at_start && n_bytes > 0 && bytes[0] == ' ' && t->types[ids[i]] != TOKEN_USER;
        at_start = at_start && n_bytes == 0;
        buffer_add(out, bytes + skip, n_bytes - skip);
    }
}

static bool is_id(const bitnet_tokenizer *t, int32_t id)
{
    return id >= 0 && (uint32_t)id < t->n_tokens;
}

static const char *token_text(const bitnet_tokenizer *t, int32_t id, size_t *n_bytes)
{
    uint32_t begin = tokenizer_word(t->offsets, (size_t)id);
    *n_bytes = tokenizer_word(t->offsets, (size_t)id + 1) - begin;
    return (const char *)t->text + begin;
}

const char *bitnet_token_bytes(const bitnet_tokenizer *t, int32_t id, size_t *n_bytes)
{
    *n_bytes = 0;
    return bitnet_token_is_text(t, id) ? token_text(t, id, n_bytes) : "";
}

const char *bitnet_token_name(const bitnet_tokenizer *t, int32_t id, size_t *n_bytes)
{
    *n_bytes = 0;
    return is_id(t, id) ? token_text(t, id, n_bytes) : "";
}

int32_t bitnet_token_find(const bitnet_tokenizer *t, const char *name, size_t n_bytes)
{
    return tokenizer_lookup(t, name, n_bytes, hash64(name, n_bytes));
}

bool bitnet_token_is_stop(const bitnet_tokenizer *t, int32_t id)
{
    for (uint32_t i = 0; i < t->n_stops; i++) {
        if (tokenizer_word(t->stops, i) == (uint32_t)id) {
            return true;
        }
    }
    return false;
}

bool bitnet_token_is_text(const bitnet_tokenizer *t, int32_t id)
{
    if (!is_id(t, id)) {
        return false;
    }
    uint8_t type = t->types[id];
    size_t n_bytes;
    token_text(t, id, &n_bytes);
    return n_bytes > 0 &&
           (type == TOKEN_NORMAL || type == TOKEN_USER || type == TOKEN_BYTE);
}

int32_t bitnet_bos(const bitnet_tokenizer *t)
{
    return t->bos;
}

int32_t bitnet_eos(const bitnet_tokenizer *t)
{
    return t->eos;
}

size_t bitnet_n_tokens(const bitnet_tokenizer *t)
{
    return t->n_tokens;
}

void bitnet_ids_free(struct bitnet_ids *ids)
{
    free(ids->ids);
    *ids = (struct bitnet_ids){0};
}
