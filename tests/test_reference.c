/* test_reference.c: models of the reference folder against logits that independent programs
 * computed: float64 without rounding, for activations kept in f32 and rounded to int8. Files of
 * one shape in different encodings must give the same bytes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "include/bitnet.h"
#include "tests/check.h"
#include "tools/import.h"
#include "tools/infile.h"

enum { N_TOKENS = 32, N_VOCAB = 2048, N_LOGITS = N_TOKENS * N_VOCAB };

static char out[64];
static bitnet_engine *engine;
static struct bitnet_input input[N_TOKENS];
static float wanted[N_LOGITS], found[N_LOGITS], first[N_LOGITS];

static const struct file {
    const char *name, *expected;
    bool first; /* of its shape: the others give the same logits */
} FILES[] = {
    {"b158-i2_s", "b158", true},      {"b158-tq2_0", "b158", false},
    {"bitnet-i2_s", "bitnet", true},  {"llama-i2_s", "llama", true},
    {"llama-iq1_bn", "llama", false}, {"llama-iq2_bn", "llama", false},
    {"llama-q2_0", "llama", false},   {"llama-q2_0p", "llama", false},
    {"llama-tq1_0", "llama", false},  {"llama-tq2_0", "llama", false},
    {"llama-q1_0", "llama-q1", true}, {"qwen3-tq2_0", "qwen3", true},
    {"qwen3-q2_0p", "qwen3", false},  {"qwen3-q1_0", "qwen3-q1", true},
};

static bool load(const char *path, void *to, size_t n_bytes)
{
    FILE *f = fopen(path, "rb");
    bool ok = f && fread(to, 1, n_bytes, f) == n_bytes;
    if (f)
        fclose(f);
    CHECK(ok, "%s", path);
    return ok;
}

/* The logits of the input under one kind of activations, into found. */
static bool run(const char *name, enum bitnet_act act)
{
    struct bitnet_error err = {0};
    bitnet_model *m = NULL;
    bitnet_session *s = NULL;
    struct bitnet_session_options o = {.n_ctx = N_TOKENS, .max_batch = N_TOKENS,
                                       .max_logits = N_TOKENS, .act = act};
    bool ok = bitnet_model_open(&m, out, &err) && bitnet_session_open(&s, engine, m, &o, &err) &&
              bitnet_eval(s, input, N_TOKENS, &err);
    CHECK(ok, "%s: %s", name, err.msg);
    for (size_t i = 0; ok && i < N_TOKENS; i++)
        memcpy(found + i * N_VOCAB, bitnet_logits(s, i), N_VOCAB * sizeof *found);
    if (s)
        bitnet_session_close(s);
    if (m)
        bitnet_model_close(m);
    return ok;
}

static double log_sum(const float *x)
{
    double most = x[0], sum = 0;
    for (size_t i = 0; i < N_VOCAB; i++)
        most = x[i] > most ? x[i] : most;
    for (size_t i = 0; i < N_VOCAB; i++)
        sum += exp(x[i] - most);
    return most + log(sum);
}

/* Relative rms error of all logits, and the mean divergence of the rows' distributions. */
static void compare(double *rms, double *divergence)
{
    double error = 0, power = 0, kl = 0;
    for (size_t i = 0; i < N_LOGITS; i++) {
        double d = (double)found[i] - wanted[i];
        error += d * d, power += (double)wanted[i] * wanted[i];
    }
    for (size_t r = 0; r < N_TOKENS; r++) {
        const float *a = wanted + r * N_VOCAB, *b = found + r * N_VOCAB;
        double la = log_sum(a), lb = log_sum(b);
        for (size_t i = 0; i < N_VOCAB; i++)
            kl += exp(a[i] - la) * ((a[i] - la) - (b[i] - lb));
    }
    *rms = sqrt(error / power);
    *divergence = kl / N_TOKENS;
}

static bool convert(const struct file *f, enum encoding head, int body)
{
    char path[96];
    struct bitnet_error err = {0};
    snprintf(path, sizeof path, "../shared/reference/ref-%s.gguf", f->name);
    struct import_job j = {.in = path, .out = out, .n_threads = 1, .quiet = true};
    j.encode.head = (int)head;
    j.encode.body = body;
    FILE *report = tmpfile();
    j.report = report;
    bool ok = import_model(&j, &err);
    CHECK(ok, "%s: %s", f->name, err.msg);
    char line[256];
    rewind(report);
    for (int n_line = 0; ok && fgets(line, sizeof line, report); n_line++)
        if (n_line && (head == ENC_F16 || !strstr(line, "embedding")))
            CHECK(strstr(line, "lossless") != NULL, "%s: %s", f->name, line);
    fclose(report);
    return ok;
}

static void check_gate(const struct file *f, const char *mode, double max_rms, double max_kl)
{
    double rms, kl;
    compare(&rms, &kl);
    CHECK(rms < max_rms && kl < max_kl, "%s %s: relative rms %.3g, wanted < %g; KL %.3g, wanted "
          "< %g", f->name, mode, rms, max_rms, kl, max_kl);
}

static void test_file(const struct file *f)
{
    char path[96];
    snprintf(path, sizeof path, "../shared/reference/expected/np-%s-f64.f32", f->expected);
    if (!load(path, wanted, sizeof wanted) || !convert(f, ENC_F16, 0))
        return;
    if (run(f->name, BITNET_ACT_F32))
        check_gate(f, "f32", 2e-3, 2e-3);
    if (run(f->name, BITNET_ACT_I8))
        check_gate(f, "int8 per token", 6e-2, 2e-3);
    if (!run(f->name, BITNET_ACT_MODEL))
        return;
    check_gate(f, "the family's own activations", 6e-2, 2e-3);
    if (f->first)
        memcpy(first, found, sizeof first);
    CHECK(memcmp(first, found, sizeof first) == 0, "%s: other logits than the same weights in "
          "another type", f->name);
    if (convert(f, ENC_I8, 0) && run(f->name, BITNET_ACT_MODEL))
        check_gate(f, "int8 head", 6e-2, 2e-3);
    bool ternary = !strstr(f->expected, "q1") && !strstr(f->expected, "qwen3");
    if (ternary && convert(f, ENC_F16, ENC_T1_6) && run(f->name, BITNET_ACT_MODEL))
        CHECK(memcmp(first, found, sizeof first) == 0, "%s: t1.6 gives other logits", f->name);
}

int main(void)
{
    static int32_t ids[N_TOKENS];
    struct bitnet_error err = {0};
    if (!path_is_file("../shared/reference/tokens32.i32")) {
        SKIP("../shared/reference is not here");
        return check_done();
    }
    snprintf(out, sizeof out, "/tmp/bitnet-reference.%ld.bnp", (long)getpid());
    if (!load("../shared/reference/tokens32.i32", ids, sizeof ids))
        return check_done();
    for (size_t i = 0; i < N_TOKENS; i++)
        input[i] = (struct bitnet_input){.token = ids[i], .want_logits = true};
    CHECK(bitnet_engine_open(&engine, NULL, 1, &err), "%s", err.msg);
    for (size_t i = 0; engine && i < sizeof FILES / sizeof *FILES; i++)
        test_file(&FILES[i]);
    if (engine)
        bitnet_engine_close(engine);
    remove(out);
    return check_done();
}
