/* kernel_cases.h: what the families of check_kernels share: tiers, guarded buffers, random data
 * of several kinds, and the account of each case.
 *
 * A case is one call of one entry on one set of data. Its data come from its seed alone, its
 * seed from what it is (kernel, shape, kind of data), so a printed seed finds it again. The
 * family makes the data, calls the scalar entry, then each tier's, and compares by memcmp:
 *
 *     if (!case_begin(h, kernel, "n_cols 17 ...")) return;       not the one that --seed wants
 *     in = guard_take(h, SLOT_A, n_bytes); ... fill in ...; guard_freeze(h, SLOT_A);
 *     scalar(out_spec, in);
 *     for (size_t i = 1; i < h->n_tiers; i++)
 *         if (case_tier(h, i, tier i's entry != tier i-1's)) {
 *             tier i(out_tested, in);
 *             case_floats(h, i, out_spec, out_tested, n);
 *         }
 */
#ifndef TESTS_KERNEL_CASES_H
#define TESTS_KERNEL_CASES_H

#include "kernels/kernels.h"

/* Buffers of a case. Each ends against a page without access and has a margin in front that
 * guard_intact compares; a frozen one cannot be written. */
enum { N_SLOTS = 12, SLOT_BYTES = 48 << 20, MARGIN_BYTES = 256, MAX_TIERS = 8 };

/* Kinds of data. */
enum data_kind { DATA_RANDOM, DATA_EXTREME, DATA_ZERO, DATA_DECADES, N_DATA };

struct tally {
    char kernel[32];
    size_t n_cases[MAX_TIERS], n_bad[MAX_TIERS];
};

struct harness {
    struct kernels tiers[MAX_TIERS]; /* 0: scalar, the specification */
    size_t n_tiers, n_absent; /* absent: of this architecture, not of this machine */
    const char *only_tier, *only_kernel, *not_kernel; /* NULL: all, all, none */
    uint64_t only_seed;                               /* 0: all */
    uint64_t every;                                   /* one case in so many, 0 or 1: each */
    bool all;                            /* every crossing, not a sample */
    uint8_t *slot_end[N_SLOTS];
    size_t slot_used[N_SLOTS]; /* bytes with the margin; 0: not yet taken */
    struct tally tallies[64];
    size_t n_tallies;
    struct tally *tally; /* of the case under way */
    char what[256];
    uint64_t seed, state;
};

void harness_open(struct harness *h); /* memory and the crash handler */
void tiers_open(struct harness *h);   /* fills tiers; says which are not to be had here */

/* Names the case; false when options leave it out. Seeds the data. */
bool case_begin(struct harness *h, const char *kernel, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Is tier i to be called: wanted, and with code of its own? Arms the crash message. */
bool case_tier(struct harness *h, size_t i, bool own_code);
/* Compares and counts; also the margins of every slot. Prints the first difference. */
void case_floats(struct harness *h, size_t i, const float *want, const float *got, size_t n);
void case_bytes(struct harness *h, size_t i, const void *want, const void *got, size_t n_bytes);

/* n_bytes that end at the guard page: 64-byte aligned when n_bytes is a multiple of 64. */
void *guard_take(struct harness *h, size_t slot, size_t n_bytes);
void guard_freeze(struct harness *h, size_t slot);

uint32_t draw(struct harness *h, uint32_t below);            /* 0 .. below-1 */
int draw_int(struct harness *h, int low, int high);          /* inclusive */
float draw_float(struct harness *h, enum data_kind kind);    /* by kind: six decades, ... */
uint16_t draw_half(struct harness *h, enum data_kind kind);  /* the same as a half, finite */

/* The families. */
void check_matrix(struct harness *h);
void check_attention(struct harness *h);
void check_element(struct harness *h);

/* --bench: times an entry of every tier, of() giving it, beside a plain read. */
void bench_matrix(struct harness *h);
void bench_entry(struct harness *h, const char *name, enum encoding e, uint32_t group,
                 enum act_kind act, matmul_fn *(*of)(const struct kernels *));

#endif
