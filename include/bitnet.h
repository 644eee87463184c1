/* bitnet.h: the public interface of the engine.
 *
 * Five handles, each opaque:
 *
 *     bitnet_engine      kernels of one CPU tier and a pool of threads
 *     bitnet_model       one open .bnp file, read-only
 *     bitnet_tokenizer   text <-> token ids; belongs to its model
 *     bitnet_session     sequences of tokens and their KV cache
 *     bitnet_sampler     logits -> token id
 *
 * Every function that can fail returns bool and fills *err with one line; nothing here prints or
 * exits. A session allocates when it is opened and never again. The same model, tokens and seed
 * give the same bytes on every tier, thread count and batching.
 */
#ifndef BITNET_H
#define BITNET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What went wrong; the codes are the exit codes of the command. */
enum {
    BITNET_OK = 0,
    BITNET_FAILED = 1, /* I/O, memory; a filter's "no" */
    BITNET_USAGE = 2,
    BITNET_UNSURE = 3, /* a filter cannot decide */
    BITNET_CUT = 4,    /* cut short by a limit, under --strict */
    BITNET_BAD = 5,    /* bad model or input file */
};

struct bitnet_error {
    int code;      /* BITNET_OK until something fails */
    char msg[504]; /* one line: where, what, found, wanted, and the command that helps */
};

typedef struct bitnet_engine bitnet_engine;
typedef struct bitnet_model bitnet_model;
typedef struct bitnet_tokenizer bitnet_tokenizer;
typedef struct bitnet_session bitnet_session;
typedef struct bitnet_sampler bitnet_sampler;

const char *bitnet_version(void); /* "0.1.0" */

/* Engine. tier NULL: the best that this CPU runs and that passes its self-test; a named tier that
 * is unknown or unusable is an error. n_threads: 1..256, or 0: one for each core the process may
 * use. */
bool bitnet_engine_open(bitnet_engine **out, const char *tier, int n_threads,
                        struct bitnet_error *err);
void bitnet_engine_close(bitnet_engine *e);
const char *bitnet_engine_tier(const bitnet_engine *e);
const char *bitnet_engine_note(const bitnet_engine *e); /* why a better tier was dropped, or "" */
int bitnet_engine_threads(const bitnet_engine *e);
/* Name of CPU tier i, slowest first; NULL past the last. *usable: whether it runs here. */
const char *bitnet_tier(size_t i, bool *usable);

/* Model. path NULL: the model that the binary carries. */
bool bitnet_model_open(bitnet_model **out, const char *path, struct bitnet_error *err);
void bitnet_model_close(bitnet_model *m);
const bitnet_tokenizer *bitnet_model_tokenizer(const bitnet_model *m);

struct bitnet_shape {
    const char *arch; /* "bitnet-b1.58", "llama", "qwen3", ... */
    size_t n_layers, n_embd, n_ff, n_heads, n_kv_heads, head_dim, n_vocab, n_ctx_train;
    uint64_t file_bytes;    /* the whole file */
    uint64_t decode_bytes;  /* weights read for one token */
    double bits_per_weight; /* of the matrices inside the layers */
};
const struct bitnet_shape *bitnet_model_shape(const bitnet_model *m);
/* A string of the file's metadata ("info.source", "chat.template", ...), or NULL. */
const char *bitnet_model_meta(const bitnet_model *m, const char *key);

/* Tokenizer. Ids grow in a caller-owned array; free it with bitnet_ids_free. */
struct bitnet_ids {
    int32_t *ids;
    size_t n_ids, n_alloc;
};
void bitnet_ids_free(struct bitnet_ids *ids);
enum { BITNET_BOS = 1, /* put the model's BOS first, if it wants one and it is not there yet */
       BITNET_SPECIAL = 2, /* text like <|eot_id|> becomes its token; never for a user's text */
       BITNET_EOS = 4 /* put EOS last if the model wants one: embedding models do */ };
bool bitnet_encode(const bitnet_tokenizer *t, const char *text, size_t n_bytes, unsigned flags,
                   struct bitnet_ids *ids, struct bitnet_error *err);
/* The bytes that a token stands for, *n_bytes of them; control tokens stand for none. */
const char *bitnet_token_bytes(const bitnet_tokenizer *t, int32_t id, size_t *n_bytes);
/* The token's own spelling in the vocabulary, control tokens too ("<|eot_id|>"). */
const char *bitnet_token_name(const bitnet_tokenizer *t, int32_t id, size_t *n_bytes);
int32_t bitnet_token_find(const bitnet_tokenizer *t, const char *name, size_t n_bytes); /* or -1 */
bool bitnet_token_is_stop(const bitnet_tokenizer *t, int32_t id);
bool bitnet_token_is_text(const bitnet_tokenizer *t, int32_t id); /* false: control, unused */
int32_t bitnet_bos(const bitnet_tokenizer *t);                    /* or -1 */
int32_t bitnet_eos(const bitnet_tokenizer *t);
size_t bitnet_n_tokens(const bitnet_tokenizer *t);

/* Session: n_seqs independent sequences of up to n_ctx tokens, each fed in any chunking. */
enum bitnet_kv { BITNET_KV_F16, BITNET_KV_I8 };
enum bitnet_act { BITNET_ACT_MODEL, /* what the model's family was trained with */
                  BITNET_ACT_I8, BITNET_ACT_I8_G32, BITNET_ACT_I8_G128, BITNET_ACT_F32,
                  BITNET_ACT_I4, BITNET_ACT_SIGN };
struct bitnet_session_options {
    size_t n_ctx;      /* tokens per sequence, at most 2^20, and no more than the model was trained
                        * for if its positions are not scaled; 0: the latter, at most 4096 */
    size_t n_seqs;     /* at most 4096; 0: 1 */
    size_t max_batch;  /* most tokens of one bitnet_eval, at most 65536; 0: 128 */
    size_t max_logits; /* most wanted rows of one bitnet_eval, at most 65536; 0: n_seqs */
    enum bitnet_kv kv;
    enum bitnet_act act;
};
/* What a session with these options, inside their ranges, takes beside an engine with a thread for
 * each core the process may use; each thread more or less counts. SIZE_MAX: past all bounds. */
size_t bitnet_session_bytes(const bitnet_model *m, const struct bitnet_session_options *o);
bool bitnet_session_open(bitnet_session **out, bitnet_engine *e, const bitnet_model *m,
                         const struct bitnet_session_options *o, struct bitnet_error *err);
void bitnet_session_close(bitnet_session *s);
/* The options as they took effect: zeros replaced by what was chosen. */
const struct bitnet_session_options *bitnet_session_opts(const bitnet_session *s);

struct bitnet_input {
    int32_t token;
    uint32_t seq;     /* tokens of one sequence stand in order; sequences may be mixed */
    bool want_logits; /* leave this position's logits behind */
};
/* Appends the tokens to their sequences. Fails, with nothing appended, when an id is not below
 * n_vocab or seq not below n_seqs, a sequence would pass n_ctx or a limit above is passed. Fails,
 * too, when a wanted logit is not finite; the tokens have been appended then. */
bool bitnet_eval(bitnet_session *s, const struct bitnet_input *in, size_t n_in,
                 struct bitnet_error *err);
/* The same, where wanted row i is for nothing but samplers[i]'s next draw without a mask (NULL: for
 * anything). Logits that cannot change what is drawn may come out as -INFINITY, which is cheaper
 * where the model's head is i8x2; the rest are the same. */
bool bitnet_eval_for(bitnet_session *s, const struct bitnet_input *in, size_t n_in,
                     bitnet_sampler *const *samplers, struct bitnet_error *err);
/* Row i of the wanted logits of the last bitnet_eval: [n_vocab], in input order. Writable. i is
 * below the number of rows wanted, and seq, to and from below n_seqs: nothing here looks. */
float *bitnet_logits(bitnet_session *s, size_t i);
/* The final hidden state (after the output norm) of the same row: [n_embd]. */
const float *bitnet_hidden(const bitnet_session *s, size_t i);
size_t bitnet_seq_length(const bitnet_session *s, uint32_t seq);
void bitnet_seq_cut(bitnet_session *s, uint32_t seq, size_t n_keep); /* drop all after n_keep */
/* Makes sequence `to` equal to the first n_keep tokens of `from`. */
void bitnet_seq_copy(bitnet_session *s, uint32_t to, uint32_t from, size_t n_keep);

/* Sampler: penalties, bias and mask, then top-k, top-p, min-p, temperature, one draw (the order of
 * llama.cpp's default chain). temp 0 is greedy: the highest logit, the lowest id among equals.
 * Parameters outside the ranges beside them are refused. */
struct bitnet_bias {
    int32_t token;
    float bias; /* added to the logit; -INFINITY forbids and INFINITY forces, unless forbidden */
};
struct bitnet_sampling {
    float temp;                /* 0 and up, finite; 0: greedy */
    int top_k;                 /* 0 and up; 0: off */
    float top_p, min_p;        /* 0..1; 1 and 0: off */
    float repeat_penalty;      /* above 0, finite; divides positive logits, multiplies negative
                                * ones; 1: off */
    float presence_penalty, frequency_penalty; /* finite; subtracted once, per occurrence; 0: off */
    size_t repeat_last_n;      /* how many of the last tokens the penalties see; at most 2^20 */
    uint64_t seed;
    bool ignore_eos;           /* stop tokens are never drawn */
    const struct bitnet_bias *bias; /* copied */
    size_t n_bias;                  /* at most 2^20; tokens may repeat, their biases add up */
};
struct bitnet_sampling bitnet_sampling_defaults(void);
bool bitnet_sampler_open(bitnet_sampler **out, const bitnet_model *m,
                         const struct bitnet_sampling *p, struct bitnet_error *err);
void bitnet_sampler_close(bitnet_sampler *s);
void bitnet_sampler_reset(bitnet_sampler *s, uint64_t seed); /* forget all, as if newly opened */
/* The penalties now know it; ids that are not below n_vocab are passed over. */
void bitnet_sampler_see(bitnet_sampler *s, int32_t token);
/* Draws from logits[n_vocab], which it overwrites, and sees what it drew. allowed NULL: all, else
 * one bit per token id. Ids without text that are not stop tokens are never drawn. -1 when nothing
 * may be drawn. */
int32_t bitnet_sample(bitnet_sampler *s, float *logits, const uint32_t *allowed);
/* ln of the softmax over logits[n_vocab], at `token`, 0..n_vocab-1: the unpenalised model's
 * log-probability. */
double bitnet_logprob(const float *logits, size_t n_vocab, int32_t token);
/* The log-probabilities of the n_top likeliest tokens, best first, into ids[n_top] and
 * logprobs[n_top]; returns how many. */
size_t bitnet_top_logprobs(const float *logits, size_t n_vocab, size_t n_top, int32_t *ids,
                           double *logprobs);

#endif
