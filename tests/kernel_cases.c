/* kernel_cases.c: guarded memory, data and accounts for check_kernels. */
#include "tests/kernel_cases.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MARGIN_BYTE = 0x6b, FRESH_BYTE = 0xc3 };

/* The running case, for the signal handler. */
static char crash_line[512];
static size_t crash_chars;

static void on_crash(int signal_number)
{
    static const char head[] = "FAIL crashed: ";
    (void)!write(1, head, sizeof head - 1);
    (void)!write(1, crash_line, crash_chars);
    _exit(128 + signal_number);
}

void harness_open(struct harness *h)
{
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++) {
        struct sigaction action = {.sa_handler = on_crash};
        sigaction(fatal[i], &action, NULL);
    }
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t s = 0; s < N_SLOTS; s++) {
        uint8_t *p = mmap(NULL, SLOT_BYTES + page, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED || mprotect(p + SLOT_BYTES, page, PROT_NONE) != 0) {
            perror("guarded memory");
            exit(1);
        }
        h->slot_end[s] = p + SLOT_BYTES;
    }
}

static void slot_protect(const struct harness *h, size_t slot, int protection)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t n = (h->slot_used[slot] + page - 1) / page * page;
    if (mprotect(h->slot_end[slot] - n, n, protection) != 0) {
        perror("mprotect");
        exit(1);
    }
}

void *guard_take(struct harness *h, size_t slot, size_t n_bytes)
{
    if (slot >= N_SLOTS || n_bytes > SLOT_BYTES - MARGIN_BYTES) {
        fprintf(stderr, "slot %zu cannot hold %zu bytes\n", slot, n_bytes);
        exit(1);
    }
    if (h->slot_used[slot])
        slot_protect(h, slot, PROT_READ | PROT_WRITE);
    h->slot_used[slot] = n_bytes + MARGIN_BYTES;
    uint8_t *p = h->slot_end[slot] - n_bytes;
    memset(p - MARGIN_BYTES, MARGIN_BYTE, MARGIN_BYTES);
    memset(p, FRESH_BYTE, n_bytes);
    return p;
}

void guard_freeze(struct harness *h, size_t slot)
{
    slot_protect(h, slot, PROT_READ);
}

static bool guards_intact(const struct harness *h)
{
    for (size_t s = 0; s < N_SLOTS; s++)
        if (h->slot_used[s]) {
            const uint8_t *margin = h->slot_end[s] - h->slot_used[s];
            for (size_t i = 0; i < MARGIN_BYTES; i++)
                if (margin[i] != MARGIN_BYTE)
                    return false;
        }
    return true;
}

static struct tally *tally_of(struct harness *h, const char *kernel)
{
    size_t i = 0;
    while (i < h->n_tallies && strcmp(h->tallies[i].kernel, kernel) != 0)
        i++;
    if (i == h->n_tallies) {
        h->n_tallies++;
        snprintf(h->tallies[i].kernel, sizeof h->tallies[i].kernel, "%s", kernel);
    }
    return &h->tallies[i];
}

bool case_begin(struct harness *h, const char *kernel, const char *format, ...)
{
    if ((h->only_kernel && strcmp(h->only_kernel, kernel) != 0) ||
        (h->not_kernel && strcmp(h->not_kernel, kernel) == 0))
        return false;
    char text[200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    uint64_t seed = 1469598103934665603u; /* FNV-1a over name and shape */
    for (const char *s = kernel; *s; s++)
        seed = (seed ^ (unsigned char)*s) * 1099511628211u;
    for (const char *s = text; *s; s++)
        seed = (seed ^ (unsigned char)*s) * 1099511628211u;
    seed = seed ^ seed >> 29 ? seed ^ seed >> 29 : 1;
    if ((h->only_seed && h->only_seed != seed) || (h->every > 1 && seed % h->every != 0))
        return false;
    h->seed = h->state = seed;
    snprintf(h->what, sizeof h->what, "%s: %s, --seed %llu", kernel, text,
             (unsigned long long)seed);
    h->tally = tally_of(h, kernel);
    return true;
}

bool case_tier(struct harness *h, size_t i, bool own_code)
{
    const char *tier = h->tiers[i].tier;
    if (!own_code || (h->only_tier && strcmp(h->only_tier, tier) != 0))
        return false;
    int n = snprintf(crash_line, sizeof crash_line, "%s %s\n", tier, h->what);
    crash_chars = n < 0 ? 0 : (size_t)n;
    return true;
}

static void count(struct harness *h, size_t i, bool good)
{
    h->tally->n_cases[i]++;
    if (guards_intact(h) && good)
        return;
    if (good)
        printf("FAIL %s %s: wrote in front of a buffer\n", h->tiers[i].tier, h->what);
    if (++h->tally->n_bad[i] >= 20) {
        printf("too many failures, stopped\n0 passed, 1 failed, 0 skipped\n");
        exit(1);
    }
}

void case_floats(struct harness *h, size_t i, const float *want, const float *got, size_t n)
{
    size_t at = 0;
    while (at < n && memcmp(&want[at], &got[at], sizeof *want) == 0)
        at++;
    if (at < n)
        printf("FAIL %s %s: index %zu is %a, scalar %a\n", h->tiers[i].tier, h->what, at,
               (double)got[at], (double)want[at]);
    count(h, i, at == n);
}

void case_bytes(struct harness *h, size_t i, const void *want, const void *got, size_t n_bytes)
{
    const unsigned char *a = want, *b = got;
    size_t at = 0;
    while (at < n_bytes && a[at] == b[at])
        at++;
    if (at < n_bytes)
        printf("FAIL %s %s: byte %zu is 0x%02x, scalar 0x%02x\n", h->tiers[i].tier, h->what, at,
               b[at], a[at]);
    count(h, i, at == n_bytes);
}

uint32_t draw(struct harness *h, uint32_t below)
{
    h->state = h->state * 6364136223846793005u + 1442695040888963407u;
    uint64_t mixed = h->state ^ h->state >> 31;
    return (uint32_t)((mixed >> 16 & 0xffffffff) * below >> 32);
}

int draw_int(struct harness *h, int low, int high)
{
    return low + (int)draw(h, (uint32_t)(high - low + 1));
}

float draw_float(struct harness *h, enum data_kind kind)
{
    static const float decade[] = {1e-3f, 1e-2f, 1e-1f, 1, 1e1f, 1e2f, 1e3f};
    float unit = ((float)draw(h, 1 << 24) - 8388607.5f) / 8388608;
    if (kind == DATA_ZERO)
        return 0;
    if (kind == DATA_EXTREME)
        return unit < 0 ? -1000.0f : 1000.0f;
    return kind == DATA_DECADES ? unit * decade[draw(h, 7)] : unit;
}

uint16_t draw_half(struct harness *h, enum data_kind kind)
{
    uint32_t sign = draw(h, 2) << 15, fraction = draw(h, 1024);
    if (kind == DATA_ZERO)
        return 0;
    if (kind == DATA_EXTREME)
        return (uint16_t)(sign | 0x7bff);
    if (kind == DATA_DECADES) /* 2^-14 .. 2^5 and subnormals */
        return (uint16_t)(sign | draw(h, 21) << 10 | fraction);
    return (uint16_t)(sign | (13 + draw(h, 3)) << 10 | fraction);
}
