/* scan.h: long rows of logits in which little is to be found. Sixteen are judged together, in plain
 * C of which compilers make vectors. */
#ifndef BITNET_SCAN_H
#define BITNET_SCAN_H

#include <stdbool.h>
#include <stddef.h>

/* The first of x[from..n) above `least`, or n. A NaN is above nothing. */
size_t scan_above(const float *x, size_t n, size_t from, float least);
/* The first of x[0..n) that is no finite number, nor -INFINITY where that may be; or n. */
size_t scan_odd(const float *x, size_t n, bool may_be_minus_infinity);

#endif
