/* tokenizer_pack.c: struct vocab -> the section that tokenizer.h describes. Whatever a
 * foreign file may get wrong about its vocabulary is refused here, so that the section
 * is sound. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/tokenizer_merge.h"

struct packer {
    const struct vocab *v;
    struct bitnet_tokenizer t; /* as far as it stands, over the arrays below */
    uint8_t *offsets, *tokens, *types, *text, *byte_ids, *merges, *pairs;
    int32_t stops[64];
    struct bitnet_error *err;
};

static bool bad(const struct packer *p, const char *what, size_t number)
{
    return fail(p->err, BITNET_BAD, "vocabulary: %s %zu", what, number);
}

static bool in_range(const struct vocab *v, int32_t id)
{
    return id >= -1 && (id < 0 || (size_t)id < v->n_tokens);
}

static bool check_vocab(struct packer *p)
{
    const struct vocab *v = p->v;
    if (v->n_tokens == 0 || v->n_tokens > MAX_TOKENS || v->n_merges > MAX_TOKENS) {
        return fail(p->err, BITNET_BAD,
                    "vocabulary: %zu tokens and %zu merges, wanted 1 to %d", v->n_tokens,
                    v->n_merges, (int)MAX_TOKENS);
    }
    if (v->kind == TOKENIZER_SPM ? v->n_merges > 0 || v->pretok != PRETOK_NONE
                                 : v->pretok == PRETOK_NONE) {
        return fail(p->err, BITNET_BAD,
                    "vocabulary: kind %d does not go with pre-tokenizer %d and "
                    "%zu merges",
                    (int)v->kind, (int)v->pretok, v->n_merges);
    }
    if (!in_range(v, v->bos) || !in_range(v, v->eos) || !in_range(v, v->unk) ||
        !in_range(v, v->pad) || v->n_stops > sizeof v->stops / sizeof *v->stops) {
        return fail(p->err, BITNET_BAD,
                    "vocabulary: bos %d, eos %d, unk %d or pad %d is not one of "
                    "its %zu tokens",
                    (int)v->bos, (int)v->eos, (int)v->unk, (int)v->pad, v->n_tokens);
    }
    uint64_t n_text_bytes = 0;
    for (size_t i = 0; i < v->n_tokens; i++) {
        const struct vocab_token *t = &v->tokens[i];
        n_text_bytes += t->n_bytes;
        if (t->type < TOKEN_NORMAL || t->type > TOKEN_BYTE) {
            return bad(p, "unknown type of token", i);
        }
        if (t->type == TOKEN_BYTE && t->n_bytes != 1) {
            return bad(p, "no single byte in byte token", i);
        }
        if (v->kind == TOKENIZER_SPM && !isfinite(t->score)) {
            return bad(p, "no finite score of token", i);
        }
    }
    p->t.n_text_bytes = (uint32_t)n_text_bytes;
    for (size_t i = 0; i < v->n_merges; i++) {
        if (v->merges[i][0] >= v->n_tokens || v->merges[i][1] >= v->n_tokens) {
            return bad(p, "an id that is no token in merge", i);
        }
    }
    return n_text_bytes <= INT32_MAX ||
           fail(p->err, BITNET_BAD, "vocabulary: 2 GiB of text or more");
}

/* Slots for n entries: at most two thirds are full, so a search ends soon. */
static uint32_t slots_for(size_t n)
{
    uint32_t n_slots = 4;
    while (n_slots < n + n / 2 + 1) {
        n_slots *= 2;
    }
    return n_slots;
}

static void insert(uint8_t *table, uint32_t n_slots, uint64_t hash, uint32_t entry)
{
    uint32_t i = (uint32_t)hash & (n_slots - 1);
    while (load_u32(table + 4 * (size_t)i) != 0) {
        i = (i + 1) & (n_slots - 1);
    }
    store_u32(table + 4 * (size_t)i, (uint32_t)(hash >> 56) << 24 | (entry + 1));
}

static bool allocate(struct packer *p)
{
    const struct vocab *v = p->v;
    struct bitnet_tokenizer *t = &p->t;
    t->kind = v->kind;
    t->n_tokens = (uint32_t)v->n_tokens;
    t->n_merges = (uint32_t)v->n_merges;
    t->n_token_slots = slots_for(v->n_tokens);
    t->n_merge_slots = v->kind == TOKENIZER_BPE ? slots_for(v->n_merges) : 0;
    t->offsets = p->offsets = calloc(v->n_tokens + 1, 4);
    t->tokens = p->tokens = calloc(t->n_token_slots, 4);
    t->types = p->types = calloc(v->n_tokens, 1);
    t->text = p->text = calloc((size_t)t->n_text_bytes + 1, 1);
    t->byte_ids = p->byte_ids = calloc(256, 4);
    t->merges = p->merges = calloc(v->n_merges + 1, 12);
    t->pairs = p->pairs = calloc((size_t)t->n_merge_slots + 1, 4);
    return (p->offsets != NULL && p->tokens != NULL && p->types != NULL &&
            p->text != NULL && p->byte_ids != NULL && p->merges != NULL &&
            p->pairs != NULL) ||
           fail(p->err, BITNET_FAILED, "not enough memory for the vocabulary");
}

static int32_t find(const struct packer *p, const char *text, size_t n_bytes)
{
    return tokenizer_lookup(&p->t, text, n_bytes, hash64(text, n_bytes));
}

/* Text, types and the table of spellings. Of equal spellings a normal token comes
 * first, then user tokens, then the rest, then the lowest id. */
static void place_tokens(struct packer *p)
{
    const struct vocab *v = p->v;
    uint32_t at = 0;
    for (size_t i = 0; i < v->n_tokens; i++) {
        memcpy(p->text + at, v->tokens[i].bytes, v->tokens[i].n_bytes);
        at += v->tokens[i].n_bytes;
        store_u32(p->offsets + 4 * (i + 1), at);
        p->types[i] = v->tokens[i].type;
    }
    for (int turn = 0; turn < 3; turn++) {
        for (size_t i = 0; i < v->n_tokens; i++) {
            const struct vocab_token *t = &v->tokens[i];
            int wanted = t->type == TOKEN_NORMAL ? 0 : t->type == TOKEN_USER ? 1 : 2;
            if (wanted == turn && t->type != TOKEN_BYTE && t->n_bytes > 0 &&
                find(p, t->bytes, t->n_bytes) < 0) {
                insert(p->tokens, p->t.n_token_slots, hash64(t->bytes, t->n_bytes),
                       (uint32_t)i);
            }
        }
    }
}

static void place_bytes(struct packer *p)
{
    const struct vocab *v = p->v;
    memset(p->byte_ids, 0xff, 4 * 256);
    for (size_t i = v->n_tokens; i-- > 0;) { /* downward, so that the lowest id stays */
        const struct vocab_token *t = &v->tokens[i];
        uint8_t wanted = v->kind == TOKENIZER_SPM ? TOKEN_BYTE : TOKEN_NORMAL;
        if (t->type == wanted && t->n_bytes == 1) {
            store_u32(p->byte_ids + 4 * (size_t)(uint8_t)t->bytes[0], (uint32_t)i);
        }
    }
}

static bool has_pair(const struct packer *p, uint32_t left, uint32_t right)
{
    uint32_t mask = p->t.n_merge_slots - 1;
    for (uint32_t i = (uint32_t)pair_hash(left, right) & mask;; i = (i + 1) & mask) {
        uint32_t slot = load_u32(p->pairs + 4 * (size_t)i);
        if (slot == 0) {
            return false;
        }
        const uint32_t *m = p->v->merges[(slot & 0xffffff) - 1];
        if (m[0] == left && m[1] == right) {
            return true;
        }
    }
}

static bool place_merges(struct packer *p)
{
    const struct vocab *v = p->v;
    struct buffer both = {0};
    bool ok = true;
    for (size_t i = 0; i < v->n_merges && ok; i++) {
        const struct vocab_token *a = &v->tokens[v->merges[i][0]];
        const struct vocab_token *b = &v->tokens[v->merges[i][1]];
        both.n_bytes = 0;
        buffer_add(&both, a->bytes, a->n_bytes);
        buffer_add(&both, b->bytes, b->n_bytes);
        int32_t id =
            both.n_bytes == 0 ? -1 : find(p, (const char *)both.data, both.n_bytes);
        if (id < 0) {
            ok = fail(p->err, BITNET_BAD,
                      "vocabulary: merge %zu, '%.*s' and '%.*s', gives no token", i,
                      (int)a->n_bytes, a->bytes, (int)b->n_bytes, b->bytes);
            break;
        }
        store_u32(p->merges + 12 * i, v->merges[i][0]);
        store_u32(p->merges + 12 * i + 4, v->merges[i][1]);
        store_u32(p->merges + 12 * i + 8, (uint32_t)id);
        uint32_t left = v->merges[i][0], right = v->merges[i][1];
        if (!has_pair(p, left, right)) { /* a repeated one keeps its first rank */
            insert(p->pairs, p->t.n_merge_slots, pair_hash(left, right), (uint32_t)i);
        }
    }
    buffer_free(&both);
    return ok;
}

static void add_stop(struct packer *p, int32_t id)
{
    size_t i = p->t.n_stops;
    if (id < 0 || i == sizeof p->stops / sizeof *p->stops ||
        bitnet_token_is_stop(&p->t, id)) {
        return;
    }
    for (; i > 0 && (int32_t)load_u32(&p->stops[i - 1]) > id; i--) {
        p->stops[i] = p->stops[i - 1];
    }
    store_u32(&p->stops[i], (uint32_t)id);
    p->t.n_stops++;
}

static bool place_stops(struct packer *p)
{
    static const char *const names[] = {
        "<|eot_id|>",    "<|im_end|>",      "<|end|>", "<end_of_turn>",
        "<|endoftext|>", "<|end_of_text|>", "<EOT>"};
    p->t.stops = (const uint8_t *)p->stops;
    add_stop(p, p->v->eos);
    for (size_t i = 0; i < p->v->n_stops; i++) {
        if (!in_range(p->v, p->v->stops[i])) {
            return bad(p, "no token has the id of stop token", (size_t)p->v->stops[i]);
        }
        add_stop(p, p->v->stops[i]);
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        add_stop(p, find(p, names[i], strlen(names[i])));
    }
    return true;
}

static unsigned flags_of(const struct vocab *v)
{
    bool is_words = v->kind == TOKENIZER_SPM;
    for (size_t i = 0; i < v->n_tokens && is_words; i++) {
        const struct vocab_token *t = &v->tokens[i];
        for (uint32_t c = 1; c < t->n_bytes; c++) {
            is_words = is_words && (t->bytes[c] != ' ' || t->bytes[c - 1] == ' ');
        }
    }
    return (v->add_bos ? TOKENIZER_ADD_BOS : 0) | (v->add_eos ? TOKENIZER_ADD_EOS : 0) |
           (v->ignore_merges ? TOKENIZER_IGNORE_MERGES : 0) |
           (v->kind == TOKENIZER_SPM && v->add_space_prefix ? TOKENIZER_SPACE_PREFIX
                                                            : 0) |
           (v->kind == TOKENIZER_SPM && v->prefix_once ? TOKENIZER_PREFIX_ONCE : 0) |
           (v->kind == TOKENIZER_BPE && v->nfc ? TOKENIZER_NFC : 0) |
           (is_words ? TOKENIZER_WORDS : 0);
}

/* The distinct lengths of special tokens, longest first; of too many, what tokenizer_open
 * will refuse. */
static void add_lengths(const struct packer *p, struct buffer *lengths)
{
    uint32_t below = UINT32_MAX, next = 0;
    do {
        next = 0;
        for (size_t i = 0; i < p->v->n_tokens; i++) {
            const struct vocab_token *t = &p->v->tokens[i];
            bool special = t->type == TOKEN_CONTROL || t->type == TOKEN_USER ||
                           t->type == TOKEN_UNKNOWN;
            if (special && t->n_bytes < below && t->n_bytes > next) {
                next = t->n_bytes;
            }
        }
        if (next > 0) {
            buffer_add_u32(lengths, next);
        }
        below = next;
    } while (next > 0 && lengths->n_bytes <= 4 * MAX_SPECIAL_LENGTHS);
}

static void write_header(const struct packer *p, size_t n_lengths, struct buffer *s)
{
    const struct vocab *v = p->v;
    const struct bitnet_tokenizer *t = &p->t;
    const uint32_t form[] = {1, v->kind, v->pretok, flags_of(v)};
    const uint32_t counts[] = {t->n_tokens,      t->n_merges, t->n_token_slots,
                               t->n_merge_slots, t->n_stops,  (uint32_t)n_lengths,
                               t->n_text_bytes};
    const int32_t ids[] = {v->bos, v->eos, v->unk, v->pad};
    buffer_add(s, "BTOK", 4);
    for (size_t i = 0; i < sizeof form / sizeof *form; i++) {
        buffer_add_u32(s, form[i]);
    }
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        buffer_add_u32(s, counts[i]);
    }
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        buffer_add_u32(s, (uint32_t)ids[i]);
    }
    static const uint8_t no_probes[32];
    buffer_add(s, no_probes, sizeof no_probes);
}

static void write_arrays(const struct packer *p, struct buffer *s)
{
    const struct bitnet_tokenizer *t = &p->t;
    struct buffer lengths = {0};
    add_lengths(p, &lengths);
    write_header(p, lengths.n_bytes / 4, s);
    buffer_add(s, p->offsets, 4 * ((size_t)t->n_tokens + 1));
    for (size_t i = 0; i < t->n_tokens && t->kind == TOKENIZER_SPM; i++) {
        uint8_t score[4];
        /* no -0, which would rank below +0 */
        store_f32(score, p->v->tokens[i].score + 0.0f);
        buffer_add(s, score, 4);
    }
    buffer_add(s, p->stops, 4 * (size_t)t->n_stops);
    buffer_add(s, lengths.data, lengths.n_bytes);
    buffer_add(s, p->byte_ids, 4 * 256);
    buffer_add(s, p->merges, 12 * (size_t)t->n_merges);
    buffer_add(s, p->tokens, 4 * (size_t)t->n_token_slots);
    buffer_add(s, p->pairs, 4 * (size_t)t->n_merge_slots);
    buffer_add(s, p->types, t->n_tokens);
    buffer_pad(s, 4);
    buffer_add(s, p->text, t->n_text_bytes);
    buffer_pad(s, 4);
    s->failed = s->failed || lengths.failed;
    buffer_free(&lengths);
}

/* Encodes a few texts with the section as it stands and stores what came out. A vocabulary
 * that has the bytes of a text and loses them is refused: no section of it would open. */
static bool add_probes(struct buffer *s, struct bitnet_error *err)
{
    static const char *const probes[] = {
        "Once upon a time, there was a little dog.",
        "I'll SAY it's 12345 + 67.89 = ok!!\n\n  x",
        "int main(void)\n{\n\treturn 0;\n}\n",
        ("na\xc3\xafve caf\xc3\xa9 \xe4\xbd\xa0\xe5\xa5\xbd "
         "\xd0\xbf\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82 \xf0\x9f\x98\x80"),
        "a    b \t c"};
    struct bitnet_tokenizer *t;
    if (!tokenizer_open(&t, s->data, s->n_bytes, "vocabulary", err)) {
        return false;
    }
    struct buffer words = {0};
    struct bitnet_ids ids = {0};
    uint32_t n_probes = 0;
    bool ok = true;
    for (size_t i = 0; i < sizeof probes / sizeof *probes && ok; i++) {
        struct bitnet_error none = {0};
        size_t n_bytes = strlen(probes[i]);
        ids.n_ids = 0;
        if (!bitnet_encode(t, probes[i], n_bytes, 0, &ids, &none)) {
            continue; /* the vocabulary lacks a byte of it */
        }
        n_probes++;
        ok = tokenizer_gives_back(t, probes[i], n_bytes, ids.ids, ids.n_ids) ||
             fail(err, BITNET_BAD,
                  "vocabulary: '%s' does not come back from its own tokens", probes[i]);
        buffer_add_u32(&words, (uint32_t)n_bytes);
        buffer_add_u32(&words, (uint32_t)ids.n_ids);
        buffer_add(&words, probes[i], n_bytes);
        buffer_pad(&words, 4);
        for (size_t k = 0; k < ids.n_ids; k++) {
            buffer_add_u32(&words, (uint32_t)ids.ids[k]);
        }
    }
    tokenizer_close(t);
    bitnet_ids_free(&ids);
    store_u32(s->data + 64, n_probes);
    store_u32(s->data + 68, (uint32_t)(words.n_bytes / 4));
    buffer_add(s, words.data, words.n_bytes);
    s->failed = s->failed || words.failed;
    buffer_free(&words);
    return ok;
}

bool tokenizer_pack(const struct vocab *v, struct buffer *section,
                    struct bitnet_error *err)
{
    struct packer p = {.v = v, .err = err};
    struct buffer s = {0};
    bool ok = check_vocab(&p) && allocate(&p);
    if (ok) {
        place_tokens(&p);
        place_bytes(&p);
        ok = place_merges(&p) && place_stops(&p);
    }
    if (ok) {
        write_arrays(&p, &s);
        ok = !s.failed && add_probes(&s, err);
        buffer_add(section, s.data, s.n_bytes);
        ok = (ok && !s.failed && !section->failed) ||
             fail(err, BITNET_FAILED, "not enough memory for the vocabulary");
    }
    uint8_t *const owned[] = {p.offsets,  p.tokens, p.types, p.text,
                              p.byte_ids, p.merges, p.pairs};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) {
        free(owned[i]);
    }
    buffer_free(&s);
    return ok;
}
