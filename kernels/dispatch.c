/* dispatch.c: which tiers this machine can run, and their tables.
 *
 * A tier is trusted in three steps: cpuid (hwcap, sysctl) claims its features and the OS saves its
 * registers; each feature's own instruction runs without SIGILL, because there are virtual
 * machines whose cpuid claims VBMI or VNNI that trap; the self-test gives scalar's bits. Features
 * are read from cpuid itself: compilers differ in the names that they know, and some of their
 * numberings were wrong.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "kernels/dispatch.h"
#include "kernels/peak.h"
#include "kernels/selftest.h"

struct feature_probe {
    uint32_t feature;
    void (*run)(void); /* NULL: a name, which nothing can show to be false */
};

struct tier {
    const char *name;
    uint32_t needs; /* of this tier alone; those below it are needed too */
    uint32_t suits; /* without these it runs, but the tiers below are as fast or faster */
    void (*fill)(struct kernels *k);
    void (*peak)(struct peak *p);
};

static void fill_scalar(struct kernels *k)
{
    fill_scalar_ternary(&k->matrix);
    fill_scalar_binary(&k->matrix);
    fill_scalar_head(&k->matrix);
    fill_scalar_attention(&k->attention);
    fill_scalar_element(&k->element);
}

#if defined(__x86_64__)
#include <cpuid.h>

/* AMD's family 25 holds Zen 3, which has no AVX-512, and Zen 4. */
static bool is_zen4(void)
{
    uint32_t a, b, c, d;
    if (!__get_cpuid(0, &a, &b, &c, &d) || b != signature_AMD_ebx || c != signature_AMD_ecx ||
        d != signature_AMD_edx || !__get_cpuid(1, &a, &b, &c, &d)) {
        return false;
    }
    return (a >> 8 & 15) + (a >> 20 & 255) == 25;
}

uint32_t cpu_features(void)
{
    uint32_t a, b, c, d, features = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1)) { /* OSXSAVE */
        return 0;
    }
    uint32_t xcr0, xcr0_high;
    __asm__ volatile("xgetbv" : "=a"(xcr0), "=d"(xcr0_high) : "c"(0));
    bool ymm = (xcr0 & 0x06) == 0x06, zmm = (xcr0 & 0xe6) == 0xe6;
    bool f16c = ymm && (c >> 28 & 1) && (c >> 29 & 1); /* AVX, F16C */
    if (!ymm || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        return 0;
    }
    features |= b >> 5 & 1 ? CPU_AVX2 : 0;
    features |= f16c ? CPU_F16C : 0;
    if (zmm) {
        features |= b >> 16 & 1 ? CPU_AVX512F : 0;
        features |= b >> 17 & 1 ? CPU_AVX512DQ : 0;
        features |= b >> 30 & 1 ? CPU_AVX512BW : 0;
        features |= b >> 31 & 1 ? CPU_AVX512VL : 0;
        features |= c >> 1 & 1 ? CPU_AVX512VBMI : 0;
        features |= c >> 6 & 1 ? CPU_AVX512VBMI2 : 0;
        features |= c >> 11 & 1 ? CPU_AVX512VNNI : 0;
        features |= c >> 12 & 1 ? CPU_AVX512BITALG : 0;
        features |= c >> 14 & 1 ? CPU_AVX512VPOPCNTDQ : 0;
    }
    return features | (is_zen4() ? CPU_ZEN4 : 0);
}

/* xmm0 stands for all of ymm0 and zmm0 in a clobber list. */
static void run_avx2(void)
{
    __asm__ volatile("vpaddd %%ymm0, %%ymm0, %%ymm0; vzeroupper" ::: "xmm0");
}
static void run_f16c(void)
{
    __asm__ volatile("vcvtph2ps %%xmm0, %%ymm0; vzeroupper" ::: "xmm0");
}
static void run_avx512f(void)
{
    __asm__ volatile("vpaddd %%zmm0, %%zmm0, %%zmm0; vzeroupper" ::: "xmm0");
}
static void run_avx512bw(void)
{
    __asm__ volatile("vpaddb %%zmm0, %%zmm0, %%zmm0; vzeroupper" ::: "xmm0");
}
static void run_avx512vl(void)
{
    __asm__ volatile("vpternlogd $0, %%ymm0, %%ymm0, %%ymm0; vzeroupper" ::: "xmm0");
}
static void run_avx512dq(void)
{
    __asm__ volatile("vpmullq %%zmm0, %%zmm0, %%zmm0; vzeroupper" ::: "xmm0");
}
static void run_avx512vnni(void)
{
    __asm__ volatile("vpdpbusd %%zmm0, %%zmm0, %%zmm0; vzeroupper" ::: "xmm0");
}
static void run_avx512vbmi(void)
{
    __asm__ volatile("vpermb %%zmm0, %%zmm0, %%zmm0; vzeroupper" ::: "xmm0");
}
static void run_avx512vbmi2(void)
{
    __asm__ volatile("vpshldw $1, %%zmm0, %%zmm0, %%zmm0; vzeroupper" ::: "xmm0");
}
static void run_avx512vpopcntdq(void)
{
    __asm__ volatile("vpopcntq %%zmm0, %%zmm0; vzeroupper" ::: "xmm0");
}
static void run_avx512bitalg(void)
{
    __asm__ volatile("vpopcntb %%zmm0, %%zmm0; vzeroupper" ::: "xmm0");
}

static const struct feature_probe probes[] = {
    {CPU_AVX2, run_avx2},
    {CPU_F16C, run_f16c},
    {CPU_AVX512F, run_avx512f},
    {CPU_AVX512BW, run_avx512bw},
    {CPU_AVX512VL, run_avx512vl},
    {CPU_AVX512DQ, run_avx512dq},
    {CPU_AVX512VNNI, run_avx512vnni},
    {CPU_AVX512VBMI, run_avx512vbmi},
    {CPU_AVX512VBMI2, run_avx512vbmi2},
    {CPU_ZEN4, NULL},
    {CPU_AVX512VPOPCNTDQ, run_avx512vpopcntdq},
    {CPU_AVX512BITALG, run_avx512bitalg},
};

static void fill_avx2(struct kernels *k)
{
    fill_avx2_ternary(&k->matrix);
    fill_avx2_binary(&k->matrix);
    fill_avx2_head(&k->matrix);
    fill_avx2_i8x2(&k->matrix);
    fill_avx2_attention(&k->attention);
    fill_avx2_element(&k->element);
}

static void fill_avx512(struct kernels *k)
{
    fill_avx512_ternary(&k->matrix);
    fill_avx512_binary(&k->matrix);
    fill_avx512_bits(&k->matrix);
    fill_avx512_head(&k->matrix);
    fill_avx512_i8x2(&k->matrix);
    fill_avx512_attention(&k->attention);
    fill_avx512_element(&k->element);
}

static void fill_zen4(struct kernels *k)
{
    fill_zen4_ternary(&k->matrix);
}

static const struct tier tiers[] = {
    {"scalar", 0, 0, fill_scalar, fill_scalar_peak},
    {"avx2", CPU_AVX2 | CPU_F16C, 0, fill_avx2, fill_avx2_peak},
    {"avx512",
     CPU_AVX512F | CPU_AVX512BW | CPU_AVX512VL | CPU_AVX512DQ | CPU_AVX512VNNI | CPU_AVX512VBMI |
         CPU_AVX512VPOPCNTDQ | CPU_AVX512BITALG,
     0, fill_avx512, fill_avx512_peak},
    {"zen4", CPU_AVX512VBMI2, CPU_ZEN4, fill_zen4, fill_avx512_peak},
};

#elif defined(__aarch64__)

#if defined(__APPLE__)
#include <sys/sysctl.h>

static bool has(const char *name)
{
    int value = 0;
    size_t n_bytes = sizeof value;
    return sysctlbyname(name, &value, &n_bytes, NULL, 0) == 0 && value;
}

uint32_t cpu_features(void)
{
    return CPU_NEON | (has("hw.optional.arm.FEAT_DotProd") ? CPU_DOTPROD : 0) |
           (has("hw.optional.arm.FEAT_I8MM") ? CPU_I8MM : 0);
}
#else
#include <sys/auxv.h>

uint32_t cpu_features(void)
{
    unsigned long caps = getauxval(AT_HWCAP), caps2 = getauxval(AT_HWCAP2);
    return (caps >> 1 & 1 ? CPU_NEON : 0) | (caps >> 20 & 1 ? CPU_DOTPROD : 0) |
           (caps2 >> 13 & 1 ? CPU_I8MM : 0);
}
#endif

/* As words, so that an assembler for armv8.0 takes them. */
static void run_neon(void)
{
    __asm__ volatile("add v0.4s, v0.4s, v0.4s" ::: "v0");
}
static void run_dotprod(void)
{
    __asm__ volatile(".inst 0x4e809400" ::: "v0"); /* sdot v0.4s, v0.16b, v0.16b */
}
static void run_i8mm(void)
{
    __asm__ volatile(".inst 0x4e80a400" ::: "v0"); /* smmla v0.4s, v0.16b, v0.16b */
}

static const struct feature_probe probes[] = {
    {CPU_NEON, run_neon},
    {CPU_DOTPROD, run_dotprod},
    {CPU_I8MM, run_i8mm},
};

static void fill_neon(struct kernels *k)
{
    fill_neon_ternary(&k->matrix);
    fill_neon_binary(&k->matrix);
    fill_neon_head(&k->matrix);
    fill_neon_attention(&k->attention);
    fill_neon_element(&k->element);
}

static void fill_neondot(struct kernels *k)
{
    fill_neondot_ternary(&k->matrix);
    fill_neondot_head(&k->matrix);
}

static void fill_neoni8mm(struct kernels *k)
{
    fill_neoni8mm_ternary(&k->matrix);
}

static const struct tier tiers[] = {
    {"scalar", 0, 0, fill_scalar, fill_scalar_peak},
    {"neon", CPU_NEON, 0, fill_neon, fill_neon_peak},
    {"neon-dotprod", CPU_DOTPROD, 0, fill_neondot, fill_neondot_peak},
    {"neon-i8mm", CPU_I8MM, 0, fill_neoni8mm, fill_neoni8mm_peak},
};

#else

uint32_t cpu_features(void)
{
    return 0;
}

static const struct feature_probe probes[] = {{0, NULL}};
static const struct tier tiers[] = {{"scalar", 0, 0, fill_scalar, fill_scalar_peak}};
#endif

enum { N_TIERS = sizeof tiers / sizeof *tiers };

static sigjmp_buf trap;

static void on_sigill(int signal_number)
{
    siglongjmp(trap, signal_number);
}

uint32_t cpu_confirmed(uint32_t claimed)
{
    struct sigaction guard = {.sa_handler = on_sigill}, before;
    sigemptyset(&guard.sa_mask);
    if (sigaction(SIGILL, &guard, &before) != 0) {
        return 0;
    }
    volatile uint32_t confirmed = 0;
    for (volatile size_t i = 0; i < sizeof probes / sizeof *probes; i++) {
        if (!(claimed & probes[i].feature)) {
            continue;
        }
        if (sigsetjmp(trap, 1) == 0) {
            if (probes[i].run) {
                probes[i].run();
            }
            confirmed |= probes[i].feature;
        }
    }
    sigaction(SIGILL, &before, NULL);
    return confirmed;
}

/* Index of the highest tier that runs; each needs its own features and those of the tiers below. */
static size_t highest_tier(uint32_t features)
{
    size_t i = 0;
    while (i + 1 < N_TIERS && (features & tiers[i + 1].needs) == tiers[i + 1].needs) {
        i++;
    }
    return i;
}

/* And of the fastest. */
static size_t best_tier(uint32_t features)
{
    size_t i = highest_tier(features);
    while ((features & tiers[i].suits) != tiers[i].suits) {
        i--;
    }
    return i;
}

const char *kernels_best_tier(uint32_t features)
{
    return tiers[best_tier(features)].name;
}

static size_t best_here, highest_here;

static void find_tiers(void)
{
    const uint32_t features = cpu_confirmed(cpu_features());
    best_here = best_tier(features);
    highest_here = highest_tier(features);
}

static void know_tiers(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find_tiers);
}

const char *kernels_tier(size_t i, bool *usable)
{
    know_tiers();
    *usable = i <= highest_here;
    return i < N_TIERS ? tiers[i].name : NULL;
}

static size_t tier_index(const char *name)
{
    size_t i = 0;
    while (i < N_TIERS && strcmp(tiers[i].name, name) != 0) {
        i++;
    }
    return i;
}

bool kernels_fill(struct kernels *k, const char *tier)
{
    size_t last = tier_index(tier);
    if (last == N_TIERS) {
        return false;
    }
    memset(k, 0, sizeof *k);
    for (size_t i = 0; i <= last; i++) {
        tiers[i].fill(k);
    }
    k->tier = tiers[last].name;
    return true;
}

bool kernels_peak(struct peak *p, const char *tier)
{
    size_t last = tier_index(tier);
    for (size_t i = 0; last < N_TIERS && i <= last; i++) {
        tiers[i].peak(p);
    }
    return last < N_TIERS;
}

static bool select_named(struct kernels *k, const char *tier, char why[256])
{
    size_t i = tier_index(tier);
    if (i == N_TIERS) {
        int n = snprintf(why, 256, "no tier '%.32s'; this architecture has", tier);
        for (size_t j = 0; j < N_TIERS; j++) {
            n += snprintf(why + n, 256 - (size_t)n, " %s", tiers[j].name);
        }
        return false;
    }
    know_tiers();
    if (i > highest_here) {
        snprintf(why, 256, "this machine cannot run tier '%s'; its best is '%s'", tier,
                 tiers[best_here].name);
        return false;
    }
    struct kernels scalar;
    struct selftest test;
    kernels_fill(k, tier);
    kernels_fill(&scalar, "scalar");
    if (!selftest_quick(&test, k, &scalar)) {
        snprintf(why, 256, "tier '%s' gives wrong numbers here (%s); 'bitnet selftest' says more",
                 tier, test.what);
        return false;
    }
    return true;
}

bool kernels_select(struct kernels *k, const char *tier, char why[256], char note[256])
{
    why[0] = note[0] = 0;
    if (tier) {
        return select_named(k, tier, why);
    }
    struct kernels scalar;
    struct selftest test;
    kernels_fill(&scalar, "scalar");
    know_tiers();
    for (size_t i = best_here; i > 0; i--) {
        kernels_fill(k, tiers[i].name);
        if (selftest_quick(&test, k, &scalar)) {
            return true;
        }
        snprintf(note, 256, "tier '%s' gives wrong numbers here (%s), going on with '%s'",
                 tiers[i].name, test.what, tiers[i - 1].name);
    }
    *k = scalar;
    return true;
}

/* Where two families compute the same thing, bit planes lose to the tables behind b1_i8 and the dot
 * products behind t2_i8, or win too little, too seldom. Weights per ns in cache, K 2560, planes
 * against the other, AVX-512 (AVX2): b1 x i8 122 against 235 (39 against 178), b1 x i4 207 against
 * 374 (80 against 256), b1 x i2 389 against 377 (146 against 326), at 4 tokens 396 against 435;
 * t2 x i8 35 against 182 (18 against 92), t2 x i4 59 against 182 (38 against 92). */
static matmul_fn *matmul_of_bits(const struct matrix_kernels *m, const struct matrix *w,
                                 enum act_kind act)
{
    switch (w->encoding) {
    case ENC_T2: return m->t2_i8;
    case ENC_T1_6: return m->t1_6_i8;
    case ENC_B1: return act == ACT_SIGN ? m->b1_sign : m->b1_i8;
    case ENC_I8: return m->i8_i8;
    case ENC_I6: return m->i6_i8;
    case ENC_I4: return m->i4_i8;
    case ENC_I8X2: return m->i8x2_i8;
    default: return NULL;
    }
}

matmul_fn *kernels_matmul(const struct kernels *k, const struct matrix *w, enum act_kind act)
{
    const struct matrix_kernels *m = &k->matrix;
    if (act != ACT_F32) {
        return matmul_of_bits(m, w, act);
    }
    switch (w->encoding) {
    case ENC_T2: return m->t2_f32;
    case ENC_T1_6: return m->t1_6_f32;
    case ENC_B1: return m->b1_f32;
    case ENC_I8: return m->i8_f32;
    case ENC_I6: return m->i6_f32;
    case ENC_I4: return m->i4_f32;
    case ENC_I8X2: return m->i8x2_f32;
    case ENC_F16: return m->f16_f32;
    default: return NULL;
    }
}
