/* synth_vocab.c: a byte-level BPE vocabulary of any size, the same at every run, that splits
 * English text into pieces of plausible length.
 *
 * After the 256 bytes come all strings of two lower-case letters, of a space and one letter, of
 * three letters, of a space and two, and so on, the commoner letters first, until the size is
 * reached. A string's merge joins it without its last letter, which has an id already, and that
 * letter. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/tokenizer.h"
#include "tools/synth.h"

enum { N_LETTERS = 26, N_BYTES = 256, TOKEN_ROOM = 48 };
static const char letters[] = "etaoinshrdlcumwfgypbvkjxqz";

struct maker {
    struct vocab v;
    char *text; /* [n_tokens][TOKEN_ROOM] */
};

static void add_token(struct maker *m, const char *bytes, size_t n_bytes, enum token_type type)
{
    char *copy = m->text + m->v.n_tokens * TOKEN_ROOM;
    memcpy(copy, bytes, n_bytes);
    m->v.tokens[m->v.n_tokens++] =
        (struct vocab_token){copy, (uint32_t)n_bytes, (uint8_t)type, 0};
}

/* Joins each of the tokens [begin, end) with each letter until n_text tokens stand. */
static void add_joins(struct maker *m, size_t begin, size_t end, size_t n_text)
{
    for (size_t left = begin; left < end; left++) {
        for (size_t i = 0; i < N_LETTERS && m->v.n_tokens < n_text; i++) {
            char bytes[TOKEN_ROOM];
            size_t n = m->v.tokens[left].n_bytes;
            memcpy(bytes, m->v.tokens[left].bytes, n);
            bytes[n] = letters[i];
            uint32_t *merge = m->v.merges[m->v.n_merges++];
            merge[0] = (uint32_t)left, merge[1] = (unsigned char)letters[i];
            add_token(m, bytes, n + 1, TOKEN_NORMAL);
        }
    }
}

static void add_text(struct maker *m, size_t n_text)
{
    for (size_t b = 0; b < N_BYTES; b++) {
        char c = (char)b;
        add_token(m, &c, 1, TOKEN_NORMAL);
    }
    size_t words = m->v.n_tokens, spaced, end;
    for (size_t i = 0; i < N_LETTERS; i++)
        add_joins(m, (unsigned char)letters[i], (unsigned char)letters[i] + 1u, n_text);
    spaced = m->v.n_tokens;
    add_joins(m, ' ', ' ' + 1, n_text);
    end = m->v.n_tokens;
    /* words..spaced and spaced..end are the longest so far; each round makes one letter more. */
    while (m->v.n_tokens < n_text) {
        size_t old_words = words, old_spaced = spaced, old_end = end;
        words = m->v.n_tokens;
        add_joins(m, old_words, old_spaced, n_text);
        spaced = m->v.n_tokens;
        add_joins(m, old_spaced, old_end, n_text);
        end = m->v.n_tokens;
    }
}

static void add_control(struct maker *m, size_t n_special)
{
    size_t first = m->v.n_tokens, eot = n_special > 9 ? 9 : 2;
    for (size_t i = 0; i < n_special; i++) {
        char name[TOKEN_ROOM];
        snprintf(name, sizeof name, "<|reserved_%zu|>", i);
        const char *text = i == 0     ? "<|begin_of_text|>"
                           : i == 1   ? "<|end_of_text|>"
                           : i == eot ? "<|eot_id|>"
                                      : name;
        add_token(m, text, strlen(text), TOKEN_CONTROL);
    }
    m->v.bos = (int32_t)first;
    m->v.eos = (int32_t)first + 1;
    m->v.stops[m->v.n_stops++] = (int32_t)(first + eot);
}

bool synth_tokenizer(struct buffer *section, size_t n_vocab, size_t n_special, int pretok,
                     struct bitnet_error *err)
{
    struct maker m = {.v = {.kind = TOKENIZER_BPE, .pretok = (enum pretokenizer)pretok}};
    m.v.add_bos = true;
    m.v.unk = m.v.pad = -1;
    m.text = calloc(n_vocab, TOKEN_ROOM);
    m.v.tokens = calloc(n_vocab, sizeof *m.v.tokens);
    m.v.merges = calloc(n_vocab, sizeof *m.v.merges);
    bool good = m.text && m.v.tokens && m.v.merges;
    if (good) {
        add_text(&m, n_vocab - n_special);
        add_control(&m, n_special);
        good = tokenizer_pack(&m.v, section, err);
    } else {
        fail(err, BITNET_FAILED, "synth: out of memory");
    }
    free(m.text);
    free(m.v.tokens);
    free(m.v.merges);
    return good;
}
