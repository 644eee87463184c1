/* cmd_host.h: from options to an open model, a session and samplers; and the loop that
 * turns prompts into answers, one or many at a time. Used by run, chat, each-line and
 * grep. */
#ifndef BITNET_CMD_HOST_H
#define BITNET_CMD_HOST_H

#include "src/cmd.h"
#include "src/cmd_answer.h"
#include "src/template.h"

struct host {
    const struct args *args;
    const char *model_name;
    bitnet_model *model;
    const bitnet_tokenizer *tokenizer;
    const struct template *template; /* NULL: raw text */
    bitnet_engine *engine;
    bitnet_session *session;
    size_t n_ctx, n_vocab, max_batch;
    struct bitnet_sampling sampling;
    struct bitnet_bias *bias;
    struct answer_rules rules;
    char **stops; /* owned, behind rules.stops */
};

/* The model and what the options say of sampling, stops and template; reads no weights.
 * Without -c the context is the model's own, at most n_ctx_most (0: the engine's
 * limit). */
bool host_open(struct host *h, const struct args *a, size_t n_ctx_most, struct bitnet_error *err);
/* Engine and session. */
bool host_start(struct host *h, size_t n_seqs, size_t max_logits, struct bitnet_error *err);
void host_close(struct host *h);
/* Can -c make the context larger than it is? Not where the model was trained for no more. */
bool host_can_grow(const struct host *h);
/* What helps against a text that the context does not hold: goes behind "the context holds N". */
const char *host_remedy(const struct host *h);
/* The options of a session as host_start would open it. */
struct bitnet_session_options host_session_options(const struct host *h, size_t n_seqs,
                                                   size_t max_logits);

/* \n, \t, \r and \\ become what they mean in C, in place; returns the new length. */
size_t host_unescape(char *text);

/* Token ids of a rendered text; marks become control tokens where the vocabulary has
 * them. begin: of a whole sequence, behind BOS where the model wants it. */
bool host_encode(const struct host *h, const struct rendered *r, bool begin,
                 struct bitnet_ids *ids, struct bitnet_error *err);

/* bitnet_eval, and an error where a signal has come: for loops that read a text in pieces. */
bool host_eval(struct host *h, const struct bitnet_input *in, size_t n_in,
               struct bitnet_error *err);

/* One answer in the making. */
struct logprob {
    double own;
    int32_t *top_ids; /* [n_top] */
    double *top;
    size_t n_top;
};
struct job {
    uint32_t seq;
    const int32_t *ids; /* the prompt; the sequence already holds the first n_fed of it */
    size_t n_ids, n_fed;
    bitnet_sampler *sampler;
    const struct answer_rules *rules; /* NULL: the host's */
    int64_t n_predict;    /* -1: no limit */
    size_t n_top;         /* of logprobs */
    bool want_logprobs;
    uint64_t deadline_ns; /* 0: none */
    struct answer answer;
    struct bitnet_ids out;     /* what was drawn, without the token that ended it */
    struct logprob *logprobs;  /* [out.n_ids] under want_logprobs */
    size_t n_logprobs;
    uint64_t start_ns, first_ns, end_ns; /* start, prompt read, end */
    bool stuck; /* it ended because the sampler had no token left to draw */
};
/* The sampler sees the prompt; the answer starts empty. */
bool job_begin(struct host *h, struct job *j, struct bitnet_error *err);
/* One pass over the weights for all jobs that are not finished: each reads a piece of its
 * prompt or draws one token. Their answers grow; finish tells which ended. */
bool job_step(struct host *h, struct job *const *jobs, size_t n_jobs, struct bitnet_error *err);
void job_end(struct job *j, enum finish finish);
bool job_check(const struct job *j, struct bitnet_error *err); /* false: it is stuck */
void job_free(struct job *j); /* all but the sampler and the prompt */

#endif
