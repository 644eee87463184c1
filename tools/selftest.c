/* selftest.c: `bitnet selftest`: the self-test of every start at length: every tier of this
 * machine, many shapes and data. */
#include <stdio.h>
#include <string.h>

#include "kernels/dispatch.h"
#include "kernels/selftest.h"
#include "src/cmd_out.h"
#include "tools/tools.h"

/* Widths around every line, chunk and vector length, and those of real models. */
static const size_t widths[] = {2,   7,   16,  20,  31,  32,  33,  63,  64,  65,  80,   127,
                                128, 129, 160, 255, 256, 257, 320, 511, 512, 700, 1024, 2560};

static bool test_tier(const char *tier, const struct kernels *scalar, size_t *n_compared,
                      struct selftest *test)
{
    struct kernels k;
    kernels_fill(&k, tier);
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        for (uint32_t seed = 1; seed <= (widths[i] < 700 ? 6u : 1u); seed++) {
            *test = (struct selftest){.n_cols = widths[i], .n_tok = 2 + (seed * 7 + i) % 24,
                                      .seed = seed};
            bool ok = selftest_run(test, &k, scalar);
            *n_compared += test->n_compared;
            if (!ok) {
                return false;
            }
        }
    }
    return true;
}

int tool_selftest(int argc, char **argv)
{
    struct args a;
    int status;
    if (!cmd_begin(&a, "selftest", argc, argv, &status)) {
        return status;
    }
    struct kernels scalar;
    struct selftest test;
    const char *tier;
    bool usable, all_ok = true;
    struct bitnet_error err = {0};
    kernels_fill(&scalar, "scalar");
    for (size_t i = 1; err.code == BITNET_OK && (tier = kernels_tier(i, &usable)) != NULL; i++) {
        size_t n_compared = 0;
        if (!usable) {
            printf("%-13s skip: this machine cannot run it\n", tier);
        } else if (test_tier(tier, &scalar, &n_compared, &test)) {
            printf("%-13s ok: %zu results, each the bits of scalar\n", tier, n_compared);
        } else {
            printf("%-13s WRONG: %s differs from scalar (%zu columns, %zu tokens, seed %u)\n",
                   tier, test.what, test.n_cols, test.n_tok, (unsigned)test.seed);
            all_ok = false;
        }
        out_flush(&err);
    }
    args_free(&a);
    if (err.code != BITNET_OK) {
        return cmd_fail(&err);
    }
    return all_ok ? BITNET_OK : BITNET_FAILED;
}
