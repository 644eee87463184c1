/* test_sampler.c: the sampler on hand-made logits: order of limits, penalties, ties, its generator
 * and the distribution of its draws. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "include/bitnet.h"
#include "tests/check.h"

static bitnet_model *model;
static size_t n_vocab;
static float *logits;
static int32_t text_ids[8]; /* ids that may be drawn */

static bitnet_sampler *open_sampler(struct bitnet_sampling p)
{
    struct bitnet_error err = {0};
    bitnet_sampler *s = NULL;
    CHECK(bitnet_sampler_open(&s, model, &p, &err), "%s", err.msg);
    return s;
}

/* All logits -30 but for the first n text ids. */
static void set_logits(const float *values, size_t n)
{
    for (size_t i = 0; i < n_vocab; i++)
        logits[i] = -30;
    for (size_t i = 0; i < n; i++)
        logits[text_ids[i]] = values[i];
}

static struct bitnet_sampling plain(float temp)
{
    return (struct bitnet_sampling){.temp = temp, .top_p = 1, .repeat_penalty = 1,
                                    .repeat_last_n = 64};
}

static void check_greedy(void)
{
    bitnet_sampler *s = open_sampler(plain(0));
    set_logits((const float[]){1, 5, 5, 2}, 4);
    CHECK(bitnet_sample(s, logits, NULL) == text_ids[1], "lowest id among equals");
    uint32_t *allowed = calloc(n_vocab / 32 + 1, sizeof *allowed);
    set_logits((const float[]){1, 5, 5, 2}, 4);
    CHECK(bitnet_sample(s, logits, allowed) == -1, "nothing allowed");
    allowed[text_ids[3] / 32] |= 1u << text_ids[3] % 32;
    CHECK(bitnet_sample(s, logits, allowed) == text_ids[3], "only one allowed");
    free(allowed);
    bitnet_sampler_close(s);
}

static void check_penalties(void)
{
    struct bitnet_sampling p = plain(0);
    p.repeat_penalty = 2;
    bitnet_sampler *s = open_sampler(p);
    set_logits((const float[]){3, 5}, 2);
    int32_t first = bitnet_sample(s, logits, NULL);
    set_logits((const float[]){3, 5}, 2);
    int32_t second = bitnet_sample(s, logits, NULL);
    CHECK(first == text_ids[1] && second == text_ids[0], "5/2 < 3: %d %d", first, second);
    bitnet_sampler_close(s);

    p = plain(0);
    p.frequency_penalty = 1;
    p.presence_penalty = 0.5f;
    s = open_sampler(p);
    int32_t want[] = {text_ids[1], text_ids[0], text_ids[1]}; /* 4, then 2.5 < 3, then 1.5 < 2.5 */
    for (size_t i = 0; i < 3; i++) {
        set_logits((const float[]){3, 4}, 2);
        CHECK(bitnet_sample(s, logits, NULL) == want[i], "draw %zu", i);
    }
    bitnet_sampler_close(s);

    struct bitnet_bias bias[] = {{text_ids[1], -INFINITY}, {text_ids[2], 10}};
    p = plain(0);
    p.bias = bias;
    p.n_bias = 2;
    s = open_sampler(p);
    set_logits((const float[]){3, 4, 0}, 3);
    CHECK(bitnet_sample(s, logits, NULL) == text_ids[2], "bias");
    bitnet_sampler_close(s);
}

/* Counts draws of the first n text ids; anything else counts in rest. */
static size_t count_draws(struct bitnet_sampling p, const float *values, size_t n, size_t n_draws,
                          size_t *counts)
{
    size_t rest = 0;
    p.repeat_last_n = 0;
    bitnet_sampler *s = open_sampler(p);
    memset(counts, 0, n * sizeof *counts);
    for (size_t i = 0; i < n_draws; i++) {
        set_logits(values, n);
        int32_t id = bitnet_sample(s, logits, NULL);
        size_t at = 0;
        while (at < n && text_ids[at] != id)
            at++;
        if (at < n)
            counts[at]++;
        else
            rest++;
    }
    bitnet_sampler_close(s);
    return rest;
}

static void check_distribution(void)
{
    const float values[] = {0, 1, 2, -1, 1.5f};
    size_t counts[5], n_draws = 6000;
    for (float temp = 0.5f; temp <= 2; temp *= 2) {
        double p[5], total = 0, chi2 = 0;
        CHECK(count_draws(plain(temp), values, 5, n_draws, counts) < 40, "far tail drawn");
        for (size_t i = 0; i < 5; i++)
            total += p[i] = exp(values[i] / temp);
        for (size_t i = 0; i < 5; i++) {
            double e = p[i] / total * (double)n_draws;
            chi2 += ((double)counts[i] - e) * ((double)counts[i] - e) / e;
        }
        CHECK(chi2 < 23.5, "temperature %g: chi-square %g with 4 degrees (p < 0.0001)", temp, chi2);
    }
}

/* Logits that biases and penalties make infinite: the largest there are, equal to one another. */
static void check_infinite(void)
{
    const struct bitnet_bias forced[] = {{text_ids[3], INFINITY}, {text_ids[1], 1e38f},
                                         {text_ids[1], 3e38f}, {text_ids[2], INFINITY},
                                         {text_ids[2], -INFINITY}};
    const float values[] = {20, 0, 20, 0, 20}, large[] = {20, 1e38f, 0, 0, 1e38f};
    size_t counts[5];
    for (int cut = 0; cut < 8; cut++) { /* with and without each limit */
        struct bitnet_sampling p = plain(1e30f);
        p.top_k = cut & 1 ? 3 : 0;
        p.top_p = cut & 2 ? 0.9f : 1;
        p.min_p = cut & 4 ? 0.5f : 0;
        p.bias = forced;
        p.n_bias = 1;
        count_draws(p, values, 5, 200, counts);
        CHECK(counts[3] == 200, "cut %d: forced %zu of 200 times", cut, counts[3]);
        p.n_bias = 5;
        count_draws(p, values, 5, 200, counts);
        CHECK(counts[1] > 50 && counts[3] > 50 && counts[1] + counts[3] == 200,
              "cut %d: two forced %zu and %zu of 200 times", cut, counts[1], counts[3]);
    }
    struct bitnet_sampling p = plain(1);
    p.repeat_penalty = 1e-38f;
    bitnet_sampler *s = open_sampler(p);
    bitnet_sampler_see(s, text_ids[0]);
    set_logits(large, 5);
    CHECK(bitnet_sample(s, logits, NULL) == text_ids[0], "infinite by penalty");
    bitnet_sampler_close(s);
    p = plain(0);
    p.bias = forced;
    p.n_bias = 5;
    s = open_sampler(p);
    set_logits(values, 5);
    CHECK(bitnet_sample(s, logits, NULL) == text_ids[1], "greedy: lowest id of those forced");
    bitnet_sampler_close(s);
}

static void check_cuts(void)
{
    const float values[] = {0, 3, 2, 1, -1};
    size_t counts[5];
    struct bitnet_sampling p = plain(3);
    p.top_k = 2;
    count_draws(p, values, 5, 2000, counts);
    CHECK(counts[1] && counts[2] && !counts[0] && !counts[3] && !counts[4], "top-k 2");
    p = plain(3);
    p.top_p = 0.8f; /* 0.636, 0.234, ...: the second passes 0.8 */
    count_draws(p, values, 5, 2000, counts);
    CHECK(counts[1] && counts[2] && !counts[0] && !counts[3] && !counts[4], "top-p 0.8");
    p.top_p = 0;
    count_draws(p, values, 5, 100, counts);
    CHECK(counts[1] == 100, "top-p 0 leaves the best");
    p = plain(3);
    p.min_p = 0.1f; /* e^-2 = 0.135 stays, e^-3 = 0.0498 goes */
    count_draws(p, values, 5, 2000, counts);
    CHECK(counts[1] && counts[2] && counts[3] && !counts[0] && !counts[4], "min-p 0.1");
}

static void check_seed(void)
{
    const float values[] = {0, 0, 0, 0, 0, 0, 0, 0};
    int32_t a[32];
    struct bitnet_sampling p = plain(1);
    p.seed = 42;
    bitnet_sampler *s = open_sampler(p);
    for (int pass = 0; pass < 2; pass++) {
        size_t n_same = 0;
        for (size_t i = 0; i < 32; i++) {
            set_logits(values, 8);
            int32_t id = bitnet_sample(s, logits, NULL);
            n_same += pass == 1 && id == a[i];
            a[i] = pass == 0 ? id : a[i];
        }
        CHECK(pass == 0 || n_same == 32, "the same seed gave %zu of 32 again", n_same);
        bitnet_sampler_reset(s, 42);
    }
    bitnet_sampler_close(s);
    /* SplitMix64 from 0 begins with e220a8397b1dcdaf (its published test vector), 0.883 of 1: the
     * eighth of eight equal candidates in heap order. */
    p.seed = 0;
    p.top_k = 8;
    s = open_sampler(p);
    set_logits(values, 8);
    CHECK(bitnet_sample(s, logits, NULL) == text_ids[7], "first draw of seed 0");
    bitnet_sampler_close(s);
}

static int better(const void *a, const void *b)
{
    int32_t i = *(const int32_t *)a, j = *(const int32_t *)b;
    return logits[i] != logits[j] ? (logits[i] < logits[j] ? 1 : -1) : (i > j) - (i < j);
}

static float risen(int32_t id)
{
    return (float)id / 1000;
}

static float fallen(int32_t id)
{
    return -risen(id);
}

static float often_equal(int32_t id)
{
    return (float)((uint32_t)id * 2654435761u >> 27);
}

/* The first k of all ids sorted, given as the only ones allowed, must be what a top-k draws from. */
static void check_top_k(float (*logit)(int32_t), int k)
{
    struct bitnet_sampling p = plain(50);
    p.min_p = 1e-30f; /* pops all that is left, so that both draw from sorted candidates */
    bitnet_sampler *mask = open_sampler(p);
    p.top_k = k;
    bitnet_sampler *top = open_sampler(p);
    const bitnet_tokenizer *t = bitnet_model_tokenizer(model);
    int32_t *ids = calloc(n_vocab, sizeof *ids);
    uint32_t *allowed = calloc(n_vocab / 32 + 1, sizeof *allowed);
    size_t n = 0, n_same = 0;
    for (int32_t id = 0; id < (int32_t)n_vocab; id++) {
        logits[id] = logit(id);
        if (bitnet_token_is_text(t, id) || bitnet_token_is_stop(t, id))
            ids[n++] = id;
    }
    qsort(ids, n, sizeof *ids, better);
    for (size_t i = 0; i < n && i < (size_t)k; i++)
        allowed[ids[i] / 32] |= 1u << ids[i] % 32;
    for (size_t i = 0; i < 200; i++)
        n_same += bitnet_sample(mask, logits, allowed) == bitnet_sample(top, logits, NULL);
    CHECK(n_same == 200, "top-k %d: %zu of 200 draws are those of a sort", k, n_same);
    free(allowed);
    free(ids);
    bitnet_sampler_close(mask);
    bitnet_sampler_close(top);
}

/* Logits that cannot be among the top k may be left out, as bitnet_eval_for does: the same draws. */
static void check_left_out(void)
{
    const float values[] = {1, 1.5f, 0.5f, 2, 1.2f, 0.2f, 1.9f, 0.1f};
    struct bitnet_sampling p = plain(1);
    p.top_k = 8;
    bitnet_sampler *all = open_sampler(p), *few = open_sampler(p);
    size_t n_same = 0;
    for (size_t i = 0; i < 200; i++) {
        set_logits(values, 8);
        int32_t id = bitnet_sample(all, logits, NULL);
        for (size_t j = 0; j < n_vocab; j++)
            logits[j] = -INFINITY;
        for (size_t j = 0; j < 8; j++)
            logits[text_ids[j]] = values[j];
        n_same += bitnet_sample(few, logits, NULL) == id;
    }
    CHECK(n_same == 200, "%zu of 200 draws are the same without the other logits", n_same);
    bitnet_sampler_close(all);
    bitnet_sampler_close(few);
}

static void check_logprobs(void)
{
    int32_t ids[5];
    double logprobs[5], total = 0;
    set_logits((const float[]){1, 2, 3}, 3);
    for (size_t i = 0; i < n_vocab; i++)
        total += exp((double)logits[i]);
    CHECK(fabs(bitnet_logprob(logits, n_vocab, text_ids[2]) - (3 - log(total))) < 1e-12, "logprob");
    size_t n = bitnet_top_logprobs(logits, n_vocab, 5, ids, logprobs);
    CHECK(n == 5 && ids[0] == text_ids[2] && ids[1] == text_ids[1] && ids[2] == text_ids[0],
          "top ids");
    for (size_t i = 0; i < n; i++)
        CHECK(fabs(logprobs[i] - bitnet_logprob(logits, n_vocab, ids[i])) < 1e-12, "top %zu", i);
}

static void refuse(struct bitnet_sampling p, const char *says)
{
    struct bitnet_error err = {0};
    bitnet_sampler *s = NULL;
    CHECK(!bitnet_sampler_open(&s, model, &p, &err) && strstr(err.msg, says), "%s, not %s", err.msg,
          says);
    bitnet_sampler_close(s);
}

static void check_limits(void)
{
    const struct bitnet_bias none = {(int32_t)n_vocab, 0}, nan = {0, NAN};
    struct bitnet_sampling p = plain(-1);
    refuse(p, "temp is -1");
    p = plain(INFINITY);
    refuse(p, "temp is inf");
    p = plain(NAN);
    refuse(p, "temp is ");
    p = plain(1);
    p.top_k = -1;
    refuse(p, "top_k is -1");
    p = plain(1);
    p.top_p = 1.5f;
    refuse(p, "top_p is 1.5, must be 0..1");
    p = plain(1);
    p.repeat_penalty = 0;
    refuse(p, "repeat_penalty is 0");
    p = plain(1);
    p.repeat_last_n = SIZE_MAX; /* one more is none */
    refuse(p, "repeat_last_n is ");
    p.repeat_last_n = (1 << 20) + 1;
    refuse(p, "repeat_last_n is 1048577, must be 0..1048576");
    p.repeat_last_n = 1 << 20;
    bitnet_sampler_close(open_sampler(p));
    p = plain(1);
    p.bias = &none;
    p.n_bias = SIZE_MAX;
    refuse(p, "n_bias is ");
    p.n_bias = 1;
    refuse(p, "logit bias: token ");
    p.bias = &nan;
    refuse(p, "logit bias: token 0");
}

int main(void)
{
    struct bitnet_error err = {0};
    if (!bitnet_model_open(&model, NULL, &err)) {
        printf("FAIL %s\n0 passed, 1 failed, 0 skipped\n", err.msg);
        return 1;
    }
    n_vocab = bitnet_model_shape(model)->n_vocab;
    logits = calloc(n_vocab, sizeof *logits);
    const bitnet_tokenizer *t = bitnet_model_tokenizer(model);
    for (int32_t id = 300, n = 0; n < 8; id++) {
        if (bitnet_token_is_text(t, id) && !bitnet_token_is_stop(t, id))
            text_ids[n++] = id;
    }
    check_greedy();
    check_penalties();
    check_distribution();
    check_infinite();
    check_cuts();
    check_seed();
    for (int k = 1; k < 5000; k = 3 * k + 1) {
        check_top_k(risen, k);
        check_top_k(fallen, k);
        check_top_k(often_equal, k);
    }
    check_left_out();
    check_logprobs();
    check_limits();
    free(logits);
    bitnet_model_close(model);
    return check_done();
}
