/* test_tokenizer.c: our own small vocabularies in every form that carries one, against
 * the ids of the naive implementation in tests/make_data.py; round trips; damaged
 * sections.
 *
 *     test_tokenizer [N [FILE...]]     N random strings for each, and for more
 * vocabularies */
#include <stdlib.h>
#include <string.h>

#include "src/json.h"
#include "src/utf8.h"
#include "tests/check.h"
#include "tests/random.h"
#include "tools/infile.h"
#include "tools/vocab.h"

#define DATA "tests/data/"

/* The BPE vocabulary with another pre-tokenizer, as a section; kind as in cases.jsonl. */
static bool pack_as(const char *kind, struct buffer *section, struct bitnet_error *err)
{
    static const char *const families[] = {"none",   "gpt2",   "llama3", "qwen2",
                                           "qwen35", "falcon", "default"};
    struct vocab_file f;
    if (!vocab_open(&f, DATA "bpe", err)) {
        return false;
    }
    for (int i = 0; i < 7; i++) {
        if (strcmp(kind, families[i]) == 0) {
            f.vocab.pretok = (enum pretokenizer)i;
            f.vocab.ignore_merges = false;
            f.vocab.nfc = kind[0] == 'q';
        }
    }
    bool ok = tokenizer_pack(&f.vocab, section, err);
    vocab_close(&f);
    return ok;
}

static void one_case(const struct bitnet_tokenizer *t, const char *label,
                     const struct json *record, unsigned flags)
{
    const struct json *text = json_get(record, "text"),
                      *want = json_first(json_array(record, "ids"));
    struct bitnet_ids ids = {0};
    struct bitnet_error err = {0};
    bool same = bitnet_encode(t, text->text, text->text_bytes, flags, &ids, &err);
    for (size_t i = 0; i < ids.n_ids && same; i++, want = json_next(want)) {
        int64_t id;
        same = json_i64(want, &id) && id == ids.ids[i];
    }
    CHECK(same && want == NULL, "%s: '%s' %s", label, text->text, err.msg);
    bitnet_ids_free(&ids);
}

/* All lines of cases.jsonl of one kind. */
static void check_kind(const struct bitnet_tokenizer *t, const char *kind,
                       const char *label)
{
    FILE *in = fopen(DATA "cases.jsonl", "r");
    char line[4096];
    size_t n_cases = 0;
    while (in != NULL && fgets(line, sizeof line, in) != NULL) {
        struct json_doc doc;
        struct bitnet_error err = {0};
        CHECK(json_parse(&doc, line, strlen(line), "cases.jsonl", &err), "%s", err.msg);
        if (json_is(json_get(doc.root, "kind"), kind)) {
            one_case(t, label, doc.root,
                     strcmp(kind, "special") == 0 ? BITNET_SPECIAL : 0);
            n_cases++;
        }
        json_free(&doc);
    }
    CHECK(n_cases >= 40, "%s: %zu cases", kind, n_cases);
    if (in != NULL) {
        fclose(in);
    }
}

static void check_families(void)
{
    static const char *const kinds[] = {"gpt2",   "llama3", "qwen2",
                                        "qwen35", "falcon", "default"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct buffer section = {0}, again = {0};
        struct bitnet_error err = {0};
        struct bitnet_tokenizer *t;
        CHECK(pack_as(kinds[i], &section, &err) && pack_as(kinds[i], &again, &err), "%s",
              err.msg);
        CHECK(section.n_bytes == again.n_bytes &&
                  memcmp(section.data, again.data, section.n_bytes) == 0,
              "other bytes");
        CHECK(tokenizer_open(&t, section.data, section.n_bytes, kinds[i], &err), "%s",
              err.msg);
        check_kind(t, kinds[i], kinds[i]);
        tokenizer_close(t);
        buffer_free(&section);
        buffer_free(&again);
    }
}

static void check_forms(void)
{
    static const struct {
        const char *path, *kind;
    } forms[] = {
        {DATA "bpe", "whole"},         {DATA "bpe/tokenizer.json", "special"},
        {DATA "bpe.gguf", "whole"},    {DATA "bpe.gguf", "special"},
        {DATA "tiktoken", "tiktoken"}, {DATA "tiktoken/tokenizer.model", "tiktoken"},
        {DATA "spm", "spm"},           {DATA "spm.model", "spm"},
        {DATA "spm.gguf", "spm"},      {DATA "scrambled.json", "scrambled"}};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct tokenizer_file f;
        struct bitnet_error err = {0};
        bool ok = tokenizer_file_open(&f, forms[i].path, &err);
        CHECK(ok, "%s", err.msg);
        if (ok) {
            check_kind(f.tokenizer, forms[i].kind, forms[i].path);
            tokenizer_file_close(&f);
        }
    }
    /* Two files of one vocabulary are one section. */
    static const char *const pairs[][2] = {{DATA "bpe", DATA "bpe.gguf"},
                                           {DATA "spm.model", DATA "spm.gguf"}};
    for (size_t i = 0; i < 2; i++) {
        struct tokenizer_file a, b;
        struct bitnet_error err = {0};
        if (tokenizer_file_open(&a, pairs[i][0], &err) &&
            tokenizer_file_open(&b, pairs[i][1], &err)) {
            CHECK(a.section_bytes == b.section_bytes &&
                      memcmp(a.section, b.section, a.section_bytes) == 0,
                  "%s", pairs[i][0]);
            tokenizer_file_close(&b);
        }
        tokenizer_file_close(&a);
    }
}

static size_t encode(const struct bitnet_tokenizer *t, const char *text, unsigned flags,
                     int32_t *out)
{
    struct bitnet_ids ids = {0};
    struct bitnet_error err = {0};
    CHECK(bitnet_encode(t, text, strlen(text), flags, &ids, &err) && ids.n_ids < 16, "%s",
          err.msg);
    memcpy(out, ids.ids, ids.n_ids * sizeof *out);
    size_t n = ids.n_ids;
    bitnet_ids_free(&ids);
    return n;
}

static void check_tokens(void)
{
    struct tokenizer_file f;
    struct bitnet_error err = {0};
    int32_t ids[16];
    size_t n;
    CHECK(tokenizer_file_open(&f, DATA "bpe", &err), "%s", err.msg);
    const bitnet_tokenizer *t = f.tokenizer;
    int32_t bos = bitnet_bos(t), eos = bitnet_eos(t),
            eot = bitnet_token_find(t, "<|eot_id|>", 10);
    int32_t think = bitnet_token_find(t, "<think>", 7);
    CHECK(bos == 437 && eos == 438 && eot == 439 && think == 440, "%d %d %d", bos, eos,
          eot);
    CHECK(bitnet_n_tokens(t) == 441 && bitnet_token_find(t, "no such", 7) == -1, "size");
    CHECK(bitnet_token_is_stop(t, eos) && bitnet_token_is_stop(t, eot), "stops");
    CHECK(!bitnet_token_is_stop(t, bos) && !bitnet_token_is_stop(t, -1), "no stops");
    CHECK(!bitnet_token_is_text(t, bos) && bitnet_token_is_text(t, think), "text");
    CHECK(!bitnet_token_is_text(t, -1) && !bitnet_token_is_text(t, 441), "out of range");
    CHECK(memcmp(bitnet_token_name(t, eot, &n), "<|eot_id|>", 10) == 0 && n == 10,
          "name");
    bitnet_token_bytes(t, eot, &n);
    CHECK(n == 0, "control tokens have no bytes");
    CHECK(memcmp(bitnet_token_bytes(t, think, &n), "<think>", 7) == 0 && n == 7,
          "user token");
    bitnet_token_bytes(t, 441, &n);
    CHECK(n == 0 && bitnet_token_name(t, -5, &n)[0] == 0 && n == 0, "out of range");
    CHECK(encode(t, "", BITNET_BOS, ids) == 1 && ids[0] == bos, "BOS of nothing");
    CHECK(encode(t, "a", BITNET_BOS, ids) == 2 && ids[0] == bos && ids[1] == 'a', "BOS");
    CHECK(encode(t, "<|begin_of_text|>a", BITNET_BOS | BITNET_SPECIAL, ids) == 2 &&
              ids[1] == 'a',
          "one BOS, not two");
    CHECK(encode(t, "<|eot_id|>", 0, ids) > 1, "a user's text makes no control token");
    CHECK(encode(t, "<think>", 0, ids) == 1 && ids[0] == think, "user token");
    struct bitnet_ids grown = {0};
    CHECK(bitnet_encode(t, "a", 1, BITNET_BOS, &grown, &err) &&
              bitnet_encode(t, "b", 1, BITNET_BOS, &grown, &err) && grown.n_ids == 3,
          "appends");
    bitnet_ids_free(&grown);
    tokenizer_file_close(&f);
}

/* A vocabulary that lacks a byte says so; with an unknown token it does not. */
static void check_unknown(void)
{
    struct vocab_file v;
    struct bitnet_error err = {0};
    int32_t ids[16];
    CHECK(vocab_open(&v, DATA "bpe.gguf", &err), "%s", err.msg);
    int32_t bos = v.vocab.bos, eos = v.vocab.eos;
    CHECK(v.chat_template != NULL &&
              strcmp(v.chat_template, "{{ 'User: ' + text }}") == 0,
          "template");
    struct buffer section = {0};
    struct bitnet_tokenizer *small;
    v.vocab.tokens['q'].type = TOKEN_UNUSED;
    v.vocab.add_eos = true;
    CHECK(tokenizer_pack(&v.vocab, &section, &err), "%s", err.msg);
    CHECK(tokenizer_open(&small, section.data, section.n_bytes, "small", &err), "%s",
          err.msg);
    CHECK(encode(small, "a", BITNET_BOS | BITNET_EOS, ids) == 3 && ids[2] == eos, "EOS");
    struct bitnet_ids none = {0};
    CHECK(!bitnet_encode(small, "aqa", 3, 0, &none, &err) && none.n_ids == 0,
          "no token for q");
    CHECK(strstr(err.msg, "no token for byte 0x71") != NULL, "%s", err.msg);
    tokenizer_close(small);
    section.n_bytes = 0;
    v.vocab.nfc = true; /* the text that fails is a copy */
    err = (struct bitnet_error){0};
    CHECK(tokenizer_pack(&v.vocab, &section, &err), "%s", err.msg);
    CHECK(tokenizer_open(&small, section.data, section.n_bytes, "small", &err), "%s",
          err.msg);
    CHECK(!bitnet_encode(small, "qaa", 3, 0, &none, &err) && none.n_ids == 0,
          "no token for q");
    CHECK(strstr(err.msg, "no token for byte 0x71") != NULL, "%s", err.msg);
    bitnet_ids_free(&none);
    tokenizer_close(small);
    section.n_bytes = 0;
    v.vocab.unk = bos;
    err = (struct bitnet_error){0};
    CHECK(tokenizer_pack(&v.vocab, &section, &err), "%s", err.msg);
    CHECK(tokenizer_open(&small, section.data, section.n_bytes, "small", &err), "%s",
          err.msg);
    CHECK(encode(small, "aqa", 0, ids) == 3 && ids[1] == bos, "unknown");
    tokenizer_close(small);
    buffer_free(&section);
    vocab_close(&v);
}

/* A vocabulary that loses bytes of a text is refused before anyone stores it: merges that
 * give tokens without text, and a space put before what follows each user token. */
static void check_lossy(void)
{
    static const char *const paths[] = {DATA "bpe.gguf", DATA "spm.gguf"};
    for (int is_spm = 0; is_spm < 2; is_spm++) {
        struct vocab_file v;
        struct bitnet_error err = {0};
        struct buffer section = {0};
        CHECK(vocab_open(&v, paths[is_spm], &err), "%s", err.msg);
        for (size_t i = 0; i < v.vocab.n_tokens; i++) {
            struct vocab_token *t = &v.vocab.tokens[i];
            if (!is_spm && t->n_bytes == 2) {
                t->type = TOKEN_CONTROL;
            } else if (is_spm && t->n_bytes == 1 && t->bytes[0] == ' ') {
                t->type = TOKEN_USER;
            }
        }
        v.vocab.prefix_once = false;
        CHECK(!tokenizer_pack(&v.vocab, &section, &err) && err.code == BITNET_BAD &&
                  strstr(err.msg, "does not come back from its own tokens") != NULL,
              "%s: %s", paths[is_spm], err.msg);
        buffer_free(&section);
        vocab_close(&v);
    }
}

/* A SentencePiece token across a space, which most vocabularies lack. */
static void check_across_words(void)
{
    struct vocab_file v;
    struct bitnet_error err = {0};
    struct buffer section = {0};
    struct bitnet_tokenizer *t;
    int32_t ids[16];
    CHECK(vocab_open(&v, DATA "spm.gguf", &err), "%s", err.msg);
    int32_t e_d = vocab_find_name(&v, " water");
    if (e_d < 0) {
        CHECK(false, "no piece to change");
        return;
    }
    CHECK(vocab_find_name(&v, "e") >= 0 && vocab_find_name(&v, " d") >= 0, "pieces");
    v.vocab.tokens[e_d].bytes = "e d";
    v.vocab.tokens[e_d].n_bytes = 3;
    v.vocab.tokens[e_d].score = 1000;
    CHECK(tokenizer_pack(&v.vocab, &section, &err), "%s", err.msg);
    CHECK(tokenizer_open(&t, section.data, section.n_bytes, "t", &err), "%s", err.msg);
    size_t n = encode(t, "xe dx", 0, ids), n_across = 0;
    for (size_t i = 0; i < n; i++) {
        n_across += ids[i] == e_d;
    }
    CHECK(n_across == 1, "%zu of %zu", n_across, n);
    tokenizer_close(t);
    buffer_free(&section);
    vocab_close(&v);
}

/* Random text of one of four kinds: ASCII, all planes, any bytes, pieces that repeat. */
static size_t random_text(char *text, size_t room, bool any_bytes)
{
    static const char *const pieces[] = {" ",  "the",      "\n",           "'s",
                                         "12", "\xc3\xa9", "\xe4\xbd\xa0", "!!"};
    uint64_t kind = draw(any_bytes ? 4 : 3);
    size_t n = 0, want = draw(room - 8);
    while (n < want) {
        if (kind == 0) {
            text[n++] = (char)draw(128);
        } else if (kind == 3) {
            text[n++] = (char)draw(256);
        } else if (kind == 1) {
            uint32_t code = (uint32_t)draw(0x110000);
            code = code >= 0xd800 && code < 0xe000 ? 0xfffd : code == 0x2581 ? ' ' : code;
            n += utf8_encode(code, text + n);
        } else {
            const char *piece = pieces[draw(8)];
            memcpy(text + n, piece, strlen(piece));
            n += strlen(piece);
        }
    }
    return n;
}

static bool survives(const struct bitnet_tokenizer *t, const char *text, size_t n_bytes)
{
    struct bitnet_ids ids = {0};
    struct bitnet_error err = {0};
    struct buffer back = {0};
    bool ok = bitnet_encode(t, text, n_bytes, 0, &ids, &err);
    tokenizer_decode(t, ids.ids, ids.n_ids, &back);
    ok = ok && back.n_bytes == n_bytes &&
         (n_bytes == 0 || memcmp(back.data, text, n_bytes) == 0);
    bitnet_ids_free(&ids);
    buffer_free(&back);
    return ok;
}

/* SentencePiece has one glyph for a space, which no text keeps. */
static bool has_glyph(const char *text, size_t n_bytes)
{
    for (size_t i = 0; i + 3 <= n_bytes; i++) {
        if (memcmp(text + i, "\xe2\x96\x81", 3) == 0) {
            return true;
        }
    }
    return false;
}

/* A megabyte without a space, of one letter, of spaces, of noise; in little time. */
static void check_large(const struct bitnet_tokenizer *t, const char *name)
{
    size_t n_bytes = 1 << 20;
    char *text = malloc(n_bytes);
    for (int kind = 0; kind < 4; kind++) {
        for (size_t k = 0; k < n_bytes; k++) {
            text[k] = kind == 0   ? (char)('a' + draw(26))
                      : kind == 1 ? 'x'
                      : kind == 2 ? ' '
                                  : (char)draw(256);
        }
        uint64_t start = now_ns();
        CHECK(has_glyph(text, n_bytes) || survives(t, text, n_bytes),
              "%s: a megabyte, kind %d", name, kind);
        CHECK(now_ns() - start < 20000000000, "%.1f s", (double)(now_ns() - start) / 1e9);
    }
    free(text);
}

static void check_round_trips(const struct bitnet_tokenizer *t, const char *name,
                              long n_texts)
{
    long n_bad = 0;
    char text[256];
    for (long k = 0; k < n_texts; k++) {
        size_t n_bytes = random_text(text, sizeof text, true);
        n_bad += !has_glyph(text, n_bytes) && !survives(t, text, n_bytes);
    }
    CHECK(n_bad == 0, "%s: %ld of %ld texts change", name, n_bad, n_texts);
    check_large(t, name);
}

static void check_files(long n_texts, char **more, int n_more)
{
    static const char *const paths[] = {DATA "bpe", DATA "tiktoken", DATA "spm", "gpt2",
                                        "falcon"};
    for (int i = 0; i < 5 + n_more; i++) {
        const char *path = i < 5 ? paths[i] : more[i - 5];
        struct tokenizer_file f = {0};
        struct bitnet_error err = {0};
        bool ok = i != 3 && i != 4 ? tokenizer_file_open(&f, path, &err)
                                   : pack_as(path, &f.packed, &err) &&
                                         tokenizer_open(&f.tokenizer, f.packed.data,
                                                        f.packed.n_bytes, path, &err);
        CHECK(ok, "%s", err.msg);
        if (ok) {
            CHECK(tokenizer_gives_back(f.tokenizer, "", 0, NULL, 0), "%s: no text", path);
            check_round_trips(f.tokenizer, path, n_texts);
            tokenizer_file_close(&f);
        }
    }
}

/* Opens a copy of exactly this size; what opens must encode without harm. */
static bool opens(const uint8_t *section, size_t n_bytes, struct bitnet_error *err)
{
    uint8_t *copy = malloc(n_bytes + (n_bytes == 0));
    memcpy(copy, section, n_bytes);
    struct bitnet_tokenizer *t;
    *err = (struct bitnet_error){0};
    bool ok = tokenizer_open(&t, copy, n_bytes, "damaged", err);
    if (ok) {
        struct bitnet_ids ids = {0};
        struct bitnet_error none = {0};
        static const char text[] = "the dog's\n12345 <think> <|eot_id|>\xff\xc3\xa9 ";
        bitnet_encode(t, text, sizeof text - 1, BITNET_BOS | BITNET_SPECIAL | BITNET_EOS,
                      &ids, &none);
        for (size_t i = 0; i < ids.n_ids; i++) {
            CHECK(ids.ids[i] >= 0 && (size_t)ids.ids[i] < bitnet_n_tokens(t), "id %d",
                  ids.ids[i]);
        }
        bitnet_ids_free(&ids);
        tokenizer_close(t);
    }
    free(copy);
    return ok;
}

static void check_damage(const char *path)
{
    struct tokenizer_file f;
    struct bitnet_error err = {0};
    CHECK(tokenizer_file_open(&f, path, &err), "%s", err.msg);
    size_t n = f.section_bytes, n_open = 0;
    for (size_t cut = 0; cut < n; cut++) {
        n_open += opens(f.section, cut, &err) || err.code != BITNET_BAD;
    }
    CHECK(n_open == 0, "%s: %zu cut sections open", path, n_open);
    uint8_t *copy = malloc(n + 4);
    memcpy(copy, f.section, n);
    store_u32(copy + n, 0);
    CHECK(!opens(copy, n + 4, &err), "four bytes more");
    static const uint32_t values[] = {0,          1,          2,         0x7fffffff,
                                      0x80000000, 0xfffffffe, 0xffffffff};
    for (size_t at = 0; at < 96; at += 4) {
        uint32_t right = load_u32(copy + at);
        for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
            store_u32(copy + at, values[i]);
            /* Flags and ids may take other values and mean something else. */
            bool may_open =
                values[i] == right || (at >= 16 && at < 20) || (at >= 48 && at < 64);
            CHECK(!opens(copy, n, &err) || may_open, "%s: %u at %zu opens", path,
                  values[i], at);
        }
        store_u32(copy + at, right);
    }
    /* A table without an empty slot would be searched forever. */
    const uint8_t *tables[] = {f.tokenizer->tokens, f.tokenizer->pairs};
    uint32_t n_slots[] = {f.tokenizer->n_token_slots, f.tokenizer->n_merge_slots};
    for (int k = 0; k < 2 && n_slots[k] > 0; k++) {
        for (uint32_t i = 0; i < n_slots[k]; i++) {
            uint8_t *slot = copy + (tables[k] - f.section) + 4 * (size_t)i;
            store_u32(slot, load_u32(slot) == 0 ? 1 : load_u32(slot));
        }
        CHECK(!opens(copy, n, &err), "a full table opens");
        memcpy(copy, f.section, n);
    }
    for (int i = 0; i < 20000; i++) { /* any single byte: an error or a sound tokenizer */
        size_t at = draw(n);
        uint8_t right = copy[at];
        copy[at] = (uint8_t)draw(256);
        opens(copy, n, &err);
        copy[at] = right;
    }
    free(copy);
    tokenizer_file_close(&f);
}

/* What would make encoding slow: a table with a long run of full slots, special tokens of
 * very many lengths. */
static void check_costly(void)
{
    enum { n_words = 2000 };
    static struct vocab_token tokens[256 + n_words];
    static char text[256 + n_words + 2];
    struct vocab v = {.kind = TOKENIZER_BPE, .pretok = PRETOK_GPT2, .tokens = tokens,
                      .n_tokens = 256 + n_words, .bos = -1, .eos = -1, .unk = -1, .pad = -1};
    struct bitnet_error err = {0};
    struct buffer section = {0};
    for (uint32_t i = 0; i < 256; i++) {
        text[i] = (char)i;
        tokens[i] = (struct vocab_token){text + i, 1, TOKEN_NORMAL, 0};
    }
    memset(text + 256, 'x', n_words + 2);
    for (uint32_t i = 0; i < n_words; i++) {
        tokens[256 + i] = (struct vocab_token){text + 256, i + 2, TOKEN_NORMAL, 0};
    }
    if (!tokenizer_pack(&v, &section, &err)) {
        CHECK(false, "%s", err.msg);
        return;
    }
    uint8_t *table = section.data + 96 + 4 * (v.n_tokens + 1 + 256);
    CHECK(opens(section.data, section.n_bytes, &err), "%s", err.msg);
    for (int i = 0; i < 1100; i++, table += 4) {
        store_u32(table, load_u32(table) == 0 ? 1 : load_u32(table));
    }
    CHECK(!opens(section.data, section.n_bytes, &err) && strstr(err.msg, "table of tokens"),
          "%s", err.msg);
    section.n_bytes = 0;
    err = (struct bitnet_error){0};
    for (uint32_t i = 0; i < n_words; i++) {
        tokens[256 + i].type = TOKEN_USER;
    }
    CHECK(!tokenizer_pack(&v, &section, &err) && strstr(err.msg, "lengths, at most 1024"),
          "%s", err.msg);
    buffer_free(&section);
}

int main(int argc, char **argv)
{
    int64_t n_texts = 2000;
    if (argc > 1 && !parse_i64(argv[1], 1, 10000000, &n_texts)) {
        return 2;
    }
    check_families();
    check_forms();
    check_tokens();
    check_unknown();
    check_lossy();
    check_across_words();
    check_files((long)n_texts, argv + 2, argc > 2 ? argc - 2 : 0);
    check_damage(DATA "bpe");
    check_damage(DATA "spm");
    check_costly();
    return check_done();
}
