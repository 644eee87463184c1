/* test_model.c: files that are whole, and do not say what the network needs, are refused. */
#include <stdlib.h>
#include <string.h>

#include "src/model.h"
#include "tests/bnp_sample.h"
#include "tests/check.h"

/* The built-in model with n bytes of find replaced, and its checksums set right. */
static void check_refused(const char *find, size_t n, const char *put, const char *says)
{
    size_t n_bytes = 0, at = 0;
    uint8_t *bytes = sample_load("models/stories.bnp", &n_bytes);
    struct bitnet_error err = {0};
    struct bnp f;
    struct model m;
    CHECK(bytes != NULL, "models/stories.bnp");
    while (bytes && at + n < n_bytes && memcmp(bytes + at, find, n) != 0)
        at++;
    CHECK(bytes && at + n < n_bytes, "'%s' is not in the file", says);
    if (!bytes)
        return;
    memcpy(bytes + at, put, n);
    sample_repair(bytes, n_bytes);
    bool ok = bnp_open(&f, bytes, n_bytes, "m.bnp", &err);
    CHECK(ok, "%s", err.msg);
    if (ok) {
        CHECK(!model_open(&m, &f, &err) && err.code == BITNET_BAD && strstr(err.msg, says),
              "no '%s' in: %s", says, err.msg);
        bnp_close(&f);
    }
    free(bytes);
}

int main(void)
{
    /* An entry begins with its type, and the lengths of key and value. */
    static const char f64_base[] = "\3\11\0\0\10\0\0\0rope.base";
    static const char u64_base[] = "\2\11\0\0\10\0\0\0rope.base";
    check_refused("rope.base", 9, "info.base", "key 'rope.base' is missing");
    check_refused("arch.norm_eps", 13, "info.norm_eps", "key 'arch.norm_eps' is missing");
    check_refused("arch.n_ff", 9, "info.n_ff", "key 'arch.n_ff' is missing");
    check_refused("arch.n_ff", 9, "arch.n_xx", "key 'arch.n_xx' is unknown");
    check_refused(f64_base, 17, u64_base, "key 'rope.base' is of another type, wanted a float");
    check_refused("blk.2.attn_sub_norm", 19, "blk.2.attn_sub_mron",
                  "layers 0 and 2 differ: one has tensor 'attn_sub_norm' and one has not");
    check_refused("blk.0.ffn_sub_norm", 18, "blk.0.ffn_sub_mron", "layers 0 and 1 differ");
    check_refused("blk.1.ffn_norm", 14, "blk.1.ffn_mron", "'blk.1.ffn_norm' is missing");
    check_refused("blk.3.attn_q", 12, "blk.3.attn_x", "'blk.3.attn_q' is missing");
    return check_done();
}
