/* sampler.c: logits -> token id (contract in include/bitnet.h).
 *
 *     penalties -> bias -> mask -> top-k -> top-p -> min-p -> temperature -> one draw
 *
 * Candidates are ordered by logit, equal ones by id, so the order never depends on a sorting
 * routine. Those that a top-k leaves are found in one pass: whenever SLACK more than k have come, the
 * best k stay, and what follows must beat the last of them. They sit in a max-heap and are popped only
 * as far as the other limits reach. Probabilities are summed in double with our own exp.
 *
 * Draw i of seed s is the i-th output of SplitMix64 (Steele et al. 2014) started at s, its upper 53
 * bits read as a number u in [0, 1): the first candidate whose running sum passes u * total. */
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/fmath.h"
#include "src/sampler.h"
#include "src/scan.h"

enum {
    SLACK = 256,
    MAX_LAST = 1 << 20, /* repeat_last_n, n_bias: sizes of what a sampler keeps cannot overflow */
    MAX_BIAS = 1 << 20,
};

struct candidate {
    float logit;
    int32_t id;
};

struct bitnet_sampler {
    struct bitnet_sampling params;
    struct bitnet_bias *bias;      /* [params.n_bias], own copy */
    size_t n_vocab;
    uint64_t state;                /* of SplitMix64 */
    uint32_t *banned;              /* one bit per id that is never drawn */
    uint32_t *exact;               /* and per id whose logit is changed before a draw */
    struct candidate *heap, *kept; /* [n_vocab] each */
    double *weights;               /* [n_vocab], of kept */
    uint32_t *counts;              /* [n_vocab], occurrences within the last tokens */
    int32_t *last;                 /* ring of the last tokens, [repeat_last_n] */
    size_t n_last, next_last;
};

struct bitnet_sampling bitnet_sampling_defaults(void)
{
    return (struct bitnet_sampling){.temp = 0.8f, .top_k = 40, .top_p = 0.95f, .min_p = 0.05f,
                                    .repeat_penalty = 1.0f, .repeat_last_n = 64};
}

static bool check_params(const struct bitnet_sampling *p, size_t n_vocab, struct bitnet_error *err)
{
    const struct {
        const char *name;
        double value, low, high;
    } limits[] = {
        {"temp", p->temp, 0, FLT_MAX},
        {"top_k", p->top_k, 0, INT_MAX},
        {"top_p", p->top_p, 0, 1},
        {"min_p", p->min_p, 0, 1},
        {"repeat_penalty", p->repeat_penalty, FLT_TRUE_MIN, FLT_MAX},
        {"presence_penalty", p->presence_penalty, -FLT_MAX, FLT_MAX},
        {"frequency_penalty", p->frequency_penalty, -FLT_MAX, FLT_MAX},
        {"repeat_last_n", (double)p->repeat_last_n, 0, MAX_LAST},
        {"n_bias", (double)p->n_bias, 0, MAX_BIAS},
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        if (!(limits[i].value >= limits[i].low && limits[i].value <= limits[i].high))
            return fail(err, BITNET_USAGE, "sampling: %s is %.9g, must be %.9g..%.9g",
                        limits[i].name, limits[i].value, limits[i].low, limits[i].high);
    }
    for (size_t i = 0; i < p->n_bias; i++) {
        if (p->bias[i].token < 0 || (size_t)p->bias[i].token >= n_vocab || isnan(p->bias[i].bias))
            return fail(err, BITNET_USAGE, "logit bias: token %d is not in 0..%zu or its bias is "
                                           "not a number", (int)p->bias[i].token, n_vocab - 1);
    }
    return true;
}

bool sampler_open(struct bitnet_sampler **out, const struct bitnet_tokenizer *t, size_t n_vocab,
                  const struct bitnet_sampling *p, struct bitnet_error *err)
{
    if (!check_params(p, n_vocab, err))
        return false;
    struct bitnet_sampler *s = calloc(1, sizeof *s);
    if (!s)
        return fail(err, BITNET_FAILED, "sampler: out of memory");
    s->params = *p;
    s->n_vocab = n_vocab;
    s->bias = calloc(p->n_bias + 1, sizeof *s->bias);
    s->banned = calloc(n_vocab / 32 + 1, sizeof *s->banned);
    s->exact = calloc(n_vocab / 32 + 1, sizeof *s->exact);
    s->heap = calloc(n_vocab, sizeof *s->heap);
    s->kept = calloc(n_vocab, sizeof *s->kept);
    s->weights = calloc(n_vocab, sizeof *s->weights);
    s->counts = calloc(n_vocab, sizeof *s->counts);
    s->last = calloc(p->repeat_last_n + 1, sizeof *s->last);
    if (!s->bias || !s->banned || !s->exact || !s->heap || !s->kept || !s->weights || !s->counts ||
        !s->last) {
        bitnet_sampler_close(s);
        return fail(err, BITNET_FAILED, "sampler: out of memory");
    }
    if (p->n_bias)
        memcpy(s->bias, p->bias, p->n_bias * sizeof *s->bias);
    for (size_t id = 0; id < n_vocab; id++) {
        bool stop = bitnet_token_is_stop(t, (int32_t)id);
        if (stop ? p->ignore_eos : !bitnet_token_is_text(t, (int32_t)id))
            s->banned[id / 32] |= 1u << id % 32;
    }
    bitnet_sampler_reset(s, p->seed);
    *out = s;
    return true;
}

void bitnet_sampler_close(struct bitnet_sampler *s)
{
    if (!s)
        return;
    free(s->bias);
    free(s->banned);
    free(s->exact);
    free(s->heap);
    free(s->kept);
    free(s->weights);
    free(s->counts);
    free(s->last);
    free(s);
}

void bitnet_sampler_reset(struct bitnet_sampler *s, uint64_t seed)
{
    s->state = seed;
    s->n_last = s->next_last = 0;
    memset(s->counts, 0, s->n_vocab * sizeof *s->counts);
}

void bitnet_sampler_see(struct bitnet_sampler *s, int32_t token)
{
    size_t n = s->params.repeat_last_n;
    if (n == 0 || token < 0 || (size_t)token >= s->n_vocab)
        return;
    if (s->n_last == n)
        s->counts[s->last[s->next_last]]--;
    else
        s->n_last++;
    s->last[s->next_last] = token;
    s->next_last = (s->next_last + 1) % n;
    s->counts[token]++;
}

static bool penalizes(const struct bitnet_sampling *p)
{
    return p->repeat_penalty != 1 || p->presence_penalty != 0 || p->frequency_penalty != 0;
}

/* Of so many candidates one is drawn, before top-p and min-p. */
static size_t n_top(const struct bitnet_sampler *s)
{
    int k = s->params.top_k;
    return s->params.temp == 0 ? 1 : k > 0 && (size_t)k < s->n_vocab ? (size_t)k : s->n_vocab;
}

size_t sampler_needs(struct bitnet_sampler *s, const uint32_t **banned, const uint32_t **exact)
{
    const struct bitnet_sampling *p = &s->params;
    size_t n_penalized = penalizes(p) ? s->n_last : 0;
    memset(s->exact, 0, (s->n_vocab / 32 + 1) * sizeof *s->exact);
    for (size_t i = 0; i < n_penalized; i++)
        s->exact[s->last[i] / 32] |= 1u << s->last[i] % 32;
    for (size_t i = 0; i < p->n_bias; i++)
        s->exact[s->bias[i].token / 32] |= 1u << s->bias[i].token % 32;
    *banned = s->banned;
    *exact = s->exact;
    return n_top(s) == s->n_vocab ? 0 : n_top(s);
}

static void penalize(const struct bitnet_sampler *s, float *logits)
{
    const struct bitnet_sampling *p = &s->params;
    if (!penalizes(p))
        return;
    for (size_t i = 0; i < s->n_last; i++) {
        int32_t id = s->last[i];
        bool first = true; /* each id once, at its first place in the ring */
        for (size_t j = 0; first && s->counts[id] > 1 && j < i; j++)
            first = s->last[j] != id;
        if (!first)
            continue;
        float l = logits[id];
        l = l > 0 ? l / p->repeat_penalty : l * p->repeat_penalty;
        logits[id] = l - p->presence_penalty - (float)s->counts[id] * p->frequency_penalty;
    }
}

static bool before(struct candidate a, struct candidate b)
{
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

static void sift_down(struct candidate *heap, size_t n, size_t i)
{
    struct candidate c = heap[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && before(heap[child + 1], heap[child]))
            child++;
        if (!before(heap[child], c))
            break;
        heap[i] = heap[child];
    }
    heap[i] = c;
}

static struct candidate pop(struct candidate *heap, size_t *n)
{
    struct candidate top = heap[0];
    heap[0] = heap[--*n];
    if (*n > 0)
        sift_down(heap, *n, 0);
    return top;
}

static void make_heap(struct candidate *heap, size_t n)
{
    for (size_t i = n / 2; i-- > 0;)
        sift_down(heap, n, i);
}

/* The best k of the n candidates, best first, which is a heap too. */
static void keep_best(struct bitnet_sampler *s, size_t n, size_t k)
{
    make_heap(s->heap, n);
    for (size_t i = 0; i < k; i++)
        s->kept[i] = pop(s->heap, &n);
    memcpy(s->heap, s->kept, k * sizeof *s->heap);
}

/* What may be drawn and is among the top k, as a heap; returns how many. */
static size_t gather(struct bitnet_sampler *s, const float *logits, const uint32_t *allowed)
{
    size_t k = n_top(s), room = k + SLACK, n = 0;
    float least = -INFINITY; /* k are as good, and of equals the earlier ids */
    /* nor is a logit drawn that is not a number: inf - inf */
    for (size_t id = 0; (id = scan_above(logits, s->n_vocab, id, least)) < s->n_vocab; id++) {
        uint32_t bit = 1u << id % 32;
        if (s->banned[id / 32] & bit || (allowed && !(allowed[id / 32] & bit)))
            continue;
        s->heap[n++] = (struct candidate){logits[id], (int32_t)id};
        if (n == room) {
            keep_best(s, n, k);
            n = k;
            least = s->heap[k - 1].logit;
        }
    }
    /* Of exactly k the rest may only have been left out: they are drawn from in the same order. */
    if (n < k || k == s->n_vocab) {
        make_heap(s->heap, n);
        return n;
    }
    keep_best(s, n, k);
    return k;
}

/* How far a logit lies below the largest; infinities, which biases make, are all as large. */
static double below(float logit, float max)
{
    return logit == max ? 0 : (double)logit - (double)max;
}

/* Pops into kept what top-p and min-p leave; probabilities here are at temperature 1. */
static size_t limit(struct bitnet_sampler *s, size_t n_heap)
{
    const struct bitnet_sampling *p = &s->params;
    float max = s->heap[0].logit;
    double total = 0, sum = 0;
    size_t n;
    if (p->top_p >= 1 && p->min_p <= 0) {
        memcpy(s->kept, s->heap, n_heap * sizeof *s->kept); /* in heap order: the best is first */
        return n_heap;
    }
    if (p->top_p < 1) {
        for (size_t i = 0; i < n_heap; i++)
            total += fmath_exp(below(s->heap[i].logit, max));
    }
    for (n = 0; n_heap > 0; n++) {
        s->kept[n] = pop(s->heap, &n_heap);
        double w = fmath_exp(below(s->kept[n].logit, max));
        if (n > 0 && ((p->top_p < 1 && sum >= p->top_p * total) || w < p->min_p))
            break;
        sum += w;
    }
    return n;
}

static double next_uniform(struct bitnet_sampler *s)
{
    uint64_t z = s->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

static int32_t draw(struct bitnet_sampler *s, size_t n_kept)
{
    float max = s->kept[0].logit;
    double total = 0, sum = 0;
    for (size_t i = 0; i < n_kept; i++) {
        s->weights[i] = fmath_exp(below(s->kept[i].logit, max) / s->params.temp);
        total += s->weights[i];
    }
    double target = next_uniform(s) * total;
    for (size_t i = 0; i < n_kept; i++) {
        sum += s->weights[i];
        if (sum > target)
            return s->kept[i].id;
    }
    return s->kept[n_kept - 1].id;
}

int32_t bitnet_sample(struct bitnet_sampler *s, float *logits, const uint32_t *allowed)
{
    penalize(s, logits);
    for (size_t i = 0; i < s->params.n_bias; i++)
        logits[s->bias[i].token] += s->bias[i].bias;
    size_t n = gather(s, logits, allowed);
    if (n == 0)
        return -1;
    int32_t id = s->params.temp == 0 ? s->heap[0].id : draw(s, limit(s, n));
    bitnet_sampler_see(s, id);
    return id;
}

double bitnet_logprob(const float *logits, size_t n_vocab, int32_t token)
{
    double max = -INFINITY, total = 0;
    for (size_t i = 0; i < n_vocab; i++)
        max = logits[i] > max ? logits[i] : max;
    for (size_t i = 0; i < n_vocab; i++)
        total += fmath_exp((double)logits[i] - max);
    return (double)logits[token] - max - fmath_log(total);
}

size_t bitnet_top_logprobs(const float *logits, size_t n_vocab, size_t n_top, int32_t *ids,
                           double *logprobs)
{
    size_t n = 0;
    for (size_t id = 0; id < n_vocab; id++) {
        struct candidate c = {logits[id], (int32_t)id};
        size_t i = n < n_top ? n : n_top;
        while (i > 0 && before(c, (struct candidate){logits[ids[i - 1]], ids[i - 1]})) {
            if (i < n_top)
                ids[i] = ids[i - 1];
            i--;
        }
        if (i < n_top)
            ids[i] = c.id;
        n += n < n_top;
    }
    double top = n > 0 ? bitnet_logprob(logits, n_vocab, ids[0]) : 0;
    for (size_t i = 0; i < n; i++)
        logprobs[i] = top + ((double)logits[ids[i]] - (double)logits[ids[0]]);
    return n;
}
