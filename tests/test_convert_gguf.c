/* test_convert_gguf.c: GGUF files of every type become .bnp files that hold exactly their weights. */
#include <math.h>
#include <unistd.h>

#include "src/model.h"
#include "tests/check.h"
#include "tests/foreign.h"
#include "tools/import.h"
#include "tools/modelfile.h"

static char folder[64], in[96], out[96];

static bool convert(const char *from, const char *layout, int body, int head,
                    struct bitnet_error *err)
{
    struct import_job j = {.in = from, .out = out, .n_threads = 2, .quiet = true};
    *err = (struct bitnet_error){0};
    j.import.i2s_layout = layout;
    j.encode.body = body;
    j.encode.head = head ? head : ENC_F16;
    j.head_given = head != 0;
    return import_model(&j, err);
}

/* How many weights of the matrix differ from the ones that were made. */
static size_t count_wrong(const struct bnp_tensor *t, const struct made_weights *w)
{
    size_t n_wrong = 0, n = t->matrix.n_cols;
    float *row = malloc(n * sizeof *row);
    for (size_t r = 0; row && r < t->matrix.n_rows; r++) {
        layout_row(row, &t->matrix, r);
        for (size_t k = 0; k < n; k++)
            n_wrong += row[k] != (float)made_value(w, r, k) * made_scale(w, r, k);
    }
    free(row);
    return n_wrong;
}

static void check_file(const char *what, const struct made_weights *w, const char *encoding,
                       enum scale_kind scale)
{
    struct bitnet_error err = {0};
    struct model_file f;
    struct model m = {0};
    bool ok = model_file_open(&f, out, &err);
    CHECK(ok, "%s: %s", what, err.msg);
    if (!ok)
        return;
    ok = model_open(&m, &f.bnp, &err);
    CHECK(ok, "%s: %s", what, err.msg);
    for (size_t i = 0; i < f.bnp.n_tensors; i++)
        CHECK(bnp_verify(&f.bnp, i, &err), "%s: %s", what, err.msg);
    for (size_t i = 0; i < N_MADE_PARTS; i++) {
        char name[32], found[16];
        snprintf(name, sizeof name, "blk.0.%s", made_parts[i].name);
        const struct bnp_tensor *t = bnp_find(&f.bnp, name);
        CHECK(t != NULL, "%s: %s", what, name);
        if (!t)
            continue;
        layout_name(found, (enum encoding)t->matrix.encoding, t->matrix.group);
        /* A group as wide as the matrix is a row. */
        bool row = w->scales == MADE_BY_GROUP && w->group >= t->matrix.n_cols;
        size_t n_same = row ? 2 : 16;
        CHECK(strncmp(found, encoding, n_same) == 0, "%s: %s is %s, wanted %s", what, name, found,
              encoding);
        CHECK(t->matrix.scale_kind == (row ? SCALE_ROW : scale), "%s: %s: scale kind %d", what,
              name, t->matrix.scale_kind);
        size_t n_wrong = count_wrong(t, w);
        CHECK(n_wrong == 0, "%s: %s: %zu weights differ", what, name, n_wrong);
    }
    const struct bnp_tensor *embd = bnp_find(&f.bnp, "token_embd");
    float row[T_EMBD];
    size_t n_wrong = 0;
    if (embd && embd->matrix.encoding == ENC_F16)
        for (size_t r = 0; r < T_VOCAB; r++) {
            layout_row(row, &embd->matrix, r);
            for (size_t k = 0; k < T_EMBD; k++)
                n_wrong += row[k] != made_float(r * T_EMBD + k);
        }
    CHECK(n_wrong == 0, "%s: %zu values of the embedding differ", what, n_wrong);
    model_close(&m);
    model_file_close(&f);
}

/* Every type with every structure of scales that it can hold. */
static const struct form {
    const char *name;
    uint32_t type, group;
    const char *layout;
    struct made_weights w;
    const char *encoding;
    enum scale_kind scale;
} FORMS[] = {
    {"I2_S", 36, 32, "auto", {1, 0, 0, MADE_ONE, 0, 0}, "t2", SCALE_TENSOR},
    {"I2_S 128", 36, 32, "128", {2, 0, 0, MADE_ONE, 0, 0}, "t2", SCALE_TENSOR},
    {"I2_S 64", 36, 16, "64", {3, 0, 0, MADE_ONE, 0, 0}, "t2", SCALE_TENSOR},
    {"I2_S 4row", 36, 0, "4row", {4, 0, 0, MADE_ONE, 0, 0}, "t2", SCALE_TENSOR},
    {"I2_S binary", 36, 32, "128", {5, 1, 0, MADE_ONE, 0, 0}, "b1", SCALE_TENSOR},
    {"TQ1_0", 34, 0, NULL, {6, 0, 0, MADE_ONE, 0, 0}, "t2", SCALE_TENSOR},
    {"TQ1_0 groups", 34, 0, NULL, {7, 0, 0, MADE_BY_GROUP, 256, 0}, "t2g256", SCALE_GROUP},
    {"TQ2_0", 35, 0, NULL, {8, 0, 0, MADE_ONE, 0, 0}, "t2", SCALE_TENSOR},
    {"TQ2_0 rows", 35, 0, NULL, {9, 0, 0, MADE_BY_ROW, 0, 0}, "t2", SCALE_ROW},
    {"TQ2_0 wide", 35, 0, NULL, {10, 0, 1, MADE_BY_ROW, 0, 0}, "i4", SCALE_GROUP},
    {"Q1_0", 41, 0, NULL, {11, 1, 0, MADE_ONE, 0, 0}, "b1", SCALE_TENSOR},
    {"Q1_0 rows", 41, 0, NULL, {12, 1, 0, MADE_BY_ROW, 0, 0}, "b1", SCALE_ROW},
    {"Q1_0 groups", 41, 0, NULL, {13, 1, 0, MADE_BY_GROUP, 128, 0}, "b1g128", SCALE_GROUP},
    {"Q1_0 wide groups", 41, 0, NULL, {14, 1, 0, MADE_BY_GROUP, 256, 0}, "b1g256", SCALE_GROUP},
    {"Q2_0 g64", 42, 64, NULL, {15, 0, 0, MADE_BY_GROUP, 64, 0}, "t2g64", SCALE_GROUP},
    {"Q2_0 g128", 42, 128, NULL, {16, 0, 0, MADE_BY_GROUP, 128, 0}, "t2g128", SCALE_GROUP},
    {"Q2_0 g64 as g128", 42, 64, NULL, {17, 0, 0, MADE_BY_GROUP, 128, 0}, "t2g128", SCALE_GROUP},
    {"Q2_0 wide", 42, 64, NULL, {18, 0, 1, MADE_BY_GROUP, 64, 0}, "i4", SCALE_GROUP},
    {"PQ2_0", 142, 0, NULL, {19, 0, 0, MADE_BY_GROUP, 128, 0}, "t2g128", SCALE_GROUP},
    {"PTQ1_0", 143, 0, NULL, {20, 0, 0, MADE_BY_GROUP, 128, 0}, "t2g128", SCALE_GROUP},
    {"IQ1_BN", 134, 0, NULL, {21, 0, 0, MADE_BY_ROW, 0, 0}, "t2", SCALE_ROW},
    {"IQ2_BN", 135, 0, NULL, {22, 0, 0, MADE_ONE, 0, 0}, "t2", SCALE_TENSOR},
    {"F16 low-bit", 1, 0, NULL, {23, 0, 0, MADE_BY_GROUP, 64, 0}, "t2g64", SCALE_GROUP},
    {"F32 low-bit", 0, 0, NULL, {24, 1, 0, MADE_BY_ROW, 0, 0}, "b1", SCALE_ROW},
};

static void test_forms(void)
{
    static const char *const archs[] = {"llama", "qwen3", "bitnet", "bitnet-b1.58", "bitnet-25"};
    struct bitnet_error err;
    for (size_t i = 0; i < sizeof FORMS / sizeof *FORMS; i++) {
        const struct form *f = &FORMS[i];
        struct made_gguf *g = made_model(archs[i % 5], f->type, f->group, &f->w);
        made_write(g, in);
        bool ok = convert(in, f->layout, ENC_T2, 0, &err);
        CHECK(ok, "%s: %s", f->name, err.msg);
        if (ok)
            check_file(f->name, &f->w, f->encoding, f->scale);
        made_free(g);
    }
}

/* The same weights out of different types are the same bytes, but for what the file says of its
 * source. */
static void test_same_bytes(void)
{
    static const struct {
        uint32_t type, group;
    } types[] = {{36, 32}, {34, 0}, {35, 0}, {42, 64}, {42, 128}, {142, 0}, {143, 0}, {134, 0},
                 {135, 0}, {1, 0}, {0, 0}};
    struct made_weights w = {77, false, false, MADE_ONE, 0, 0};
    struct bitnet_error err;
    uint64_t first = 0;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct made_gguf *g = made_model("llama", types[i].type, types[i].group, &w);
        struct model_file f;
        struct hasher h;
        made_write(g, in);
        CHECK(convert(in, NULL, 0, ENC_I8, &err), "type %u: %s", types[i].type, err.msg);
        hasher_init(&h);
        if (model_file_open(&f, out, &err)) {
            for (size_t k = 0; k < f.bnp.n_tensors; k++)
                hasher_add(&h, f.bnp.tensors[k].data, f.bnp.tensors[k].n_bytes);
            const char *act = bnp_text(&f.bnp, "arch.act");
            CHECK(act && strcmp(act, "i8") == 0, "type %u: activations %s", types[i].type, act);
            model_file_close(&f);
        }
        first = i ? first : hasher_value(&h);
        CHECK(hasher_value(&h) == first, "type %u gives other bytes", types[i].type);
        made_free(g);
    }
}

/* 2-bit and 1.6-bit lines: there and back. */
static void test_recode(void)
{
    struct made_weights w = {78, false, false, MADE_ONE, 0, 0};
    struct made_gguf *g = made_model("llama", 35, 0, &w);
    struct bitnet_error err;
    made_write(g, in);
    CHECK(convert(in, NULL, ENC_T1_6, 0, &err), "%s", err.msg);
    check_file("t1.6", &w, "t1.6", SCALE_TENSOR);
    CHECK(rename(out, in) == 0 && convert(in, NULL, ENC_T2, 0, &err), "%s", err.msg);
    check_file("t1.6 -> t2", &w, "t2", SCALE_TENSOR);
    CHECK(rename(out, in) == 0 && convert(in, NULL, ENC_T1_6, ENC_I8, &err), "%s", err.msg);
    check_file("t2 -> t1.6", &w, "t1.6", SCALE_TENSOR);
    made_free(g);
}

static void test_companions(void)
{
    struct made_weights w = {79, false, false, MADE_ONE, 0, 0};
    struct made_gguf *g = made_model("llama", 35, 0, &w);
    struct bitnet_error err;
    struct model_file f;
    for (size_t i = 0; i < N_MADE_PARTS; i++) {
        char name[64];
        snprintf(name, sizeof name, "blk.0.%s.scale", made_parts[i].name);
        struct made_tensor *t = made_tensor(g, name);
        t->n_dims = 1, t->ne[0] = 1, t->type = 0;
        made_real(&t->data, 1.7f);
    }
    made_write(g, in);
    CHECK(convert(in, NULL, 0, 0, &err), "%s", err.msg);
    if (model_file_open(&f, out, &err)) {
        const struct bnp_tensor *t = bnp_find(&f.bnp, "blk.0.attn_q");
        CHECK(t && t->matrix.scale[0] == 0.03125f * 1.7f, "scale %g",
              t ? (double)t->matrix.scale[0] : 0);
        model_file_close(&f);
    }
    made_free(g);
}

/* Norms before every matrix make a BitNet embedding model; one head of its own. */
static void test_embedding_model(void)
{
    struct made_weights w = {80, false, false, MADE_ONE, 0, 0};
    struct made_gguf *g = made_model("qwen3", 36, 32, &w);
    struct bitnet_error err;
    struct model_file f;
    for (size_t i = 0; i < N_MADE_PARTS; i++) {
        char name[64];
        snprintf(name, sizeof name, "blk.0.%s_norm_in.weight", made_parts[i].name);
        made_floats(g, name, 1, made_parts[i].n_cols, 1);
    }
    made_floats(g, "output.weight", T_VOCAB, T_EMBD, 0);
    made_write(g, in);
    CHECK(convert(in, NULL, 0, 0, &err), "%s", err.msg);
    check_file("embedding model", &w, "t2", SCALE_TENSOR);
    if (model_file_open(&f, out, &err)) {
        const char *pool = bnp_text(&f.bnp, "pool"), *act = bnp_text(&f.bnp, "arch.act");
        CHECK(pool && strcmp(pool, "last") == 0, "pool %s", pool ? pool : "?");
        CHECK(act && strcmp(act, "i8") == 0, "act %s", act ? act : "?");
        CHECK(bnp_find(&f.bnp, "blk.0.ffn_down.norm_in") != NULL, "norm_in");
        CHECK(bnp_find(&f.bnp, "output") != NULL, "output");
        model_file_close(&f);
    }
    made_free(g);
}

/* Counts that a file gives for every layer, all equal, are one count. */
static void test_layer_counts(void)
{
    struct made_weights w = {83, false, false, MADE_ONE, 0, 0};
    uint64_t hash[32] = {0};
    for (size_t arrays = 0; arrays < 2; arrays++) {
        struct made_gguf *g = made_model("llama", 35, 0, &w);
        struct bitnet_error err;
        struct model_file f;
        struct model m;
        char name[64];
        made_u32(g, "llama.block_count", 2);
        made_floats(g, "blk.1.attn_norm.weight", 1, T_EMBD, 0);
        made_floats(g, "blk.1.ffn_norm.weight", 1, T_EMBD, 0);
        for (size_t i = 0; i < N_MADE_PARTS; i++) {
            snprintf(name, sizeof name, "blk.1.%s.weight", made_parts[i].name);
            made_matrix(g, name, made_parts[i].n_rows, made_parts[i].n_cols, 35, 0, &w);
        }
        if (arrays) {
            made_counts(g, "llama.attention.head_count", T_HEADS, 2);
            made_counts(g, "llama.attention.head_count_kv", T_KV_HEADS, 2);
            made_counts(g, "llama.feed_forward_length", T_FF, 2);
        }
        made_write(g, in);
        CHECK(convert(in, NULL, 0, 0, &err), "arrays %zu: %s", arrays, err.msg);
        if (model_file_open(&f, out, &err)) {
            bool ok = model_open(&m, &f.bnp, &err);
            CHECK(ok && m.shape.n_layers == 2 && m.shape.n_heads == T_HEADS &&
                      m.shape.n_kv_heads == T_KV_HEADS && m.shape.n_ff == T_FF,
                  "arrays %zu: %s", arrays, err.msg);
            for (size_t i = 0; i < f.bnp.n_tensors && i < 32; i++) {
                CHECK(!arrays || hash[i] == f.bnp.tensors[i].hash, "%s", f.bnp.tensors[i].name);
                hash[i] = f.bnp.tensors[i].hash;
            }
            if (ok)
                model_close(&m);
            model_file_close(&f);
        }
        made_free(g);
    }
}

/* What no file says is told from the weights: the layout of I2_S. */
static void test_guess(void)
{
    static const uint32_t widths[] = {32, 16, 0};
    struct made_weights w = {82, false, false, MADE_ONE, 0, MADE_EVEN};
    struct bitnet_error err;
    for (size_t i = 0; i < 3; i++) {
        struct made_gguf *g = made_model("bitnet", 36, widths[i], &w);
        struct made_weights rows = w, cols = w;
        struct model_file f;
        rows.zeros = MADE_WEAK_ROWS, cols.zeros = MADE_WEAK_COLUMNS;
        made_matrix(g, "blk.0.ffn_gate.weight", T_FF, T_EMBD, 36, widths[i], &rows);
        made_matrix(g, "blk.0.ffn_up.weight", T_FF, T_EMBD, 36, widths[i], &rows);
        made_matrix(g, "blk.0.ffn_down.weight", T_EMBD, T_FF, 36, widths[i], &cols);
        made_write(g, in);
        CHECK(convert(in, "auto", 0, 0, &err), "width %u: %s", widths[i], err.msg);
        if (model_file_open(&f, out, &err)) {
            CHECK(count_wrong(bnp_find(&f.bnp, "blk.0.ffn_down"), &cols) == 0 &&
                      count_wrong(bnp_find(&f.bnp, "blk.0.ffn_up"), &rows) == 0 &&
                      count_wrong(bnp_find(&f.bnp, "blk.0.attn_k"), &w) == 0,
                  "width %u: another layout was chosen", widths[i]);
            model_file_close(&f);
        }
        made_free(g);
    }
}

/* Each part of a split file leads to all of them. */
static void test_split(void)
{
    struct made_weights w = {81, false, false, MADE_ONE, 0, 0};
    struct made_gguf *g = made_model("llama", 35, 0, &w);
    struct bitnet_error err;
    char path[128];
    size_t cuts[4] = {0, 3, 7, g->n_tensors};
    made_value_of(g, "split.count", GGUF_U16, "\x03\0", 2);
    made_u32(g, "split.tensors.count", (uint32_t)g->n_tensors);
    for (size_t i = 0; i < 3; i++) {
        struct buffer b = {0};
        made_bytes(g, &b, cuts[i], cuts[i + 1]);
        snprintf(path, sizeof path, "%s/m-%05zu-of-00003.gguf", folder, i + 1);
        made_file(path, b.data, b.n_bytes);
        buffer_free(&b);
    }
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/m-%05zu-of-00003.gguf", folder, i + 1);
        CHECK(convert(path, NULL, 0, 0, &err), "part %zu: %s", i + 1, err.msg);
        check_file("split", &w, "t2", SCALE_TENSOR);
    }
    CHECK(remove(path) == 0, "part 3");
    snprintf(path, sizeof path, "%s/m-00001-of-00003.gguf", folder);
    CHECK(!convert(path, NULL, 0, 0, &err) && err.code == BITNET_FAILED &&
              strstr(err.msg, "00003-of-00003"), "a missing part: %s", err.msg);
    made_free(g);
}

int main(void)
{
    snprintf(folder, sizeof folder, "/tmp/bitnet-test-XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    snprintf(in, sizeof in, "%s/m.gguf", folder);
    snprintf(out, sizeof out, "%s/m.bnp", folder);
    test_forms();
    test_same_bytes();
    test_recode();
    test_companions();
    test_embedding_model();
    test_split();
    test_layer_counts();
    test_guess();
    char command[96];
    snprintf(command, sizeof command, "rm -r %s", folder);
    CHECK(system(command) == 0, "%s", command);
    return check_done();
}
