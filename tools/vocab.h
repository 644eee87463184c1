/* vocab.h: the vocabularies that models are published with, read into struct vocab.
 *
 *     tokenizer.json     Hugging Face tokenizers (vocab_hf.c), with what its neighbours
 *                        tokenizer_config.json, generation_config.json, config.json add
 *     tokenizer.model    SentencePiece (vocab_spm.c), or tiktoken (vocab_tiktoken.c)
 *     *.gguf             metadata of a model or of a vocabulary alone (vocab_gguf.c)
 *     a folder           the first of tokenizer.json, tokenizer.model that it holds
 *
 * Readers say what they find with vocab_size, vocab_set and vocab_merge; anything that
 * would make them guess is refused. */
#ifndef TOOLS_VOCAB_H
#define TOOLS_VOCAB_H

#include "src/json.h"
#include "src/tokenizer.h"
#include "tools/gguf.h"
#include "tools/modelfile.h"

struct vocab_file {
    struct vocab vocab; /* complete after vocab_open */
    char *chat_template; /* the Jinja text, or NULL */
    char *path;          /* the file itself, for messages */
    struct buffer text;  /* of all tokens */
    size_t *text_off;    /* [n_tokens], SIZE_MAX: not set */
    size_t n_merges_alloc;
    uint32_t *table;     /* spelling -> id, by vocab_find; built by vocab_seal */
    size_t n_slots;
};

/* path: any of the forms above. */
bool vocab_open(struct vocab_file *f, const char *path, struct bitnet_error *err);
bool vocab_from_gguf(struct vocab_file *f, const struct gguf *g,
                     struct bitnet_error *err);
void vocab_close(struct vocab_file *f);

/* A tokenizer ready for use out of any file that has a vocabulary, a .bnp model too. */
struct tokenizer_file {
    struct bitnet_tokenizer *tokenizer;
    const uint8_t *section; /* what a .bnp file would carry */
    size_t section_bytes;
    struct buffer packed;    /* of a foreign file */
    struct model_file model; /* of a .bnp file */
};
bool tokenizer_file_open(struct tokenizer_file *f, const char *path,
                         struct bitnet_error *err);
void tokenizer_file_close(struct tokenizer_file *f);

/* For the readers. */
bool vocab_size(struct vocab_file *f, uint64_t n_tokens, struct bitnet_error *err);
bool vocab_set(struct vocab_file *f, uint64_t id, const char *bytes, size_t n_bytes,
               enum token_type type, float score, struct bitnet_error *err);
/* No more vocab_set: ids that were not set become unused, vocab_find and vocab_merge
 * work. */
bool vocab_seal(struct vocab_file *f, struct bitnet_error *err);
/* The id of a token, or -1. */
int32_t vocab_find(const struct vocab_file *f, const char *bytes, size_t n_bytes);
int32_t vocab_find_name(const struct vocab_file *f, const char *name);
bool vocab_merge(struct vocab_file *f, int32_t left, int32_t right,
                 struct bitnet_error *err);
void vocab_stop(struct vocab_file *f, int64_t id); /* one more, if it is a token */
/* The pre-tokenizer that goes with a byte-level vocabulary of unknown origin; false:
 * unknown. */
bool vocab_guess_pretok(const struct vocab_file *f, enum pretokenizer *out);

/* A token in GPT-2's printable alphabet to its bytes, appended to out; false, with
 * nothing appended, when it has a character that is not of the alphabet. */
bool vocab_unmap(const char *text, size_t n_bytes, struct buffer *out);
/* A piece of SentencePiece, with spaces for its glyph. */
void vocab_unspace(const char *text, size_t n_bytes, struct buffer *out);
/* The value of "<0xAB>", or -1. */
int vocab_byte_piece(const char *text, size_t n_bytes);

bool vocab_hf(struct vocab_file *f, const char *path, struct bitnet_error *err);
bool vocab_hf_neighbours(struct vocab_file *f, const char *path,
                         struct bitnet_error *err);
bool vocab_spm(struct vocab_file *f, const uint8_t *bytes, size_t n_bytes,
               struct bitnet_error *err);
bool vocab_tiktoken(struct vocab_file *f, const char *bytes, size_t n_bytes,
                    struct bitnet_error *err);

#endif
