/* scan.c: see scan.h. */
#include "src/scan.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { TOGETHER = 16 };

size_t scan_above(const float *x, size_t n, size_t from, float least)
{
    size_t i = from;
    if (i < n && x[i] > least) /* where much is found, nothing is judged twice */
        return i;
    for (int above = 0; i + TOGETHER <= n; i += TOGETHER) {
        for (int j = 0; j < TOGETHER; j++)
            above |= x[i + j] > least;
        if (above)
            break;
    }
    while (i < n && !(x[i] > least))
        i++;
    return i;
}

size_t scan_odd(const float *x, size_t n, bool may_be_minus_infinity)
{
    const uint32_t exponent = 0x7f800000, allowed = may_be_minus_infinity ? 0xff800000 : 0;
    size_t i = 0;
    for (; i + TOGETHER <= n; i += TOGETHER) {
        uint32_t bits[TOGETHER], odd = 0;
        memcpy(bits, x + i, sizeof bits);
        for (int j = 0; j < TOGETHER; j++)
            odd |= ((bits[j] & exponent) == exponent) & (bits[j] != allowed);
        if (odd)
            break;
    }
    while (i < n && (isfinite(x[i]) || (may_be_minus_infinity && x[i] == -INFINITY)))
        i++;
    return i;
}
