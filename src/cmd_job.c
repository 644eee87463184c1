/* cmd_job.c: prompts to answers. One job_step is one pass over the weights: every running
 * job adds either the token it drew last or a piece of its prompt, whatever fits into the
 * batch. What stands beside a job in the batch changes nothing about its numbers
 * (include/bitnet.h). */
#include <stdlib.h>
#include <string.h>

#include "src/cmd_host.h"

enum { MAX_BATCH = 128 };

bool job_begin(struct host *h, struct job *j, struct bitnet_error *err)
{
    if (j->n_ids == 0)
        return fail(err, BITNET_USAGE, "the prompt is empty and the model has no BOS token");
    if (j->n_ids > h->n_ctx)
        return fail(err, BITNET_FAILED, "the prompt has %zu tokens, the context holds %zu%s",
                    j->n_ids, h->n_ctx, host_remedy(h));
    for (size_t i = 0; i < j->n_ids; i++)
        bitnet_sampler_see(j->sampler, j->ids[i]);
    answer_begin(&j->answer, j->rules != NULL ? j->rules : &h->rules);
    j->out.n_ids = j->n_logprobs = 0;
    j->start_ns = now_ns();
    j->first_ns = j->end_ns = 0;
    j->stuck = false;
    if (j->n_predict == 0)
        job_end(j, FINISH_LENGTH);
    return true;
}

void job_end(struct job *j, enum finish finish)
{
    if (j->end_ns != 0)
        return;
    answer_end(&j->answer, finish);
    j->end_ns = now_ns();
    if (j->first_ns == 0)
        j->first_ns = j->end_ns;
}

bool job_check(const struct job *j, struct bitnet_error *err)
{
    return !j->stuck || fail(err, BITNET_USAGE, "answer token %zu: no token is left to draw; "
                             "--logit-bias and --ignore-eos must leave one", j->out.n_ids + 1);
}

static bool keep_id(struct job *j, int32_t id, struct bitnet_error *err)
{
    if (j->out.n_ids == j->out.n_alloc) {
        size_t n = j->out.n_alloc * 2 + 64;
        int32_t *p = realloc(j->out.ids, n * sizeof *p);
        if (p == NULL)
            return fail(err, BITNET_FAILED, "out of memory after %zu tokens", j->out.n_ids);
        j->out.ids = p;
        j->out.n_alloc = n;
    }
    j->out.ids[j->out.n_ids++] = id;
    return true;
}

/* The log-probabilities must be read before the sampler overwrites the row; whose token
 * it will draw is not known yet, so the row is copied. */
static bool keep_logprobs(const struct host *h, struct job *j, const float *row, int32_t id,
                          struct bitnet_error *err)
{
    struct logprob *all = realloc(j->logprobs, (j->n_logprobs + 1) * sizeof *all);
    if (all == NULL)
        return fail(err, BITNET_FAILED, "out of memory for log-probabilities");
    j->logprobs = all;
    struct logprob *l = &all[j->n_logprobs++];
    *l = (struct logprob){.own = bitnet_logprob(row, h->n_vocab, id)};
    l->top_ids = calloc(j->n_top + 1, sizeof *l->top_ids);
    l->top = calloc(j->n_top + 1, sizeof *l->top);
    if (l->top_ids == NULL || l->top == NULL)
        return fail(err, BITNET_FAILED, "out of memory for log-probabilities");
    l->n_top = bitnet_top_logprobs(row, h->n_vocab, j->n_top, l->top_ids, l->top);
    return true;
}

static bool draw(struct host *h, struct job *j, float *row, struct bitnet_error *err)
{
    float *copy = NULL;
    if (j->first_ns == 0)
        j->first_ns = now_ns();
    if (j->want_logprobs) {
        copy = malloc(h->n_vocab * sizeof *copy);
        if (copy == NULL)
            return fail(err, BITNET_FAILED, "out of memory for log-probabilities");
        memcpy(copy, row, h->n_vocab * sizeof *copy);
    }
    int32_t id = bitnet_sample(j->sampler, row, NULL);
    j->stuck = id < 0;
    if (j->stuck || bitnet_token_is_stop(h->tokenizer, id)) {
        free(copy);
        job_end(j, j->stuck ? FINISH_NONE : FINISH_EOS);
        return true;
    }
    bool good = keep_id(j, id, err) &&
                (copy == NULL || keep_logprobs(h, j, copy, id, err));
    free(copy);
    if (!good)
        return false;
    size_t n_bytes;
    const char *bytes = bitnet_token_bytes(h->tokenizer, id, &n_bytes);
    answer_add(&j->answer, bytes, n_bytes);
    if (j->answer.finish != FINISH_NONE)
        job_end(j, j->answer.finish);
    else if (j->n_predict > 0 && j->out.n_ids == (size_t)j->n_predict)
        job_end(j, FINISH_LENGTH);
    else if (j->n_ids + j->out.n_ids > h->n_ctx)
        job_end(j, FINISH_CONTEXT);
    return true;
}

/* Adds up to n_room tokens of the job to the batch; returns how many. */
static size_t feed(struct job *j, struct bitnet_input *in, size_t n_room)
{
    if (j->n_fed >= j->n_ids) {
        if (n_room == 0)
            return 0;
        in[0] = (struct bitnet_input){j->out.ids[j->out.n_ids - 1], j->seq, true};
        j->n_fed++;
        return 1;
    }
    size_t n = j->n_ids - j->n_fed < n_room ? j->n_ids - j->n_fed : n_room;
    for (size_t i = 0; i < n; i++) {
        bool last = j->n_fed + i + 1 == j->n_ids;
        in[i] = (struct bitnet_input){j->ids[j->n_fed + i], j->seq, last};
    }
    j->n_fed += n;
    return n;
}

bool job_step(struct host *h, struct job *const *jobs, size_t n_jobs, struct bitnet_error *err)
{
    struct bitnet_input in[MAX_BATCH];
    bitnet_sampler *samplers[MAX_BATCH]; /* of the wanted rows */
    size_t n_in = 0, n_rows = 0;
    uint64_t now = now_ns();
    for (size_t i = 0; i < n_jobs; i++) {
        if (jobs[i]->end_ns == 0 && jobs[i]->deadline_ns != 0 && now >= jobs[i]->deadline_ns)
            job_end(jobs[i], FINISH_TIME);
    }
    /* First one token of each job that draws, then prompts into what room is left. */
    for (int prompts = 0; prompts < 2; prompts++) {
        for (size_t i = 0; i < n_jobs; i++) {
            struct job *j = jobs[i];
            if (j->end_ns != 0 || (j->n_fed < j->n_ids) != prompts)
                continue;
            size_t n = feed(j, in + n_in, h->max_batch - n_in);
            n_in += n;
            if (n > 0 && in[n_in - 1].want_logits)
                samplers[n_rows++] = j->want_logprobs ? NULL : j->sampler;
        }
    }
    if (n_in == 0)
        return true;
    if (!bitnet_eval_for(h->session, in, n_in, samplers, err))
        return false;
    for (size_t k = 0, row = 0; k < n_in; k++) {
        struct job *j = NULL;
        for (size_t i = 0; i < n_jobs && in[k].want_logits; i++) {
            if (jobs[i]->end_ns == 0 && jobs[i]->seq == in[k].seq)
                j = jobs[i];
        }
        if (in[k].want_logits && !draw(h, j, bitnet_logits(h->session, row++), err))
            return false;
    }
    return true;
}

void job_free(struct job *j)
{
    answer_free(&j->answer);
    bitnet_ids_free(&j->out);
    for (size_t i = 0; i < j->n_logprobs; i++) {
        free(j->logprobs[i].top_ids);
        free(j->logprobs[i].top);
    }
    free(j->logprobs);
    j->logprobs = NULL;
    j->n_logprobs = 0;
}
