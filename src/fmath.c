/* fmath.c: see fmath.h. Each function reduces its argument to a small interval and sums the Taylor
 * series there, highest power first; the number of terms leaves a truncation error below 2^-54. */
#include "src/fmath.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

static const double LN2_HIGH = 6.93147180369123816490e-01; /* 33 bits: k * LN2_HIGH is exact */
static const double LN2_LOW = 1.90821492927058770002e-10;

/* 2^k for k in the normal range. */
static double power_of_two(int k)
{
    uint64_t bits = (uint64_t)(k + 1023) << 52;
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

double fmath_exp(double x)
{
    if (x != x)
        return x;
    if (x > 709.78)
        return INFINITY;
    if (x < -745.0)
        return 0.0;
    double k = floor(x * 1.44269504088896340736 + 0.5);
    double r = (x - k * LN2_HIGH) - k * LN2_LOW; /* |r| <= 0.3466: r^14/14! < 2^-57 */
    double sum = 1.0;
    for (int n = 13; n >= 1; n--)
        sum = 1.0 + r / n * sum;
    int half = (int)k / 2; /* in two steps, so that results below the normal range round once */
    return sum * power_of_two(half) * power_of_two((int)k - half);
}

double fmath_log(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int k = (int)(bits >> 52) - 1023;
    bits = (bits & 0xfffffffffffffu) | (uint64_t)1023 << 52;
    double m;
    memcpy(&m, &bits, sizeof m);
    if (m > 1.41421356237309504880) {
        m *= 0.5;
        k++;
    }
    /* log m = 2 atanh(s), s = (m-1)/(m+1), |s| <= 0.1716: s^23/23 < 2^-62 */
    double s = (m - 1.0) / (m + 1.0);
    double s2 = s * s, sum = 0.0;
    for (int n = 21; n >= 1; n -= 2)
        sum = sum * s2 + 1.0 / n;
    return k * LN2_HIGH + (k * LN2_LOW + 2.0 * s * sum);
}

void fmath_sincos(double x, double *s, double *c)
{
    /* pi/2 in three parts of 33 bits each (fdlibm's split): k * part is exact for k < 2^20, and the
     * rest is below 2^-90 of a turn. */
    double k = floor(x * 0.63661977236758134308 + 0.5);
    double r = ((x - k * 1.57079632673412561417e+00) - k * 6.07710050630396597660e-11) -
               k * 2.02226624879595063154e-21;
    double r2 = r * r, sine = 1.0, cosine = 1.0;
    for (int n = 17; n >= 3; n -= 2) /* |r| <= pi/4: r^19/19! < 2^-60 */
        sine = 1.0 - r2 / (n * (n - 1)) * sine;
    for (int n = 18; n >= 2; n -= 2)
        cosine = 1.0 - r2 / (n * (n - 1)) * cosine;
    sine *= r;
    switch ((int64_t)k & 3) {
    case 0: *s = sine, *c = cosine; break;
    case 1: *s = cosine, *c = -sine; break;
    case 2: *s = -sine, *c = -cosine; break;
    default: *s = -cosine, *c = sine; break;
    }
}

double fmath_pow(double base, double y)
{
    return fmath_exp(y * fmath_log(base));
}
