/* test_dispatch.c: which tiers follow from which features, and that selecting one behaves. With
 * arguments it prints what was selected: `test_dispatch --print` for scripts. */
#include <math.h>
#include <string.h>

#include "kernels/dispatch.h"
#include "kernels/selftest.h"
#include "tests/check.h"

static bool has_tier(const char *name)
{
    bool usable;
    const char *tier;
    for (size_t i = 0; (tier = kernels_tier(i, &usable)) != NULL; i++)
        if (strcmp(tier, name) == 0)
            return true;
    return false;
}

static void best(uint32_t features, const char *want)
{
    const char *got = kernels_best_tier(features);
    CHECK(strcmp(got, want) == 0, "features 0x%x: %s, want %s", (unsigned)features, got, want);
}

static void check_x86(void)
{
    const uint32_t avx2 = CPU_AVX2 | CPU_F16C;
    const uint32_t skylake = avx2 | CPU_AVX512F | CPU_AVX512BW | CPU_AVX512VL | CPU_AVX512DQ;
    const uint32_t all = skylake | CPU_AVX512VNNI | CPU_AVX512VBMI | CPU_AVX512VPOPCNTDQ |
                         CPU_AVX512BITALG;
    best(0, "scalar");
    best(CPU_AVX2, "scalar"); /* no F16C */
    best(CPU_F16C, "scalar");
    best(avx2, "avx2");
    best(skylake, "avx2"); /* AVX-512 without VNNI */
    best(all, "avx512");
    best(all & ~(uint32_t)CPU_F16C, "scalar");
    for (uint32_t bit = CPU_AVX512F; bit <= CPU_AVX512BITALG; bit <<= 1)
        best(all & ~bit, "avx2");
    best(all | CPU_AVX512VBMI2, "avx512"); /* runs on all of them, and pays on one */
    best(all | CPU_AVX512VBMI2 | CPU_ZEN4, "zen4");
    best(all | CPU_ZEN4, "avx512");
    best(avx2 | CPU_AVX512VBMI2 | CPU_ZEN4, "avx2");
}

static void check_arm(void)
{
    best(0, "scalar");
    best(CPU_NEON, "neon");
    best(CPU_NEON | CPU_DOTPROD, "neon-dotprod");
    best(CPU_NEON | CPU_I8MM, "neon"); /* i8mm without dotprod */
    best(CPU_NEON | CPU_DOTPROD | CPU_I8MM, "neon-i8mm");
    best(CPU_DOTPROD, "scalar");
}

static void check_select(void)
{
    struct kernels k;
    char why[256], note[256];
    bool usable;
    const char *tier;
    for (size_t i = 0; (tier = kernels_tier(i, &usable)) != NULL; i++) {
        bool ok = kernels_select(&k, tier, why, note);
        CHECK(ok == usable, "%s: %s", tier, why);
        CHECK(ok == (why[0] == 0), "%s: '%s'", tier, why);
        CHECK(!ok || strcmp(k.tier, tier) == 0, "%s", k.tier);
    }
    CHECK(!usable, "past the last tier");
    CHECK(!kernels_select(&k, "mmx", why, note), "unknown tier");
    CHECK(strstr(why, "'mmx'") && strstr(why, "scalar"), "%s", why);
    CHECK(kernels_select(&k, NULL, why, note) && note[0] == 0, "%s", note);
}

/* The kernels that each pair of encoding and activations gets. */
static void check_matmul(void)
{
    bool usable;
    const char *tier;
    for (size_t i = 0; (tier = kernels_tier(i, &usable)) != NULL && usable; i++) {
        struct kernels k;
        kernels_fill(&k, tier); /* even filling runs code of the tier */
        const struct matrix_kernels *m = &k.matrix;
        struct matrix b1 = {.encoding = ENC_B1}, t2 = {.encoding = ENC_T2};
        struct matrix f16 = {.encoding = ENC_F16}, f32 = {.encoding = ENC_F32};
        CHECK(kernels_matmul(&k, &b1, ACT_SIGN) == m->b1_sign, "%s", tier);
        CHECK(kernels_matmul(&k, &b1, ACT_I8) == m->b1_i8, "%s", tier);
        CHECK(kernels_matmul(&k, &b1, ACT_I2) == m->b1_i8, "%s", tier);
        CHECK(kernels_matmul(&k, &t2, ACT_I4) == m->t2_i8, "%s", tier);
        CHECK(kernels_matmul(&k, &f16, ACT_F32) == m->f16_f32, "%s", tier);
        CHECK(!kernels_matmul(&k, &f16, ACT_I8) && !kernels_matmul(&k, &f32, ACT_F32), "%s", tier);
    }
}

/* A NaN must not get lost on its way, or broken weights would pass for a model. */
static void check_nan(const struct kernels *k, size_t n, size_t at)
{
    static float x[256], gain[256], y[256];
    static int8_t q[1024];
    static int32_t sum32[32];
    float scale[8];
    for (size_t i = 0; i < n; i++)
        x[i] = (float)i - 40.0f, gain[i] = 1.0f;
    x[at] = NAN;
    k->element.quantize(q, sum32, scale, x, n, act_stride(n), 0, 127);
    CHECK(isnan(scale[0]), "%s: quantize, %zu of %zu", k->tier, at, n);
    k->element.quantize(q, sum32, scale, x, n, act_stride(n), 32, 127);
    CHECK(isnan(scale[at / 32]), "%s: quantize by groups, %zu of %zu", k->tier, at, n);
    k->element.rmsnorm_quantize(q, sum32, scale, x, gain, n, act_stride(n), 0, 127, 1e-5f);
    CHECK(isnan(scale[0]), "%s: rmsnorm_quantize, %zu of %zu", k->tier, at, n);
    k->element.relu2_mul(y, x, gain, n);
    CHECK(isnan(y[at]), "%s: relu2_mul, %zu of %zu", k->tier, at, n);
    k->element.silu_mul(y, x, gain, n);
    CHECK(isnan(y[at]), "%s: silu_mul, %zu of %zu", k->tier, at, n);
    k->attention.softmax(x, n);
    CHECK(isnan(x[0]) && isnan(x[n - 1]), "%s: softmax, %zu of %zu", k->tier, at, n);
}

static void check_nans(void)
{
    bool usable;
    const char *tier;
    for (size_t i = 0; (tier = kernels_tier(i, &usable)) != NULL && usable; i++) {
        struct kernels k;
        kernels_fill(&k, tier);
        for (size_t at = 0; at < 107; at += 53)
            check_nan(&k, 107, at);
    }
}

/* One bit of one output wrong in one entry. */
static void bad_add(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
    if (n > 40)
        y[40] *= 1.0000001f;
}

static void check_selftest(void)
{
    struct kernels k, scalar;
    struct selftest test;
    kernels_fill(&scalar, "scalar");
    k = scalar;
    CHECK(selftest_quick(&test, &k, &scalar), "%s", test.what);
    k.element.add = bad_add;
    CHECK(!selftest_quick(&test, &k, &scalar) && strcmp(test.what, "add") == 0, "%s", test.what);
    k = scalar;
    k.matrix.t2_i8 = scalar.matrix.b1_i8; /* a kernel that reads another layout */
    CHECK(!selftest_quick(&test, &k, &scalar) && strcmp(test.what, "t2_i8") == 0, "%s",
          test.what);
}

int main(int argc, char **argv)
{
    struct kernels k;
    char why[256], note[256];
    if (argc == 2 && strcmp(argv[1], "--print") == 0) {
        kernels_select(&k, NULL, why, note);
        printf("%s%s%s\n", k.tier, note[0] ? ": " : "", note);
        return 0;
    }
    if (has_tier("avx2"))
        check_x86();
    if (has_tier("neon"))
        check_arm();
    /* Claims that are not true must come back withdrawn, not kill the process. */
    const uint32_t past_the_last = ~(2 * (uint32_t)CPU_I8MM - 1);
    CHECK((cpu_confirmed(0xffffffff) & past_the_last) == 0, "no such features");
    CHECK(cpu_confirmed(0) == 0, "confirmed what was not claimed");
    check_select();
    check_matmul();
    check_nans();
    check_selftest();
    return check_done();
}
