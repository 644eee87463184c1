/* machine.h: what this machine is, as far as it tells: cores, memory, settings, read
 * speed. The one file of the command line where systems differ. */
#ifndef BITNET_MACHINE_H
#define BITNET_MACHINE_H

#include "src/base.h"

/* Zero or empty: the system does not tell. */
struct machine {
    char cpu[128];
    char tiers[256];                /* all of this architecture: "scalar avx2 -avx512", - unusable */
    int n_online, n_affinity;       /* logical CPUs: of the machine, left by the affinity mask */
    int n_usable;                   /* after the quota too: the default of -t */
    int n_cores;                    /* physical ones among those of the affinity mask */
    int n_performance, n_efficiency; /* hybrid CPUs */
    double quota;                   /* CPUs that a container's quota allows */
    int n_numa;
    double load;                    /* load average of the last minute */
    uint64_t memory_bytes, free_bytes; /* of the machine or its container, whichever is less */
    uint64_t cache_bytes;              /* the last cache that a core reaches */
    char huge_pages[16];            /* always, madvise, never */
    char governor[32];              /* of the CPU's frequency */
};
void machine_read(struct machine *m);

/* GB/s of plain reads from memory, the median of several passes with so many threads. */
bool machine_read_speed(int n_threads, double *gb_per_s, struct bitnet_error *err);

#endif
