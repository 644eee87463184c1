/* fuzz_gguf.c: any bytes as a GGUF model that is to be converted. */
#include "tests/foreign.h"
#include "tests/fuzz_import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    char path[64];
    fuzz_path(path, "gguf");
    made_file(path, data, n_bytes);
    convert_or_refuse(path);
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
