/* test_onebit.c: OneBit folders (Xu et al. 2024, arXiv:2402.11295) of our own making: packed signs
 * and masters become .bnp files without loss, and the logits agree with a computation in double
 * that shares nothing with the engine. */
#include <math.h>
#include <unistd.h>

#include "include/bitnet.h"
#include "src/model.h"
#include "tests/bnp_sample.h"
#include "tests/check.h"
#include "tests/foreign_hf.h"
#include "tools/import.h"
#include "tools/modelfile.h"

enum { N_TOK = 12, N_PAIRS = T_HEAD / 2, Q = T_HEADS * T_HEAD, KV = T_KV_HEADS * T_HEAD };

static char folder[64], in[96], out[96];
static double expected[N_TOK][T_HF_VOCAB];
static float found[N_TOK][T_HF_VOCAB], first[N_TOK][T_HF_VOCAB];

static bool convert(struct bitnet_error *err)
{
    struct import_job j = {.in = in, .out = out, .n_threads = 2, .quiet = true};
    *err = (struct bitnet_error){0};
    j.encode.head = ENC_F16;
    return import_model(&j, err);
}

static struct made_weights own_weights(const struct made_weights *w, size_t part)
{
    char name[96];
    snprintf(name, sizeof name, "model.layers.0.%s", made_hf_names[part]);
    return made_own(w, name);
}

/* Every sign and both vectors, exactly. */
static void check_part(const struct bnp *f, size_t part, const struct made_weights *w,
                       enum encoding encoding)
{
    struct made_weights own = own_weights(w, part);
    char name[64];
    float row[T_EMBD];
    size_t n_wrong = 0;
    snprintf(name, sizeof name, "blk.0.%s", made_parts[part].name);
    const struct bnp_tensor *t = bnp_find(f, name);
    snprintf(name, sizeof name, "blk.0.%s.out_scale", made_parts[part].name);
    const struct bnp_tensor *s = bnp_find(f, name);
    CHECK(t && s, "%s", name);
    if (!t || !s)
        return;
    const struct matrix *m = &t->matrix;
    CHECK(m->encoding == encoding && m->scale_kind == SCALE_COLUMN, "%s: encoding %d, scale %d",
          t->name, m->encoding, m->scale_kind);
    CHECK(s->matrix.n_rows == 1 && s->matrix.n_cols == m->n_rows, "%s: shape", name);
    for (size_t r = 0; r < m->n_rows; r++) {
        layout_row(row, m, r);
        for (size_t k = 0; k < m->n_cols; k++)
            n_wrong += row[k] != (float)made_value(&own, r, k);
    }
    for (size_t k = 0; k < m->n_cols; k++)
        n_wrong += m->scale[k] != made_input_factor(&own, k);
    layout_row(row, &s->matrix, 0);
    for (size_t r = 0; r < m->n_rows; r++)
        n_wrong += row[r] != made_weight_scale(&own, r);
    CHECK(n_wrong == 0, "%s: %zu numbers differ", t->name, n_wrong);
}

/* y = layernorm((S (x * input_factor)) * weight_scale), eps as torch has it */
static void onebit(double *y, const double *x, size_t part, const struct made_weights *w)
{
    struct made_weights own = own_weights(w, part);
    size_t n_rows = made_parts[part].n_rows, n_cols = made_parts[part].n_cols;
    double mean = 0, variance = 0;
    for (size_t r = 0; r < n_rows; r++) {
        double sum = 0;
        for (size_t k = 0; k < n_cols; k++)
            sum += made_value(&own, r, k) * (x[k] * (double)made_input_factor(&own, k));
        y[r] = sum * (double)made_weight_scale(&own, r);
        mean += y[r] / (double)n_rows;
    }
    for (size_t r = 0; r < n_rows; r++)
        variance += (y[r] - mean) * (y[r] - mean) / (double)n_rows;
    for (size_t r = 0; r < n_rows; r++)
        y[r] = (y[r] - mean) / sqrt(variance + 1e-5);
}

static void rms_norm(double *y, const double *x)
{
    double sum = 0;
    for (size_t k = 0; k < T_EMBD; k++)
        sum += x[k] * x[k];
    for (size_t k = 0; k < T_EMBD; k++)
        y[k] = x[k] / sqrt(sum / T_EMBD + 1e-5) * (double)made_float(k);
}

static void rotate(double *x, size_t n_heads, size_t pos)
{
    for (size_t h = 0; h < n_heads; h++)
        for (size_t j = 0; j < N_PAIRS; j++) {
            double angle = (double)pos * pow(10000, -(double)j / N_PAIRS);
            double *a = x + h * T_HEAD + j, *b = a + N_PAIRS, a0 = *a;
            *a = a0 * cos(angle) - *b * sin(angle);
            *b = *b * cos(angle) + a0 * sin(angle);
        }
}

static void attend(double *y, const double *q, double k[][KV], double v[][KV], size_t pos)
{
    for (size_t h = 0; h < T_HEADS; h++) {
        size_t at = h / (T_HEADS / T_KV_HEADS) * T_HEAD;
        double score[N_TOK], most = -INFINITY, sum = 0;
        for (size_t p = 0; p <= pos; p++) {
            score[p] = 0;
            for (size_t d = 0; d < T_HEAD; d++)
                score[p] += q[h * T_HEAD + d] * k[p][at + d] / sqrt(T_HEAD);
            most = fmax(most, score[p]);
        }
        for (size_t p = 0; p <= pos; p++)
            sum += exp(score[p] - most);
        for (size_t d = 0; d < T_HEAD; d++) {
            y[h * T_HEAD + d] = 0;
            for (size_t p = 0; p <= pos; p++)
                y[h * T_HEAD + d] += exp(score[p] - most) / sum * v[p][at + d];
        }
    }
}

static int32_t token_at(size_t pos)
{
    return (int32_t)(pos * 71 + 5) % T_HF_VOCAB;
}

/* The one layer of made_folder: parts q, k, v, o, gate, up, down. */
static void compute(const struct made_weights *w)
{
    static double k[N_TOK][KV], v[N_TOK][KV];
    double x[T_EMBD], h[T_EMBD], q[Q], att[Q], y[T_EMBD], gate[T_FF], up[T_FF];
    for (size_t pos = 0; pos < N_TOK; pos++) {
        for (size_t i = 0; i < T_EMBD; i++)
            x[i] = (double)made_float((size_t)token_at(pos) * T_EMBD + i);
        rms_norm(h, x);
        onebit(q, h, 0, w), onebit(k[pos], h, 1, w), onebit(v[pos], h, 2, w);
        rotate(q, T_HEADS, pos), rotate(k[pos], T_KV_HEADS, pos);
        attend(att, q, k, v, pos);
        onebit(y, att, 3, w);
        for (size_t i = 0; i < T_EMBD; i++)
            x[i] += y[i];
        rms_norm(h, x);
        onebit(gate, h, 4, w), onebit(up, h, 5, w);
        for (size_t i = 0; i < T_FF; i++)
            gate[i] = gate[i] / (1 + exp(-gate[i])) * up[i];
        onebit(y, gate, 6, w);
        for (size_t i = 0; i < T_EMBD; i++)
            x[i] += y[i];
        rms_norm(h, x);
        for (size_t t = 0; t < T_HF_VOCAB; t++) {
            expected[pos][t] = 0;
            for (size_t i = 0; i < T_EMBD; i++)
                expected[pos][t] += (double)made_float(t * T_EMBD + i) * h[i];
        }
    }
}

/* The engine's logits into found. */
static bool run(const char *tier, int n_threads, size_t batch, enum bitnet_act act)
{
    struct bitnet_error err = {0};
    bitnet_engine *e = NULL;
    bitnet_model *m = NULL;
    bitnet_session *s = NULL;
    struct bitnet_session_options o = {.n_ctx = N_TOK, .max_batch = batch, .max_logits = batch,
                                       .act = act};
    bool ok = bitnet_engine_open(&e, tier, n_threads, &err) && bitnet_model_open(&m, out, &err) &&
              bitnet_session_open(&s, e, m, &o, &err);
    for (size_t pos = 0; ok && pos < N_TOK; pos += batch) {
        struct bitnet_input input[N_TOK];
        for (size_t i = 0; i < batch; i++)
            input[i] = (struct bitnet_input){.token = token_at(pos + i), .want_logits = true};
        ok = bitnet_eval(s, input, batch, &err);
        for (size_t i = 0; ok && i < batch; i++)
            memcpy(found[pos + i], bitnet_logits(s, i), sizeof found[0]);
    }
    CHECK(ok, "%s", err.msg);
    if (s)
        bitnet_session_close(s);
    if (m)
        bitnet_model_close(m);
    if (e)
        bitnet_engine_close(e);
    return ok;
}

static double relative_rms(void)
{
    double error = 0, power = 0;
    for (size_t pos = 0; pos < N_TOK; pos++)
        for (size_t t = 0; t < T_HF_VOCAB; t++) {
            double d = (double)found[pos][t] - expected[pos][t];
            error += d * d, power += expected[pos][t] * expected[pos][t];
        }
    return sqrt(error / power);
}

/* Every tier, thread count and batch gives the same bytes. */
static void check_same(enum bitnet_act act)
{
    static const size_t batches[] = {1, 4, N_TOK};
    const char *tier;
    bool usable;
    memcpy(first, found, sizeof first);
    for (size_t i = 0; (tier = bitnet_tier(i, &usable)); i++)
        for (size_t j = 0; usable && j < 3; j++)
            CHECK(run(tier, (int)j + 1, batches[j], act) &&
                      memcmp(first, found, sizeof first) == 0,
                  "%s, %zu threads, batch %zu: other logits", tier, j + 1, batches[j]);
}

static void check_model(const char *class_name, enum made_form form, enum encoding encoding,
                        const struct made_weights *w)
{
    struct bitnet_error err;
    struct model_file f;
    made_folder(in, class_name, "silu", "", form, false, w);
    bool ok = convert(&err) && model_file_open(&f, out, &err);
    CHECK(ok, "%s: %s", class_name, err.msg);
    if (!ok)
        return;
    for (size_t i = 0; i < N_MADE_PARTS; i++)
        check_part(&f.bnp, i, w, encoding);
    double eps = 0;
    CHECK(bnp_f64(&f.bnp, "arch.out_norm_eps", &eps) && eps == 1e-5, "eps %g", eps);
    const char *act = bnp_text(&f.bnp, "arch.act");
    CHECK(act && strcmp(act, "i8g128") == 0, "activations %s", act ? act : "?");
    model_file_close(&f);
    compute(w);
    if (run(NULL, 1, N_TOK, BITNET_ACT_F32)) {
        CHECK(relative_rms() < 2e-3, "%s: f32: relative rms %.3g", class_name, relative_rms());
        check_same(BITNET_ACT_F32);
    }
    if (run(NULL, 1, N_TOK, BITNET_ACT_MODEL)) {
        CHECK(relative_rms() < 6e-2, "%s: i8g128: relative rms %.3g", class_name, relative_rms());
        check_same(BITNET_ACT_MODEL);
    }
}

/* A file whose vectors want a norm that it does not describe, and one that an older version of the
 * engine would see so: with a key that is not known. */
static void check_refused(const char *find, const char *put, const char *says)
{
    size_t n_bytes = 0, n = strlen(find), n_found = 0;
    uint8_t *bytes = sample_load(out, &n_bytes);
    struct bitnet_error err = {0};
    struct bnp f;
    struct model m;
    for (size_t i = 0; bytes && i + n <= n_bytes && !n_found; i++)
        if (memcmp(bytes + i, find, n) == 0) {
            memcpy(bytes + i, put, n);
            n_found++;
        }
    CHECK(n_found == 1, "'%s' is not in the file", find);
    sample_repair(bytes, n_bytes);
    bool ok = bnp_open(&f, bytes, n_bytes, "m.bnp", &err);
    CHECK(ok, "%s", err.msg);
    if (ok) {
        CHECK(!model_open(&m, &f, &err) && err.code == BITNET_BAD && strstr(err.msg, says),
              "code %d: %s", err.code, err.msg);
        bnp_close(&f);
    }
    free(bytes);
}

int main(void)
{
    struct made_weights signs = {21, true, false, MADE_ONE, 0, 0};
    struct made_weights zeros = {22, false, false, MADE_ONE, 0, 0};
    snprintf(folder, sizeof folder, "/tmp/bitnet-test-XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    snprintf(in, sizeof in, "%s/model", folder);
    snprintf(out, sizeof out, "%s/m.bnp", folder);
    /* Masters may hold zeros, of which torch.sign makes zeros. */
    check_model("BitLlamaForCausalLM", MADE_ONEBIT_MASTER, ENC_T2, &zeros);
    check_model("BitLlamaForCausalLM", MADE_ONEBIT_MASTER, ENC_B1, &signs);
    check_model("BitLlamaForCausalLMInf", MADE_ONEBIT, ENC_B1, &signs);
    check_refused("arch.out_norm_eps", "info.out_norm_eps",
                  "'blk.0.attn_q.out_scale' wants key 'arch.out_norm_eps'");
    check_refused("arch.out_norm_eps", "arch.xxx_norm_eps", "'arch.xxx_norm_eps' is unknown");
    check_refused("attn_q.out_scale", "attn_q.out_scalx", "'blk.0.attn_q.out_scalx' is unknown");
    char command[96];
    snprintf(command, sizeof command, "rm -r %s", folder);
    CHECK(system(command) == 0, "%s", command);
    return check_done();
}
