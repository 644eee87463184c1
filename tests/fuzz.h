/* fuzz.h: what a fuzz target gives. tests/fuzz_NAME.c defines both; the program is linked with
 * libFuzzer (SAN=address,undefined,fuzzer-no-link) or with tests/fuzz_main.c. */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stdio.h>
#include <unistd.h>

#include "src/base.h"

/* Must not crash, hang or leak, whatever the bytes. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

/* Appends the i-th good input, from which mutations start; false past the last. */
bool fuzz_seed(size_t i, struct buffer *out);

/* A file's name for this process and target alone, in memory where the system has files there. */
static inline void fuzz_path(char path[64], const char *target)
{
    const char *folder = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(path, 64, "%s/fuzz_%s.%ld", folder, target, (long)getpid());
}

#endif
