/* test_expf.c: our exp against libm's double one, and half floats against their definition. */
#include <math.h>

#include "kernels/expf.h"
#include "tests/check.h"

static double worst_ulp(float begin, float end)
{
    double worst = 0;
    for (float x = begin; x < end; x += (end - begin) / 2000003) {
        double want = exp((double)x), ulp = ldexp(1.0, ilogb(want) - 23);
        double miss = fabs((double)exp_spec(x) - want) / ulp;
        worst = miss > worst ? miss : worst;
    }
    return worst;
}

static void check_exp(void)
{
    double worst = worst_ulp(-87.33f, 88.37f), near = worst_ulp(-1.0f, 1.0f);
    CHECK(worst <= 1.04, "%g ulp", worst);
    CHECK(near <= 1.04, "%g ulp", near);
    CHECK(exp_spec(0.0f) == 1.0f && exp_spec(-0.0f) == 1.0f, "%a", (double)exp_spec(0.0f));
    CHECK(exp_spec(-88.0f) == 0.0f && exp_spec(-INFINITY) == 0.0f, "underflow");
    CHECK(isinf(exp_spec(88.5f)) && isinf(exp_spec(INFINITY)), "overflow");
    CHECK(isnan(exp_spec(NAN)), "NaN");
}

/* The half's value by its definition. */
static double half_value(unsigned h)
{
    double sign = h & 0x8000 ? -1 : 1;
    int exponent = (int)(h >> 10 & 31), fraction = (int)(h & 1023);
    if (exponent == 31) {
        return fraction ? (double)NAN : sign * (double)INFINITY;
    }
    return exponent ? sign * ldexp(1024 + fraction, exponent - 25) : sign * ldexp(fraction, -24);
}

static void check_half(void)
{
    int wrong = 0, wrong_back = 0, wrong_tie = 0;
    for (unsigned h = 0; h < 65536; h++) {
        float f = half_to_float((uint16_t)h);
        double want = half_value(h);
        if (isnan(want)) {
            wrong += !isnan(f);
            wrong_back += float_to_half(f) != (h | 0x200);
            continue;
        }
        wrong += (double)f != want || !signbit(f) != !(h & 0x8000);
        wrong_back += float_to_half(f) != h;
        if ((h & 0x7fff) < 0x7bff) { /* halfway to the next: to the even one; either side: nearest */
            float mid = (float)((want + half_value(h + 1)) / 2);
            float away = (h & 0x8000) ? -INFINITY : INFINITY;
            wrong_tie += float_to_half(mid) != h + (h & 1);
            wrong_tie += float_to_half(nextafterf(mid, 0.0f)) != h;
            wrong_tie += float_to_half(nextafterf(mid, away)) != h + 1;
        }
    }
    CHECK(wrong == 0, "%d halves", wrong);
    CHECK(wrong_back == 0, "%d halves", wrong_back);
    CHECK(wrong_tie == 0, "%d ties", wrong_tie);
    CHECK(float_to_half(65519.0f) == 0x7bff && float_to_half(65520.0f) == 0x7c00, "overflow");
    CHECK(float_to_half(1e30f) == 0x7c00 && float_to_half(-1e-30f) == 0x8000, "ends");
}

int main(void)
{
    check_exp();
    check_half();
    int wrong = 0;
    for (int i = -1000; i <= 1000; i++) {
        wrong += round_even((float)i * 0.25f) != (int)rint(i * 0.25);
    }
    CHECK(wrong == 0, "%d", wrong);
    return check_done();
}
