/* fuzz_main.c: runs a fuzz target without libFuzzer.
 *
 *     fuzz_NAME                 the seeds, and 2000 random mutations of each
 *     fuzz_NAME FILE...         these files: repeats a finding
 *     fuzz_NAME --seeds DIR     writes the seeds into DIR, as libFuzzer's corpus */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz.h"

enum { N_MUTATIONS = 2000 };

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 24;
}

/* Overwrites, cuts or repeats a little; most edits fall into the first few KiB, where formats
 * have their structure. */
static size_t mutate(uint8_t *b, size_t n_bytes, uint64_t *state)
{
    static const uint8_t values[] = {0, 1, 2, 0x0a, 0x22, 0x5c, 0x7f, 0x80, 0xc3, 0xff};
    for (uint64_t n = 1 + next_random(state) % 4; n > 0 && n_bytes > 0; n--) {
        size_t range = next_random(state) % 4 && n_bytes > 4096 ? 4096 : n_bytes;
        size_t at = next_random(state) % range;
        switch (next_random(state) % 8) {
        case 0: n_bytes = at; break;
        case 1: memmove(b + at, b, n_bytes - at); break;
        case 2: b[at] ^= (uint8_t)(1 << next_random(state) % 8); break;
        case 3: b[at] = (uint8_t)next_random(state); break;
        default: b[at] = values[next_random(state) % sizeof values]; break;
        }
    }
    return n_bytes;
}

static void run_copy(const uint8_t *bytes, size_t n_bytes)
{
    uint8_t *copy = malloc(n_bytes ? n_bytes : 1); /* of exactly this size */
    if (!copy)
        exit(1);
    memcpy(copy, bytes, n_bytes);
    LLVMFuzzerTestOneInput(copy, n_bytes);
    free(copy);
}

static void run_seeds(void)
{
    size_t n_seeds = 0;
    uint64_t state = 1;
    for (;; n_seeds++) {
        struct buffer seed = {0};
        bool more = fuzz_seed(n_seeds, &seed);
        uint8_t *b = malloc(seed.n_bytes + 1);
        if (!b || seed.failed)
            exit(1);
        if (more && seed.n_bytes > 0)
            run_copy(seed.data, seed.n_bytes);
        for (size_t i = 0; more && seed.n_bytes > 0 && i < N_MUTATIONS; i++) {
            memcpy(b, seed.data, seed.n_bytes);
            run_copy(b, mutate(b, seed.n_bytes, &state));
        }
        free(b);
        buffer_free(&seed);
        if (!more)
            break;
    }
    printf("%zu passed, %d failed, 0 skipped\n", n_seeds, n_seeds == 0);
    if (n_seeds == 0)
        exit(1);
}

static void write_seeds(const char *folder)
{
    for (size_t i = 0;; i++) {
        struct buffer seed = {0};
        char path[4096];
        bool more = fuzz_seed(i, &seed);
        snprintf(path, sizeof path, "%s/seed-%zu", folder, i);
        FILE *out = more ? fopen(path, "wb") : NULL;
        if (more && (!out || fwrite(seed.data, 1, seed.n_bytes, out) != seed.n_bytes ||
                     fclose(out) != 0))
            exit(1);
        buffer_free(&seed);
        if (!more)
            return;
    }
}

static void run_file(const char *path)
{
    struct buffer b = {0};
    uint8_t piece[4096];
    FILE *in = fopen(path, "rb");
    for (size_t n; in && (n = fread(piece, 1, sizeof piece, in)) > 0;)
        buffer_add(&b, piece, n);
    if (!in || b.failed) {
        fprintf(stderr, "%s: cannot read\n", path);
        exit(1);
    }
    fclose(in);
    run_copy(b.n_bytes ? b.data : (const uint8_t *)"", b.n_bytes);
    buffer_free(&b);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--seeds") == 0)
        write_seeds(argv[2]);
    else if (argc > 1)
        for (int i = 1; i < argc; i++)
            run_file(argv[i]);
    else
        run_seeds();
    return 0;
}
