/* tokenizer.h: text to token ids and back.
 *
 * The tokenizer section of a .bnp file, version 1. It is read where it lies: opening it
 * checks it and builds nothing. All numbers are little-endian u32 unless said
 * otherwise; -1 is 2^32 - 1.
 *
 *     +0   "BTOK"           +4   1, the version       +8   kind: 1 BPE, 2 SPM
 *     +12  pre-tokenizer, enum pretokenizer            +16  flags, enum tokenizer_flags
 *     +20  n_tokens         +24  n_merges             +28  n_token_slots, a power of two
 *     +32  n_merge_slots, a power of two, 0 for SPM   +36  n_stops
 *     +40  n_lengths        +44  n_text_bytes
 *     +48  bos              +52  eos   +56  unk   +60  pad: an id or -1
 *     +64  n_probes         +68  n_probe_words        +72  24 bytes of zeros
 *     +96  offsets   [n_tokens + 1]     token i is text[offsets[i] .. offsets[i + 1])
 *          scores    [n_tokens] f32     SPM alone; BPE has none
 *          stops     [n_stops]          ids that end an answer, eos among them, ascending
 *          lengths   [n_lengths]        of control, user and unknown tokens, descending
 *          byte_ids  [256]              the token of each single byte, or -1
 *          merges    [n_merges][3]      ids of left, right and both, in order of rank
 *          tokens    [n_token_slots]    hash table, spelling -> id
 *          pairs     [n_merge_slots]    hash table, left and right -> rank
 *          types     [n_tokens] u8      zeros up to a multiple of 4
 *          text      [n_text_bytes] u8  zeros up to a multiple of 4
 *          probes    [n_probe_words]    n_probes of: n_bytes, n_ids, the text with zeros
 *                                       up to a multiple of 4, its ids without BOS
 *
 * A token's text is the bytes that it stands for: spaces are spaces, whatever glyph the
 * vocabulary was written with. The text of control tokens is their spelling; that of
 * byte tokens is the byte.
 *
 * A slot of a hash table is 0 when empty, else hash >> 56 << 24 | entry + 1, and stands
 * at the first free slot from hash & (n_slots - 1) on, upward and around. At least one
 * slot is empty, and no more than MAX_FULL_RUN in a row are full. The hash of a token
 * is hash64 of its text; byte tokens and empty ones are in no table, and of equal texts
 * only one is. The hash of a merge is pair_hash() in tokenizer_merge.h.
 */
#ifndef BITNET_TOKENIZER_H
#define BITNET_TOKENIZER_H

#include "src/base.h"
#include "src/pretok.h"

/* What a foreign file says of its tokenizer, in one neutral form; importers fill it,
 * tokenizer_pack turns it into the section of a .bnp file. */
enum tokenizer_kind { TOKENIZER_BPE = 1, TOKENIZER_SPM = 2 };
enum token_type { /* GGUF's numbers */
    TOKEN_NORMAL = 1,
    TOKEN_UNKNOWN = 2,
    TOKEN_CONTROL = 3,
    TOKEN_USER = 4, /* added text that is matched before pre-tokenizing */
    TOKEN_UNUSED = 5,
    TOKEN_BYTE = 6,
};
struct vocab_token {
    const char *bytes; /* raw bytes it stands for; for control tokens their spelling */
    uint32_t n_bytes;
    uint8_t type;
    float score; /* SPM */
};
struct vocab {
    enum tokenizer_kind kind;
    enum pretokenizer pretok;
    bool add_bos, add_eos, ignore_merges, add_space_prefix, nfc;
    bool prefix_once; /* the space comes at the start alone, not after special tokens */
    struct vocab_token *tokens; /* [n_tokens] */
    size_t n_tokens;
    uint32_t (*merges)[2]; /* [n_merges]: ids of left and right, in rank order */
    size_t n_merges;
    int32_t bos, eos, unk, pad; /* or -1 */
    int32_t stops[16];          /* more ids that end an answer */
    size_t n_stops;
};

enum tokenizer_flags {
    TOKENIZER_ADD_BOS = 1,
    TOKENIZER_ADD_EOS = 2,
    TOKENIZER_IGNORE_MERGES = 4, /* a chunk that is a token is that token */
    TOKENIZER_SPACE_PREFIX = 8,
    TOKENIZER_PREFIX_ONCE = 16,
    TOKENIZER_NFC = 32,
    TOKENIZER_WORDS = 64, /* SPM: no token holds a space behind something else */
};
enum { MAX_TOKENS = 0xfffffe }; /* of merges too: an entry has 24 bits in its slot */
/* What a hostile section may cost in time. A table two thirds full has runs of a few hundred
 * slots, and the special tokens of a vocabulary have a few dozen lengths. */
enum { MAX_FULL_RUN = 1024, MAX_SPECIAL_LENGTHS = 1024 };

/* Checks the whole vocabulary; of the same one it makes the same bytes. Adds to the
 * stop tokens the ones that are known by name ("<|eot_id|>"). */
bool tokenizer_pack(const struct vocab *v, struct buffer *section,
                    struct bitnet_error *err);

/* An open section. Pointers go into it. */
struct bitnet_tokenizer {
    enum tokenizer_kind kind;
    enum pretokenizer pretok;
    unsigned flags;
    uint32_t n_tokens, n_merges, n_token_slots, n_merge_slots, n_stops, n_lengths;
    uint32_t n_text_bytes, n_probes, n_probe_words;
    int32_t bos, eos, unk, pad;
    const uint8_t *offsets, *scores, *stops, *lengths, *byte_ids, *merges;
    const uint8_t *tokens, *pairs, *types, *text, *probes;
    /* For each byte: 1 when a user token starts with it, 2 when a control or unknown
     * one does. */
    uint8_t special_starts[256];
    bool has_specials[4]; /* any in special_starts, by mask */
};

/* Checks the section completely, its known-answer encodings too; t points into it. */
bool tokenizer_open(struct bitnet_tokenizer **t, const uint8_t *section, size_t n_bytes,
                    const char *path, struct bitnet_error *err);
void tokenizer_close(struct bitnet_tokenizer *t);

/* Appends the bytes of the ids; the space that encoding put before the text is taken
 * off. */
void tokenizer_decode(const struct bitnet_tokenizer *t, const int32_t *ids, size_t n_ids,
                      struct buffer *out);

/* Whether the ids of a text give it back; with an unknown token among them nothing can, and
 * that is taken for true. */
bool tokenizer_gives_back(const struct bitnet_tokenizer *t, const char *text,
                          size_t n_bytes, const int32_t *ids, size_t n_ids);

/* Appends one id; false when memory ran out. */
bool ids_add(struct bitnet_ids *ids, int32_t id);

/* The id of the token with exactly this text, whose hash64 is hash, or -1. */
int32_t tokenizer_lookup(const struct bitnet_tokenizer *t, const char *text,
                         size_t n_bytes, uint64_t hash);

/* Word i of an array in the section: inline, because every step of encoding reads
 * several. */
static inline uint32_t tokenizer_word(const uint8_t *array, size_t i)
{
    const uint8_t *b = array + 4 * i;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 |
           (uint32_t)b[3] << 24;
}

#endif
