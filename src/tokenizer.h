/* tokenizer.h: text to token ids and back. (Contract of the section's bytes stands here.) */
#ifndef BITNET_TOKENIZER_H
#define BITNET_TOKENIZER_H

#include "src/base.h"

/* What a foreign file says of its tokenizer, in one neutral form; importers fill it,
 * tokenizer_pack turns it into the section of a .bnp file. */
enum tokenizer_kind { TOKENIZER_BPE = 1, TOKENIZER_SPM = 2 };
enum pretokenizer {
    PRETOK_NONE = 0, /* SPM */
    PRETOK_GPT2 = 1,
    PRETOK_LLAMA3 = 2,
    PRETOK_QWEN2 = 3,
    PRETOK_QWEN35 = 4,
    PRETOK_FALCON = 5,
    PRETOK_DEFAULT = 6,
};
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
    struct vocab_token *tokens; /* [n_tokens] */
    size_t n_tokens;
    uint32_t (*merges)[2]; /* [n_merges]: ids of left and right, in rank order */
    size_t n_merges;
    int32_t bos, eos, unk, pad; /* or -1 */
    int32_t stops[16];          /* more ids that end an answer */
    size_t n_stops;
};

bool tokenizer_pack(const struct vocab *v, struct buffer *section, struct bitnet_error *err);

/* Checks the section completely, its known-answer encodings too; t points into it. */
bool tokenizer_open(struct bitnet_tokenizer **t, const uint8_t *section, size_t n_bytes,
                    const char *path, struct bitnet_error *err);
void tokenizer_close(struct bitnet_tokenizer *t);

#endif
