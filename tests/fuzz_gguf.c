/* fuzz_gguf.c: any bytes as a GGUF model: opened, placed, and every weight read. */
#include <unistd.h>

#include "tests/foreign.h"
#include "tests/fuzz.h"
#include "tools/encode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    static const struct import_options options = {.i2s_layout = "128"};
    struct bitnet_error err = {0};
    struct source s;
    struct blocks b = {0};
    char path[64];
    snprintf(path, sizeof path, "/tmp/fuzz_gguf.%ld", (long)getpid());
    made_file(path, data, n_bytes);
    if (source_open(&s, path, &options, &err)) {
        bool ok = blocks_open(&b, &s, 1, &err);
        for (size_t i = 0; ok && i < s.n_tensors; i++) {
            struct plan p;
            ok = encode_survey(&b, &s.tensors[i], &p, &err);
        }
        if (b.pool)
            blocks_close(&b);
        source_close(&s);
    } else if (err.code == BITNET_OK || !err.msg[0]) {
        abort(); /* refused without a word */
    }
    remove(path);
    return 0;
}

bool fuzz_seed(size_t i, struct buffer *out)
{
    static const struct {
        const char *arch;
        uint32_t type, group;
        bool binary;
    } seeds[] = {{"llama", 35, 0, false}, {"qwen3", 41, 0, true}, {"bitnet", 36, 32, false},
                 {"llama", 42, 64, false}, {"bitnet-b1.58", 134, 0, false}};
    if (i >= sizeof seeds / sizeof *seeds)
        return false;
    struct made_weights w = {(uint32_t)i, seeds[i].binary, false, MADE_ONE, 0, 0};
    struct made_weights table = {9, true, false, MADE_ONE, 0, 0};
    struct made_gguf *g = made_model(seeds[i].arch, seeds[i].type, seeds[i].group, &w);
    made_matrix(g, "token_embd.weight", T_VOCAB, T_EMBD, 41, 0, &table);
    made_bytes(g, out, 0, g->n_tensors);
    made_free(g);
    return true;
}
