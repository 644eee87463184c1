/* rope.c: see rope.h. Computed in double with our own functions: the same bits on every libm. */
#include "src/rope.h"

#include <math.h>

#include "src/fmath.h"

static const double PI = 3.14159265358979323846;

void rope_lay_out(struct rope_table *t, struct arena *a, const struct rope *r)
{
    t->n_pairs = r->n_rot / 2;
    t->frequency = arena_take(a, t->n_pairs, sizeof *t->frequency);
}

/* YaRN: the pair that turns n_turns times within the original context. */
static double pair_of_turns(const struct rope *r, double n_turns)
{
    return (double)r->n_rot * fmath_log((double)r->n_ctx_orig / (n_turns * 2.0 * PI)) /
           (2.0 * fmath_log(r->base));
}

/* The share of the interpolated frequency in pair j: 0 for the fast pairs, which keep their own, 1
 * for the slow ones, which are stretched, a ramp in between. */
static double stretched_share(const struct rope *r, size_t j)
{
    double low = floor(pair_of_turns(r, r->beta_fast)), high = ceil(pair_of_turns(r, r->beta_slow));
    double last = (double)r->n_rot - 1.0;
    low = low < 0.0 ? 0.0 : low;
    high = high > last ? last : high;
    double share = ((double)j - low) / (high - low < 0.001 ? 0.001 : high - low);
    return share < 0.0 ? 0.0 : share > 1.0 ? 1.0 : share;
}

void rope_fill(struct rope_table *t, const struct rope *r)
{
    t->magnitude =
        r->scaling == ROPE_YARN ? r->attn_factor * (1.0 + 0.1 * fmath_log(r->factor)) : 1.0;
    for (size_t j = 0; j < t->n_pairs; j++) {
        double f = fmath_pow(r->base, -2.0 * (double)j / (double)r->n_rot);
        if (r->scaling == ROPE_LINEAR)
            f /= r->factor;
        if (r->scaling == ROPE_YARN) {
            double share = stretched_share(r, j);
            f = f / r->factor * share + f * (1.0 - share);
        }
        t->frequency[j] = f;
    }
}

void rope_angles(const struct rope_table *t, size_t pos, float *cosine, float *sine)
{
    for (size_t j = 0; j < t->n_pairs; j++) {
        double s, c;
        fmath_sincos((double)pos * t->frequency[j], &s, &c);
        cosine[j] = (float)(c * t->magnitude);
        sine[j] = (float)(s * t->magnitude);
    }
}
