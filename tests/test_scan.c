/* test_scan.c: what is looked for, at every place of rows of every length up to a few vectors. */
#include <math.h>

#include "src/scan.h"
#include "tests/check.h"

enum { MOST = 50 };

static void check_place(size_t n, size_t at)
{
    float x[MOST + 1];
    for (size_t i = 0; i <= MOST; i++)
        x[i] = i % 7 == 3 ? -1e30f : (float)i / 100;
    x[n] = INFINITY; /* behind the end */
    x[at] = 2;
    for (size_t from = 0; from <= n; from++)
        CHECK(scan_above(x, n, from, 1) == (from <= at ? at : n), "%zu of %zu from %zu", at, n, from);
    CHECK(scan_above(x, n, 0, 2) == n, "%zu of %zu is not above itself", at, n);
    CHECK(scan_odd(x, n, false) == n && scan_odd(x, n, true) == n, "%zu of %zu: finite", at, n);
    x[at] = NAN;
    CHECK(scan_above(x, n, 0, 1) == n, "NaN at %zu of %zu is above nothing", at, n);
    CHECK(scan_odd(x, n, false) == at && scan_odd(x, n, true) == at, "NaN at %zu of %zu", at, n);
    x[at] = INFINITY;
    CHECK(scan_odd(x, n, false) == at && scan_odd(x, n, true) == at, "inf at %zu of %zu", at, n);
    x[at] = -INFINITY;
    CHECK(scan_odd(x, n, false) == at && scan_odd(x, n, true) == n, "-inf at %zu of %zu", at, n);
    CHECK(scan_above(x, n, 0, -INFINITY) == (at == 0 && n > 1 ? 1 : at == 0 ? n : 0),
          "above -inf, %zu of %zu", at, n);
}

int main(void)
{
    for (size_t n = 1; n <= MOST; n++)
        for (size_t at = 0; at < n; at++)
            check_place(n, at);
    return check_done();
}
