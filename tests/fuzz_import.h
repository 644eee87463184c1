/* fuzz_import.h: what the fuzz targets of foreign models share. */
#ifndef TESTS_FUZZ_IMPORT_H
#define TESTS_FUZZ_IMPORT_H

#include "include/bitnet.h"
#include "tests/fuzz.h"
#include "tools/import.h"

/* The file or folder converts, and what comes out opens; or it is refused in words. */
static inline void convert_or_refuse(const char *in)
{
    struct bitnet_error err = {0};
    bitnet_model *m;
    char out[80];
    snprintf(out, sizeof out, "%s.bnp", in);
    const struct import_job job = {.in = in, .out = out, .import.i2s_layout = "128",
                                   .encode.head = ENC_I8, .n_threads = 1, .quiet = true};
    if (import_model(&job, &err)) {
        if (!bitnet_model_open(&m, out, &err)) {
            fprintf(stderr, "%s\n", err.msg);
            abort();
        }
        bitnet_model_close(m);
        remove(out);
    } else if (err.code == BITNET_OK || !err.msg[0]) {
        abort(); /* refused without a word */
    }
}

#endif
