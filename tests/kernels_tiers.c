/* kernels_tiers.c: the tiers of this machine for check_kernels: filled without asking for
 * dispatch.c's opinion, whose self-test would set a faulty tier aside before it is checked. */
#include <stdio.h>

#include "kernels/dispatch.h"
#include "tests/kernel_cases.h"

void tiers_open(struct harness *h)
{
    for (size_t i = 0; i < MAX_TIERS; i++) {
        bool usable;
        const char *name = kernels_tier(i, &usable);
        if (!name)
            break;
        if (usable && kernels_fill(&h->tiers[h->n_tiers], name)) {
            h->n_tiers++;
        } else {
            h->n_absent++;
            printf("skip %s: this machine cannot run it\n", name);
        }
    }
}
