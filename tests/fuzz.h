/* fuzz.h: what a fuzz target gives. tests/fuzz_NAME.c defines both; the program is linked with
 * libFuzzer (SAN=address,undefined,fuzzer-no-link) or with tests/fuzz_main.c. */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include "src/base.h"

/* Must not crash, hang or leak, whatever the bytes. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

/* Appends the i-th good input, from which mutations start; false past the last. */
bool fuzz_seed(size_t i, struct buffer *out);

#endif
