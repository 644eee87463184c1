/* check_kernels.c: every kernel of every tier that this machine runs, against the scalar one.
 *
 *     check_kernels [--kernel NAME] [--without NAME] [--tier NAME] [--seed N] [--every N] [--all]
 *                   [--bench]
 *
 * A failure prints kernel, tier, shape, data, seed, the first differing index and both values;
 * --kernel, --tier and --seed repeat it. --every runs one case in N, for slow emulators; --all
 * crosses everything with everything (minutes). */
#include <stdlib.h>
#include <string.h>

#include "tests/check.h"
#include "tests/kernel_cases.h"

static struct harness harness;

static void usage(void)
{
    fprintf(stderr, "usage: check_kernels [--kernel NAME] [--without NAME] [--tier NAME] "
                    "[--seed N] [--every N] [--all] [--bench]\n");
    exit(2);
}

static bool parse(struct harness *h, int argc, char **argv)
{
    bool bench = false;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--bench") == 0)
            bench = true;
        else if (strcmp(argv[i], "--all") == 0)
            h->all = true;
        else if (!value)
            usage();
        else if (strcmp(argv[i], "--kernel") == 0)
            h->only_kernel = value, i++;
        else if (strcmp(argv[i], "--without") == 0)
            h->not_kernel = value, i++;
        else if (strcmp(argv[i], "--every") == 0)
            h->every = strtoull(value, NULL, 10), i++;
        else if (strcmp(argv[i], "--tier") == 0)
            h->only_tier = value, i++;
        else if (strcmp(argv[i], "--seed") == 0)
            h->only_seed = strtoull(value, NULL, 10), i++;
        else
            usage();
    }
    return bench;
}

int main(int argc, char **argv)
{
    struct harness *h = &harness;
    bool bench = parse(h, argc, argv);
    setvbuf(stdout, NULL, _IOLBF, 0);
    harness_open(h);
    tiers_open(h);
    if (bench) {
        bench_matrix(h);
        return 0;
    }
    check_matrix(h);
    check_attention(h);
    check_element(h);
    for (size_t i = 0; i < h->n_tallies; i++)
        for (size_t t = 1; t < h->n_tiers; t++) {
            const struct tally *c = &h->tallies[i];
            if (c->n_cases[t])
                printf("%-12s %-16s %6zu cases\n", h->tiers[t].tier, c->kernel, c->n_cases[t]);
            if (c->n_cases[t])
                CHECK(c->n_bad[t] == 0, "%s %s: %zu of %zu cases differ", h->tiers[t].tier,
                      c->kernel, c->n_bad[t], c->n_cases[t]);
        }
    check_n_skipped = (int)h->n_absent;
    if (h->only_kernel || h->only_tier || h->only_seed)
        CHECK(check_n_passed + check_n_failed > 0, "nothing matches these options");
    return check_done();
}
