/* fuzz_vocab.c: any bytes as a foreign vocabulary: tokenizer.json, SentencePiece,
 * tiktoken, GGUF. What is read is packed, and what is packed must open. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz.h"
#include "tools/infile.h"
#include "tools/vocab.h"

static char path[64];

static void drop(void)
{
    remove(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    if (path[0] == 0) {
        fuzz_path(path, "vocab");
        atexit(drop);
    }
    FILE *out = fopen(path, "wb");
    if (out == NULL || (n_bytes > 0 && fwrite(data, 1, n_bytes, out) != n_bytes) ||
        fclose(out) != 0) {
        abort();
    }
    struct vocab_file f;
    struct bitnet_error err = {0};
    struct buffer section = {0};
    struct bitnet_tokenizer *t;
    if (vocab_open(&f, path, &err)) {
        if (tokenizer_pack(&f.vocab, &section, &err)) {
            if (!tokenizer_open(&t, section.data, section.n_bytes, "fuzz", &err)) {
                fprintf(stderr, "%s\n", err.msg);
                abort();
            }
            tokenizer_close(t);
        } else if (err.code == BITNET_OK || err.msg[0] == 0) {
            abort();
        }
        vocab_close(&f);
    } else if (err.code == BITNET_OK || err.msg[0] == 0) {
        abort();
    }
    buffer_free(&section);
    return 0;
}

bool fuzz_seed(size_t i, struct buffer *out)
{
    static const char *const seeds[] = {
        "tests/data/bpe/tokenizer.json", "tests/data/spm/tokenizer.json",
        "tests/data/spm.model",          "tests/data/tiktoken/tokenizer.model",
        "tests/data/bpe.gguf",           "tests/data/spm.gguf",
        "tests/data/scrambled.json"};
    struct infile in;
    struct bitnet_error err = {0};
    if (i >= sizeof seeds / sizeof *seeds || !infile_open(&in, seeds[i], &err)) {
        return false;
    }
    uint8_t *bytes = malloc((size_t)in.n_bytes);
    bool ok = bytes != NULL && infile_read(&in, 0, bytes, (size_t)in.n_bytes, &err);
    buffer_add(out, bytes, ok ? (size_t)in.n_bytes : 0);
    free(bytes);
    infile_close(&in);
    return ok;
}
