/* fuzz_model.c: any header, metadata, vocabulary and directory before the weights of a model. Length
 * and checksums are made right first; what then opens must answer two tokens, or say that its
 * numbers are not finite. An input is the model's number, then its bytes up to the weights; zeros
 * at their end may be missing. */
#include "include/bitnet.h"
#include "tests/bnp_sample.h"
#include "tests/foreign.h"
#include "tests/fuzz.h"
#include "tools/tools.h"

static char *const KINDS[][4] = {{"bitnet-b1.58", "t2", "i8", "i8"},
                                 {"llama", "t1.6", "f32", "f16"},
                                 {"qwen3", "b1g128", "i8g128", "i6"},
                                 {"bitnet", "b1", "sign", "i8x2"},
                                 {"llama", "t2g64", "i8g32", "i4"}};
enum { N_KINDS = sizeof KINDS / sizeof *KINDS };

static bitnet_engine *engine;
static char path[64];
static struct {
    uint8_t *bytes;
    size_t n_bytes, data_off;
} models[N_KINDS];

static void must(bool ok, const struct bitnet_error *err)
{
    if (!ok) {
        fprintf(stderr, "%s\n", err->msg);
        abort();
    }
}

static void end(void)
{
    remove(path);
    bitnet_engine_close(engine);
    for (size_t i = 0; i < N_KINDS; i++)
        free(models[i].bytes);
}

static void start(void)
{
    static const struct bitnet_error failed = {.msg = "bitnet synth failed"};
    struct bitnet_error err = {0};
    if (engine)
        return;
    fuzz_path(path, "model");
    /* scalar: the kernels that a sanitizer sees into, in fuzzing builds too */
    must(bitnet_engine_open(&engine, "scalar", 1, &err), &err);
    atexit(end);
    for (size_t i = 0; i < N_KINDS; i++) {
        char *argv[] = {"synth", "--arch", KINDS[i][0], "--body", KINDS[i][1], "--act",
                        KINDS[i][2], "--head", KINDS[i][3], "-q", "-o", path, NULL};
        must(tool_synth(12, argv) == BITNET_OK, &failed);
        models[i].bytes = sample_load(path, &models[i].n_bytes);
        models[i].data_off = (size_t)load_u64(models[i].bytes + 104);
    }
}

static void answer(const bitnet_model *m)
{
    static const struct bitnet_session_options options = {.n_ctx = 4, .max_batch = 2};
    static const struct bitnet_input in[2] = {{0, 0, false}, {1, 0, true}};
    struct bitnet_error err = {0};
    bitnet_session *s;
    if (!bitnet_session_open(&s, engine, m, &options, &err)) {
        must(strstr(err.msg, "trained for") != NULL, &err); /* fewer than four tokens */
        return;
    }
    must(bitnet_eval(s, in, 2, &err) || strstr(err.msg, "finite"), &err);
    bitnet_session_close(s);
}

/* The model with the input in place of what stands before its weights, as a file under path. */
static void put(const uint8_t *data, size_t n_bytes)
{
    size_t i = n_bytes ? data[0] % N_KINDS : 0, off = models[i].data_off;
    uint8_t *file = calloc(models[i].n_bytes, 1);
    if (!file)
        return;
    if (n_bytes > 1)
        memcpy(file, data + 1, n_bytes - 1 < off ? n_bytes - 1 : off);
    memcpy(file + off, models[i].bytes + off, models[i].n_bytes - off);
    store_u64(file + 16, models[i].n_bytes);
    sample_repair(file, models[i].n_bytes);
    made_file(path, file, models[i].n_bytes);
    free(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct bitnet_error err = {0};
    bitnet_model *m;
    start();
    put(data, n_bytes);
    if (bitnet_model_open(&m, path, &err)) {
        answer(m);
        bitnet_model_close(m);
    } else if (err.code == BITNET_OK || !err.msg[0]) {
        abort(); /* refused without a word */
    }
    return 0;
}

bool fuzz_seed(size_t i, struct buffer *out)
{
    uint8_t number = (uint8_t)i;
    start();
    if (i >= N_KINDS)
        return false;
    size_t n = models[i].data_off;
    while (n > 0 && models[i].bytes[n - 1] == 0)
        n--;
    buffer_add(out, &number, 1);
    buffer_add(out, models[i].bytes, n);
    return true;
}
