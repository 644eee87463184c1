/* test_convert_hf.c: Hugging Face folders in every form become .bnp files with the right weights. */
#include <math.h>
#include <unistd.h>

#include "src/model.h"
#include "tests/check.h"
#include "tests/foreign_hf.h"
#include "tools/import.h"
#include "tools/modelfile.h"

static char folder[64], in[96], out[96];
static const char *why = "";

static bool convert(struct bitnet_error *err)
{
    struct import_job j = {.in = in, .out = out, .n_threads = 2, .quiet = true};
    *err = (struct bitnet_error){0};
    j.encode.head = ENC_F16;
    return import_model(&j, err);
}

static const struct bnp_tensor *part(const struct model_file *f, size_t i)
{
    char name[64];
    snprintf(name, sizeof name, "blk.0.%s", made_parts[i].name);
    return bnp_find(&f->bnp, name);
}

static void check_weights(const struct model_file *f, const struct made_weights *w,
                          const char *encoding, enum scale_kind scale)
{
    for (size_t i = 0; i < N_MADE_PARTS; i++) {
        const struct bnp_tensor *t = part(f, i);
        char found[16];
        CHECK(t != NULL, "%s: %s", why, made_parts[i].name);
        if (!t)
            continue;
        const struct matrix *m = &t->matrix;
        float *row = malloc(m->n_cols * sizeof *row);
        size_t n_wrong = 0;
        for (size_t r = 0; row && r < m->n_rows; r++) {
            layout_row(row, m, r);
            for (size_t k = 0; k < m->n_cols; k++) {
                float scaled = m->scale_kind == SCALE_COLUMN ? row[k] * m->scale[k] : row[k];
                n_wrong += scaled != (float)made_value(w, r, k) * made_scale(w, r, k);
            }
        }
        free(row);
        layout_name(found, (enum encoding)m->encoding, m->group);
        CHECK(strcmp(found, encoding) == 0, "%s: %s is %s, wanted %s", why, t->name, found, encoding);
        CHECK(m->scale_kind == scale, "%s: %s: scale kind %d", why, t->name, m->scale_kind);
        CHECK(n_wrong == 0, "%s: %s: %zu weights differ", why, t->name, n_wrong);
    }
}

/* Converts and opens; act: what arch.act must be. */
static bool open_result(struct model_file *f, const char *act)
{
    struct bitnet_error err;
    struct model m;
    bool ok = convert(&err) && model_file_open(f, out, &err);
    CHECK(ok, "%s: %s", why, err.msg);
    if (!ok)
        return false;
    CHECK(model_open(&m, &f->bnp, &err), "%s: %s", why, err.msg);
    model_close(&m);
    const char *found = bnp_text(&f->bnp, "arch.act");
    CHECK(found && strcmp(found, act) == 0, "%s: activations %s", why, found ? found : "?");
    return true;
}

static void test_forms(void)
{
    static const struct {
        const char *name, *class_name, *act, *more;
        enum made_form form;
        bool sub_norms;
        struct made_weights w;
        const char *encoding, *want_act;
        enum scale_kind scale;
    } forms[] = {
        {"packed", "BitNetForCausalLM", "relu2", made_bitnet, MADE_PACKED, true,
         {1, 0, 0, MADE_ONE, 0, 0}, "t2", "i8", SCALE_TENSOR},
        {"packed llama", "LlamaForCausalLM", "silu", made_bitnet, MADE_PACKED, false,
         {2, 0, 0, MADE_ONE, 0, 0}, "t2", "i8", SCALE_TENSOR},
        {"groups in f16", "Qwen3ForCausalLM", "silu", "", MADE_F16, false,
         {3, 1, 0, MADE_BY_GROUP, 128, 0}, "b1g128", "i8g128", SCALE_GROUP},
        {"groups in bf16", "Qwen3ForCausalLM", "silu", "", MADE_BF16, false,
         {4, 0, 0, MADE_BY_GROUP, 64, 0}, "t2g64", "i8g128", SCALE_GROUP},
        {"rows in f32", "LlamaForCausalLM", "silu", "", MADE_F32, false,
         {5, 0, 0, MADE_BY_ROW, 0, 0}, "t2", "i8g128", SCALE_ROW},
        {"one in bf16", "LlamaForCausalLM", "silu", "", MADE_BF16, false,
         {6, 0, 0, MADE_ONE, 0, 0}, "t2", "i8g128", SCALE_TENSOR},
        {"small groups", "LlamaForCausalLM", "silu", "", MADE_F32, false,
         {7, 1, 0, MADE_BY_GROUP, 32, 0}, "b1g32", "i8g128", SCALE_GROUP},
        {"columns", "LlamaForCausalLM", "silu", "", MADE_SIGNS, false,
         {8, 1, 0, MADE_BY_COLUMN, 0, 0}, "b1", "i8g128", SCALE_COLUMN},
        {"signs, one scale", "LlamaForCausalLM", "silu", "", MADE_SIGNS, false,
         {9, 0, 0, MADE_ONE, 0, 0}, "t2", "i8g128", SCALE_TENSOR},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct model_file f;
        why = forms[i].name;
        made_folder(in, forms[i].class_name, forms[i].act, forms[i].more, forms[i].form,
                    forms[i].sub_norms, &forms[i].w);
        if (!open_result(&f, forms[i].want_act))
            continue;
        check_weights(&f, &forms[i].w, forms[i].encoding, forms[i].scale);
        bool biased = bnp_find(&f.bnp, "blk.0.ffn_up.in_bias") != NULL;
        CHECK(biased == (forms[i].form == MADE_SIGNS), "%s: in_bias", why);
        model_file_close(&f);
    }
}

/* weight_scale divides when linear_class says so, or nothing, or is nowhere. */
static void test_divide(void)
{
    static const char *const mores[] = {
        "",
        ", \"quantization_config\": {\"quant_method\": \"bitnet\"}",
        ", \"quantization_config\": {\"quant_method\": \"bitnet\", \"linear_class\": \"bitlinear\"}"};
    struct made_weights w = {11, false, false, MADE_ONE, 0, 0};
    for (size_t i = 0; i < 3; i++) {
        struct model_file f;
        why = mores[i];
        made_folder(in, "BitNetForCausalLM", "silu", mores[i], MADE_PACKED, true, &w);
        if (!open_result(&f, "i8"))
            continue;
        const struct bnp_tensor *t = part(&f, 0);
        CHECK(t && t->matrix.scale[0] == 32, "scale %g", t ? (double)t->matrix.scale[0] : 0);
        model_file_close(&f);
    }
}

/* Masters: scale = mean |w|, codes = clamp(half_even(w / scale)). */
static void test_master(void)
{
    struct made_weights w = {12, false, false, MADE_ONE, 0, 0};
    struct model_file f;
    why = "master";
    made_folder(in, "BitnetForCausalLM", "silu", "", MADE_MASTER, true, &w);
    if (!open_result(&f, "i8"))
        return;
    for (size_t i = 0; i < N_MADE_PARTS; i++) {
        const struct bnp_tensor *t = part(&f, i);
        size_t n_rows = made_parts[i].n_rows, n_cols = made_parts[i].n_cols, n_wrong = 0;
        float row[512];
        double sum = 0;
        for (size_t k = 0; k < n_rows * n_cols; k++)
            sum += fabs((double)made_master(&w, k / n_cols, k % n_cols));
        double mean = sum / (double)(n_rows * n_cols);
        float scale = t ? t->matrix.scale[0] : 0;
        CHECK(fabs(scale - mean) < 1e-6 * mean, "%s: scale %g, wanted %g", made_parts[i].name,
              (double)scale, mean);
        for (size_t r = 0; t && r < n_rows; r++) {
            layout_row(row, &t->matrix, r);
            for (size_t k = 0; k < n_cols; k++) {
                double q = rint((double)made_master(&w, r, k) / (double)scale);
                q = q > 1 ? 1 : q < -1 ? -1 : q;
                n_wrong += row[k] != (float)q * scale;
            }
        }
        CHECK(n_wrong == 0, "%s: %zu codes differ", made_parts[i].name, n_wrong);
    }
    const char *arch = bnp_text(&f.bnp, "arch.name");
    CHECK(arch && strcmp(arch, "bitnet") == 0, "arch %s", arch ? arch : "?");
    model_file_close(&f);
}

/* A byte of the last n of a file becomes four invalid codes: the error names that file. */
static void spoil_shard(const char *name, size_t n)
{
    struct bitnet_error err = {0};
    char path[128];
    snprintf(path, sizeof path, "%s/%s", in, name);
    FILE *f = fopen(path, "r+b");
    CHECK(f && fseek(f, -(long)n, SEEK_END) == 0 && fputc(0xff, f) != EOF && fclose(f) == 0, "%s",
          path);
    CHECK(!convert(&err) && strncmp(err.msg, path, strlen(path)) == 0 &&
              strstr(err.msg, "self_attn.q_proj.weight', row") && strstr(err.msg, "code 3"),
          "%s", err.msg);
}

/* Two shards and their index give what one file gives. */
static void test_shards(void)
{
    struct made_weights w = {13, false, false, MADE_ONE, 0, 0};
    struct made_st a = {0}, b = {0};
    struct buffer index = {0};
    struct model_file f;
    char path[128], line[160], name[96];
    why = "shards";
    made_folder(in, "LlamaForCausalLM", "silu", made_bitnet, MADE_PACKED, false, &w);
    snprintf(path, sizeof path, "%s/model.safetensors", in);
    CHECK(remove(path) == 0, "%s", path);
    made_hf_floats(&a, "model.embed_tokens.weight", T_HF_VOCAB, T_EMBD);
    made_hf_floats(&a, "model.norm.weight", 0, T_EMBD);
    made_hf_floats(&b, "model.layers.0.input_layernorm.weight", 0, T_EMBD);
    made_hf_floats(&b, "model.layers.0.post_attention_layernorm.weight", 0, T_EMBD);
    snprintf(line, sizeof line, "{\"weight_map\": {\"model.embed_tokens.weight\": \"one.safetensors\",\n"
             "\"model.norm.weight\": \"one.safetensors\"");
    buffer_add(&index, line, strlen(line));
    for (size_t i = 0; i < N_MADE_PARTS; i++) {
        snprintf(name, sizeof name, "model.layers.0.%s", made_hf_names[i]);
        made_hf_matrix(i % 2 ? &a : &b, name, made_parts[i].n_rows, made_parts[i].n_cols,
                       MADE_PACKED, &w);
        snprintf(line, sizeof line, ",\n\"%s.weight\": \"%s.safetensors\"", name,
                 i % 2 ? "one" : "two");
        buffer_add(&index, line, strlen(line));
    }
    buffer_add(&index, "}}", 2);
    const size_t behind_gains = b.data.n_bytes - 2 * T_EMBD * sizeof(float);
    made_st_write(&a, in, "one.safetensors");
    made_st_write(&b, in, "two.safetensors");
    snprintf(path, sizeof path, "%s/model.safetensors.index.json", in);
    made_file(path, index.data, index.n_bytes);
    buffer_free(&index);
    if (open_result(&f, "i8")) {
        check_weights(&f, &w, "t2", SCALE_TENSOR);
        model_file_close(&f);
    }
    spoil_shard("two.safetensors", behind_gains - 5);
    CHECK(remove(path) == 0, "%s", path);
}

int main(void)
{
    snprintf(folder, sizeof folder, "/tmp/bitnet-test-XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    snprintf(in, sizeof in, "%s/model", folder);
    snprintf(out, sizeof out, "%s/m.bnp", folder);
    test_forms();
    test_divide();
    test_master();
    test_shards();
    char command[96];
    snprintf(command, sizeof command, "rm -r %s", folder);
    CHECK(system(command) == 0, "%s", command);
    return check_done();
}
