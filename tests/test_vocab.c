/* test_vocab.c: foreign vocabularies that are wrong in one place: each is refused in
 * one line that names the file and says what is wrong. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/check.h"
#include "tools/infile.h"
#include "tools/vocab.h"

#define DATA "tests/data/"
#define BPE  DATA "bpe/tokenizer.json"
#define SPM  DATA "spm/tokenizer.json"

#define A32 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define A256 A32 A32 A32 A32 A32 A32 A32 A32 /* fills what is read of a file at first */

/* The file `base`, or nothing, with `from` (NULL: all of it) replaced by `to`. */
static const struct {
    const char *base, *from, *to, *message;
} cases[] = {
    {NULL, NULL, "", "is empty"},
    {NULL, NULL, "version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"},
    {NULL, NULL, "<!DOCTYPE html><html></html>", "is a web page"},
    {NULL, NULL, "%PDF-1.4", "is no vocabulary that is known"},
    {NULL, NULL, "{}", "has no model.vocab"},
    {NULL, NULL, "{\"model\":{\"vocab\":[]}}", "has no model.vocab"},
    {NULL, NULL, "{\"model\":{\"type\":\"BPE\",\"vocab\":{}}}",
     "neither byte-level BPE nor"},
    {NULL, NULL, "{\"model\": ", "line 1 column 11: expected a value, found the end"},
    {NULL, NULL, "AAAA", "is neither SentencePiece nor tiktoken"},
    {NULL, NULL, A256, "is neither SentencePiece nor tiktoken"},
    {NULL, NULL, "AAAA x\n", "is neither SentencePiece nor tiktoken"},
    {NULL, NULL, "A 0\n", "is neither SentencePiece nor tiktoken"},
    {NULL, NULL, "QQ== 0\nQg== 0\n", "two tokens have the id 0"},
    {NULL, NULL, "QQ== 0\nQg== 99999999\n", "wanted 1 to"},
    {NULL, NULL, "QQ== 0\nQg== 1\n", "which pre-tokenizer goes with its 2 tokens"},
    {NULL, NULL,
     "\n\x03\n\x01"
     "a",
     "no SentencePiece model, or a damaged one"},
    {NULL, NULL, "GGUF", "cut short"},
    {BPE, "\"BPE\"", "\"Unigram\"", "model 'Unigram' is not known"},
    {BPE, "\"BPE\"", "\"WordPiece\"", "model 'WordPiece' is not known"},
    {BPE, "\"normalizer\":null", "\"normalizer\":{\"type\":\"NFKC\"}",
     "normalizer 'NFKC' is not"},
    {BPE, "\"normalizer\":null", "\"normalizer\":{\"type\":\"Lowercase\"}",
     "'Lowercase'"},
    {BPE, "\\\\p{N}{1,3}", "\\\\p{N}{1,2}", "the pattern of a pre-tokenizer, '(?i:'s|"},
    {BPE, "\"Isolated\"", "\"Removed\"", "splitting by 'Removed' is not known"},
    {BPE, "\"Split\"", "\"Digits\"", "pre-tokenizer 'Digits' is not known"},
    {BPE, "\"add_prefix_space\":false", "\"add_prefix_space\":true", "add_prefix_space"},
    {BPE, "\"byte_fallback\":false", "\"byte_fallback\":true",
     "neither byte-level BPE nor"},
    {BPE, "\"type\":\"BPE\"", "\"type\":\"BPE\",\"end_of_word_suffix\":\"</w>\"",
     "end_of_word_suffix '</w>' is not known"},
    {BPE, "\"!\":33", "\"!\":34", "two tokens have the id 34"},
    {BPE, "\"!\":33", "\"!\":-1", "the id of token '!' is no number"},
    {BPE, "\"!\":33", "\"!\":\"33\"", "the id of token '!' is no number"},
    {BPE, "\"!\":33", "\"!\":99999999", "100000000 tokens, wanted 1 to"},
    {BPE, "\"!\":33", "\"!\":9223372036854775807", "an id is too large"},
    {BPE, "\"!\":33", "\"#\":33", "the key '#' stands twice"},
    {BPE, "\"content\":\"<|eot_id|>\"", "\"contents\":1",
     "an added token has no content or no id"},
    {BPE, "\"merges\":[", "\"merges\":[\"zz zz\",", "merge 0 is not of two tokens"},
    {BPE, "\"merges\":[", "\"merges\":[\"a\",", "merge 0 is not of two tokens"},
    {BPE, "\"merges\":[", "\"merges\":[7,", "merge 0 is not of two tokens"},
    {BPE, "\"merges\":[", "\"merges\":[\"Q Q\",", "merge 0, 'Q' and 'Q', gives no token"},
    {BPE, "\"merges\"", "\"merge\"", "has no model.merges"},
    {SPM, "\"Prepend\"", "\"Append\"", "normalizer 'Append' is not known"},
    {SPM, "\"byte_fallback\":true", "\"byte_fallback\":false",
     "neither byte-level BPE nor"},
    {SPM, "\"merges\":[", "\"merges\":[[\"Q\",\"a\"],", "merge 0 is not of two tokens"},
    {SPM, "\"merges\":[", "\"merges\":[[\"a\",\"a\"],", "merge 0 gives no token"},
    {SPM, "\"merges\":[", "\"merges\":[[\"a\",\"a\",\"a\"],",
     "merge 0 is not of two tokens"},
    {DATA "spm.model", "\x18\x02\xc0", "\x18\x01\xc0", "model type 1, only BPE"},
    {DATA "spm.model", "\x18\x01\x20", "\x18\x01\x28", "removes extra white space"},
    {DATA "spm.model", "identity\x18\x01", "identity\x12\x02", "maps characters"},
    {DATA "spm.model", "<0x41>", "<0x4g>", "no SentencePiece model, or a damaged one"},
    {DATA "bpe.gguf", "GGUF\x03", "GGUF\x01", "version 1"},
    {DATA "bpe.gguf", "gpt2", "bert",
     "tokenizer.ggml.model is 'bert', wanted gpt2 or llama"},
    {DATA "bpe.gguf", "tokenizer.ggml.model", "tokenizer.ggml.mOdel",
     "has no tokenizer.ggml.model"},
    {DATA "bpe.gguf", "llama-bpe", "llama-xyz",
     "tokenizer.ggml.pre is 'llama-xyz', which is not"},
    {DATA "bpe.gguf", "tokenizer.ggml.tokens", "tokenizer.ggml.tOkens",
     "no tokenizer.ggml.tokens"},
    {DATA "bpe.gguf", "tokenizer.ggml.merges", "tokenizer.ggml.mErges",
     "no tokenizer.ggml.merges"},
    {DATA "bpe.gguf", "h e", "h~e", "names a piece that is no token"},
    {DATA "spm.gguf", "tokenizer.ggml.scores", "tokenizer.ggml.sCores",
     "no tokenizer.ggml.scores"},
    {DATA "spm.gguf", "<0x41>", "<0x4G>", "is not spelled like <0x0A>"},
};

static bool load(const char *path, struct buffer *out)
{
    struct infile in;
    struct bitnet_error err = {0};
    if (!infile_open(&in, path, &err)) {
        return false;
    }
    uint8_t *bytes = malloc((size_t)in.n_bytes);
    bool ok = bytes != NULL && infile_read(&in, 0, bytes, (size_t)in.n_bytes, &err);
    buffer_add(out, bytes, ok ? (size_t)in.n_bytes : 0);
    free(bytes);
    infile_close(&in);
    return ok;
}

/* The edited file under path; false when `from` is not in it. */
static bool write_case(size_t i, const char *path)
{
    struct buffer base = {0}, edited = {0};
    size_t n_from = cases[i].from != NULL ? strlen(cases[i].from) : 0, at = 0;
    bool found = cases[i].base == NULL;
    if (cases[i].base != NULL && load(cases[i].base, &base)) {
        for (; !found && at + n_from <= base.n_bytes; at += !found) {
            found = memcmp(base.data + at, cases[i].from, n_from) == 0;
        }
    }
    buffer_add(&edited, base.data, at);
    buffer_add(&edited, cases[i].to, strlen(cases[i].to));
    if (base.n_bytes > 0) {
        buffer_add(&edited, base.data + at + n_from, base.n_bytes - at - n_from);
    }
    FILE *out = fopen(path, "wb");
    bool ok =
        out != NULL && fwrite(edited.data != NULL ? edited.data : (const uint8_t *)"", 1,
                              edited.n_bytes, out) == edited.n_bytes;
    ok = out != NULL && fclose(out) == 0 && ok;
    buffer_free(&base);
    buffer_free(&edited);
    return ok && found;
}

static void check_case(size_t i, const char *path)
{
    struct vocab_file f;
    struct bitnet_error err = {0};
    struct buffer section = {0};
    CHECK(write_case(i, path), "case %zu: nothing to replace", i);
    bool ok = vocab_open(&f, path, &err);
    if (ok) {
        ok = tokenizer_pack(&f.vocab, &section, &err);
        vocab_close(&f);
    }
    buffer_free(&section);
    CHECK(!ok && err.code == BITNET_BAD, "case %zu, '%s': code %d", i, cases[i].message,
          err.code);
    CHECK(strstr(err.msg, cases[i].message) != NULL, "case %zu, wanted '%s': %s", i,
          cases[i].message, err.msg);
    CHECK(strstr(err.msg, path) != NULL || strncmp(err.msg, "vocabulary: ", 12) == 0,
          "no file: %s", err.msg);
}

/* A file that ends early is refused at every length, but for padding at the end. */
static void check_cuts(const char *from, const char *path)
{
    struct buffer whole = {0};
    struct vocab_file f;
    size_t n_open = 0;
    CHECK(load(from, &whole), "%s", from);
    for (size_t n = 1; n + 32 < whole.n_bytes; n += 1 + whole.n_bytes / 500) {
        FILE *out = fopen(path, "wb");
        if (out == NULL || fwrite(whole.data, 1, n, out) != n || fclose(out) != 0) {
            CHECK(false, "%s", path);
            break;
        }
        struct bitnet_error err = {0};
        if (vocab_open(&f, path, &err)) {
            vocab_close(&f);
            n_open++;
        } else {
            CHECK(err.code == BITNET_BAD && err.msg[0] != 0, "%s at %zu: %s", from, n,
                  err.msg);
        }
    }
    CHECK(n_open == 0, "%s: opens at %zu shorter lengths", from, n_open);
    buffer_free(&whole);
}

int main(void)
{
    char path[64];
    struct vocab_file f;
    struct bitnet_error err = {0};
    snprintf(path, sizeof path, "/tmp/test_vocab.%ld", (long)getpid());
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_case(i, path);
    }
    check_cuts(BPE, path);
    check_cuts(SPM, path);
    check_cuts(DATA "spm.model", path);
    check_cuts(DATA "bpe.gguf", path);
    remove(path);
    CHECK(!vocab_open(&f, path, &err) && err.code == BITNET_FAILED, "no file: %s",
          err.msg);
    err = (struct bitnet_error){0};
    CHECK(!vocab_open(&f, "tests", &err) && err.code == BITNET_BAD, "a folder: %s",
          err.msg);
    return check_done();
}
