/* fuzz_bnp.c: any bytes as a model file. Lengths and checksums are made right first, or no input
 * would ever get past them. */
#include "tests/bnp_sample.h"
#include "tests/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct bitnet_error err = {0};
    struct bnp f;
    uint8_t *copy = malloc(n_bytes ? n_bytes : 1); /* of exactly this size, and writable */
    if (!copy)
        return 0;
    memcpy(copy, data, n_bytes);
    if (n_bytes >= BNP_HEADER_BYTES) {
        store_u64(copy + 16, n_bytes);
        sample_repair(copy, n_bytes);
    }
    if (bnp_open(&f, copy, n_bytes, "fuzz", &err)) {
        sample_walk(&f);
        bnp_close(&f);
    } else if (err.code == BITNET_OK || !err.msg[0]) {
        abort(); /* refused without a word */
    }
    free(copy);
    return 0;
}

bool fuzz_seed(size_t i, struct buffer *out)
{
    struct bitnet_error err = {0};
    char path[64];
    size_t n = 0;
    fuzz_path(path, "bnp");
    uint8_t *bytes = i == 0 && sample_write(path, &err) ? sample_load(path, &n) : NULL;
    remove(path);
    buffer_add(out, bytes, n);
    free(bytes);
    return i == 0;
}
