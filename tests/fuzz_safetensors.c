/* fuzz_safetensors.c: any text as config.json or as the header of model.safetensors, in a folder
 * whose other files are good. The data behind the header are zeros, as many as its seed wants. */
#include "tests/foreign_hf.h"
#include "tests/fuzz_import.h"

static char folder[64];
static struct buffer header;
static uint64_t data_bytes;

static void remove_folder(void)
{
    static const char *const names[] = {"config.json", "tokenizer.json", "model.safetensors"};
    char path[160];
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        remove(path);
    }
    rmdir(folder);
    buffer_free(&header);
}

/* A good folder, and the header of its weights' file. */
static void make_folder(void)
{
    static uint8_t bytes[2 << 20];
    struct made_weights w = {1, false, false, MADE_ONE, 0, 0};
    char path[160];
    fuzz_path(folder, "safetensors");
    made_folder(folder, "BitNetForCausalLM", "relu2", made_bitnet, MADE_PACKED, true, &w);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(bytes, 1, sizeof bytes, f) : 0;
    if (f)
        fclose(f);
    if (n < 9)
        abort();
    buffer_add(&header, bytes + 8, load_u64(bytes));
    data_bytes = n - 8 - header.n_bytes;
    atexit(remove_folder);
}

static void put_config(const char *text, size_t n)
{
    char path[160];
    snprintf(path, sizeof path, "%s/config.json", folder);
    made_file(path, text, n);
}

static void put_weights(const uint8_t *text, size_t n)
{
    char path[160];
    uint8_t n_text[8];
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    FILE *f = fopen(path, "wb");
    store_u64(n_text, n);
    if (!f || fwrite(n_text, 1, 8, f) != 8 || fwrite(text, 1, n, f) != n || fclose(f) != 0 ||
        truncate(path, (off_t)(8 + n + data_bytes)) != 0)
        abort();
}

static size_t config_text(char text[1024])
{
    return (size_t)snprintf(text, 1024, made_config, "BitNetForCausalLM", "relu2", made_bitnet);
}

int LLVMFuzzerTestOneInput(const uint8_t *text, size_t n_bytes)
{
    char good[1024];
    if (!folder[0])
        make_folder();
    bool config = n_bytes > 2 && text[2] == 'a'; /* {"architectures" */
    put_config(config ? (const char *)text : good, config ? n_bytes : config_text(good));
    put_weights(config ? header.data : text, config ? header.n_bytes : n_bytes);
    convert_or_refuse(folder);
    return 0;
}

bool fuzz_seed(size_t i, struct buffer *out)
{
    char text[1024];
    if (!folder[0])
        make_folder();
    if (i == 0)
        buffer_add(out, text, config_text(text));
    if (i == 1)
        buffer_add(out, header.data, header.n_bytes);
    return i < 2;
}
