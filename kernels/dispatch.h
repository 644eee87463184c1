/* dispatch.h: what the CPU can do, and which tiers follow from it. kernels.h declares the rest. */
#ifndef KERNELS_DISPATCH_H
#define KERNELS_DISPATCH_H

#include "kernels/kernels.h"

/* Feature bits, those of every architecture together; an AVX bit means that the OS saves the
 * registers too. */
enum cpu_feature {
    CPU_AVX2 = 1 << 0,
    CPU_F16C = 1 << 1,
    CPU_AVX512F = 1 << 2,
    CPU_AVX512BW = 1 << 3,
    CPU_AVX512VL = 1 << 4,
    CPU_AVX512DQ = 1 << 5,
    CPU_AVX512VNNI = 1 << 6,
    CPU_AVX512VBMI = 1 << 7,
    CPU_AVX512VPOPCNTDQ = 1 << 8,
    CPU_AVX512BITALG = 1 << 9,
    CPU_AVX512VBMI2 = 1 << 10,
    CPU_ZEN4 = 1 << 11, /* not what it can do, but how: see zen4_ternary.c */
    CPU_NEON = 1 << 12,
    CPU_DOTPROD = 1 << 13,
    CPU_I8MM = 1 << 14,
};

/* What cpuid (hwcap, sysctl) claims; nothing is executed. */
uint32_t cpu_features(void);
/* The features among those claimed whose instructions also run here. */
uint32_t cpu_confirmed(uint32_t claimed);
/* Name of the fastest tier of this architecture on a CPU with these features. */
const char *kernels_best_tier(uint32_t features);
/* Scalar entries, then those of every tier up to the named one; false: no such tier. Whether the
 * machine can run them is not asked. */
bool kernels_fill(struct kernels *k, const char *tier);

#endif
