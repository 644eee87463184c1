/* fuzz_tokenizer.c: any bytes as a tokenizer section; what opens encodes a text, here
 * the input's last bytes, and gives it back as ids in range. */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz.h"
#include "tools/vocab.h"

enum { most_text = 512 };

static void use(const struct bitnet_tokenizer *t, const uint8_t *text, size_t n_bytes)
{
    struct bitnet_ids ids = {0};
    struct bitnet_error err = {0};
    struct buffer back = {0};
    if (bitnet_encode(t, (const char *)text, n_bytes,
                      BITNET_BOS | BITNET_SPECIAL | BITNET_EOS, &ids, &err)) {
        for (size_t i = 0; i < ids.n_ids; i++) {
            if (ids.ids[i] < 0 || (size_t)ids.ids[i] >= bitnet_n_tokens(t)) {
                abort();
            }
            bitnet_token_is_stop(t, ids.ids[i]);
        }
        tokenizer_decode(t, ids.ids, ids.n_ids, &back);
    } else if (err.code == BITNET_OK || err.msg[0] == 0 || ids.n_ids != 0) {
        abort();
    }
    bitnet_ids_free(&ids);
    buffer_free(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct bitnet_tokenizer *t;
    struct bitnet_error err = {0};
    if (tokenizer_open(&t, data, n_bytes, "fuzz", &err)) {
        size_t n_text = n_bytes < most_text ? n_bytes : most_text;
        use(t, data + n_bytes - n_text, n_text);
        tokenizer_close(t);
    } else if (err.code == BITNET_OK || err.msg[0] == 0) {
        abort();
    }
    return 0;
}

bool fuzz_seed(size_t i, struct buffer *out)
{
    static const char *const paths[] = {"tests/data/bpe", "tests/data/spm",
                                        "tests/data/tiktoken"};
    struct tokenizer_file f;
    struct bitnet_error err = {0};
    if (i >= 3 || !tokenizer_file_open(&f, paths[i], &err)) {
        return false;
    }
    /* The probes go: a mutation that changes an encoding is no less interesting than
     * one that does not. */
    buffer_add(out, f.section, f.section_bytes - 4 * (size_t)f.tokenizer->n_probe_words);
    store_u32(out->data + 64, 0);
    store_u32(out->data + 68, 0);
    tokenizer_file_close(&f);
    return true;
}
