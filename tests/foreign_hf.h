/* foreign_hf.h: the network of foreign.h as a Hugging Face folder, in the forms in which such
 * folders hold low-bit weights. */
#ifndef TESTS_FOREIGN_HF_H
#define TESTS_FOREIGN_HF_H

#include <sys/stat.h>

#include "tests/foreign.h"

enum { T_HF_VOCAB = 450 };

static const char made_config[] =
    "{\"architectures\": [\"%s\"], \"hidden_size\": 512, \"intermediate_size\": 256,\n"
    " \"num_hidden_layers\": 1, \"num_attention_heads\": 4, \"num_key_value_heads\": 2,\n"
    " \"head_dim\": 64, \"vocab_size\": 450, \"max_position_embeddings\": 128,\n"
    " \"rms_norm_eps\": 1e-05, \"rope_theta\": 10000.0, \"hidden_act\": \"%s\",\n"
    " \"tie_word_embeddings\": true%s}\n";
static const char made_bitnet[] =
    ", \"quantization_config\": {\"quant_method\": \"bitnet\", \"linear_class\": \"autobitlinear\"}";

enum made_form { MADE_PACKED, MADE_F32, MADE_F16, MADE_BF16, MADE_MASTER, MADE_SIGNS, MADE_ONEBIT,
                 MADE_ONEBIT_MASTER };

/* Tensors of one safetensors file: header entries and data grow side by side. */
struct made_st {
    struct buffer header, data;
};

static inline void made_entry(struct made_st *s, const char *name, const char *dtype,
                              size_t n_rows, size_t n_cols, size_t n_bytes)
{
    char text[512], shape[48];
    if (n_rows)
        snprintf(shape, sizeof shape, "%zu,%zu", n_rows, n_cols);
    else
        snprintf(shape, sizeof shape, "%zu", n_cols);
    snprintf(text, sizeof text, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],"
             "\"data_offsets\":[%zu,%zu]}", s->header.n_bytes ? "," : "{", name, dtype, shape,
             s->data.n_bytes, s->data.n_bytes + n_bytes);
    buffer_add(&s->header, text, strlen(text));
}

static inline void made_bf16(struct buffer *b, float v)
{
    uint32_t bits;
    uint8_t half[2];
    memcpy(&bits, &v, 4);
    store_u16(half, (uint16_t)(bits >> 16)); /* the values made here are exact */
    buffer_add(b, half, 2);
}

static inline void made_number(struct buffer *b, enum made_form form, float v)
{
    if (form == MADE_F16)
        made_f16(b, v);
    else if (form == MADE_BF16)
        made_bf16(b, v);
    else
        made_real(b, v);
}

static inline const char *made_dtype(enum made_form form)
{
    return form == MADE_F16 ? "F16" : form == MADE_BF16 ? "BF16" : "F32";
}

/* A master: the ternary value plus a little that rounding takes away again. */
static inline float made_master(const struct made_weights *w, size_t r, size_t k)
{
    int wiggle = (int)((r * 31 + k * 17) % 41) - 20;
    return (float)made_value(w, r, k) * 0.06f + (float)wiggle * 0.0005f;
}

/* Of OneBit layers every matrix has weights and vectors of its own, by its name. All exactly f16. */
static inline struct made_weights made_own(const struct made_weights *w, const char *name)
{
    struct made_weights own = *w;
    for (size_t i = 0; name[i]; i++)
        own.seed += (uint32_t)(i + 1) * (uint8_t)name[i];
    return own;
}

static inline float made_input_factor(const struct made_weights *own, size_t k)
{
    float v = 0.25f + (float)((k * 7 + own->seed) % 61) / 64;
    return (k + own->seed) % 11 ? v : -v;
}

/* So small that the epsilon of the norm that follows counts. */
static inline float made_weight_scale(const struct made_weights *own, size_t r)
{
    float v = (float)(32 + (r * 5 + own->seed) % 53) / 65536;
    return (r + own->seed) % 13 ? v : -v;
}

static inline void made_onebit(struct made_st *s, const char *name, size_t n_rows, size_t n_cols,
                               bool packed, const struct made_weights *w)
{
    char full[160];
    const struct made_weights own = made_own(w, name);
    snprintf(full, sizeof full, "%s.weight", name);
    if (packed)
        made_entry(s, full, "I8", n_rows, n_cols / 8, n_rows * n_cols / 8);
    else
        made_entry(s, full, "F16", n_rows, n_cols, n_rows * n_cols * 2);
    for (size_t i = 0; packed && i < n_rows * n_cols; i += 8) {
        uint8_t byte = 0;
        for (size_t j = 0; j < 8; j++)
            byte |= (uint8_t)((made_value(&own, i / n_cols, i % n_cols + j) < 0) << j);
        buffer_add(&s->data, &byte, 1);
    }
    for (size_t i = 0; !packed && i < n_rows * n_cols; i++)
        made_f16(&s->data, (float)made_value(&own, i / n_cols, i % n_cols) *
                               (0.25f + (float)(i % 5)));
    snprintf(full, sizeof full, "%s.input_factor", name);
    made_entry(s, full, "F16", 0, n_cols, 2 * n_cols);
    for (size_t k = 0; k < n_cols; k++)
        made_f16(&s->data, made_input_factor(&own, k));
    snprintf(full, sizeof full, "%s.weight_scale", name);
    made_entry(s, full, "F16", 0, n_rows, 2 * n_rows);
    for (size_t r = 0; r < n_rows; r++)
        made_f16(&s->data, made_weight_scale(&own, r));
}

static inline void made_hf_matrix(struct made_st *s, const char *name, size_t n_rows,
                                  size_t n_cols, enum made_form form,
                                  const struct made_weights *w)
{
    char full[160];
    if (form >= MADE_ONEBIT) {
        made_onebit(s, name, n_rows, n_cols, form == MADE_ONEBIT, w);
        return;
    }
    snprintf(full, sizeof full, "%s.weight", name);
    if (form == MADE_PACKED) {
        size_t planes = (n_rows + 3) / 4;
        made_entry(s, full, "U8", planes, n_cols, planes * n_cols);
        for (size_t i = 0; i < planes * n_cols; i++) {
            uint8_t byte = 0;
            for (size_t p = 0; p < 4; p++)
                byte |= (uint8_t)((made_value(w, p * planes + i / n_cols, i % n_cols) + 1) << 2 * p);
            buffer_add(&s->data, &byte, 1);
        }
        snprintf(full, sizeof full, "%s.weight_scale", name);
        made_entry(s, full, "BF16", 0, 1, 2);
        made_bf16(&s->data, made_scale(w, 0, 0));
        return;
    }
    size_t item = form == MADE_F16 || form == MADE_BF16 ? 2 : 4;
    made_entry(s, full, made_dtype(form), n_rows, n_cols, n_rows * n_cols * item);
    for (size_t r = 0; r < n_rows; r++)
        for (size_t k = 0; k < n_cols; k++) {
            float v = (float)made_value(w, r, k);
            if (form == MADE_MASTER)
                v = made_master(w, r, k);
            else
                v *= form == MADE_SIGNS ? 0.3f + (float)(k % 5) : made_scale(w, r, k);
            made_number(&s->data, form, v);
        }
    for (int i = 0; i < 2 && form == MADE_SIGNS; i++) {
        bool column = w->scales == MADE_BY_COLUMN;
        snprintf(full, sizeof full, "%s.%s", name, i ? "wbias" : "wscale");
        made_entry(s, full, "F32", column ? 1 : 0, column ? n_cols : 1, column ? 4 * n_cols : 4);
        for (size_t k = 0; k < (column ? n_cols : 1); k++)
            made_real(&s->data, i ? 0.001f * (float)k : made_scale(w, 0, k));
    }
}

static inline void made_hf_floats(struct made_st *s, const char *name, size_t n_rows,
                                  size_t n_cols)
{
    made_entry(s, name, "BF16", n_rows, n_cols, 2 * n_cols * (n_rows ? n_rows : 1));
    for (size_t i = 0; i < n_cols * (n_rows ? n_rows : 1); i++)
        made_bf16(&s->data, made_float(i));
}

static inline void made_st_bytes(const struct made_st *s, struct buffer *b)
{
    buffer_add_u64(b, s->header.n_bytes + 1);
    buffer_add(b, s->header.data, s->header.n_bytes);
    buffer_add(b, "}", 1);
    buffer_add(b, s->data.data, s->data.n_bytes);
}

static inline void made_st_write(struct made_st *s, const char *dir, const char *name)
{
    char path[160];
    struct buffer b = {0};
    snprintf(path, sizeof path, "%s/%s", dir, name);
    made_st_bytes(s, &b);
    made_file(path, b.data, b.n_bytes);
    buffer_free(&b);
    buffer_free(&s->header);
    buffer_free(&s->data);
}

static const char *const made_hf_names[] = {
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
    "mlp.gate_proj",    "mlp.up_proj",      "mlp.down_proj",
};

static inline void made_copy(const char *from, const char *dir, const char *name)
{
    char path[160];
    static char bytes[65536];
    FILE *f = fopen(from, "rb");
    size_t n = f ? fread(bytes, 1, sizeof bytes, f) : 0;
    if (f)
        fclose(f);
    snprintf(path, sizeof path, "%s/%s", dir, name);
    made_file(path, bytes, n);
}

/* The folder; sub_norms as BitNet has them. */
static inline void made_folder(const char *dir, const char *class_name, const char *act,
                               const char *more, enum made_form form, bool sub_norms,
                               const struct made_weights *w)
{
    char text[1024], path[160], name[96];
    struct made_st s = {0};
    mkdir(dir, 0777);
    snprintf(path, sizeof path, "%s/config.json", dir);
    snprintf(text, sizeof text, made_config, class_name, act, more);
    made_file(path, text, strlen(text));
    made_copy("tests/data/bpe/tokenizer.json", dir, "tokenizer.json");
    made_hf_floats(&s, "model.embed_tokens.weight", T_HF_VOCAB, T_EMBD);
    made_hf_floats(&s, "model.norm.weight", 0, T_EMBD);
    made_hf_floats(&s, "model.layers.0.input_layernorm.weight", 0, T_EMBD);
    made_hf_floats(&s, "model.layers.0.post_attention_layernorm.weight", 0, T_EMBD);
    if (sub_norms) {
        made_hf_floats(&s, "model.layers.0.self_attn.attn_sub_norm.weight", 0, 256);
        made_hf_floats(&s, "model.layers.0.mlp.ffn_sub_norm.weight", 0, T_FF);
    }
    if (strncmp(class_name, "Qwen3", 5) == 0) {
        made_hf_floats(&s, "model.layers.0.self_attn.q_norm.weight", 0, T_HEAD);
        made_hf_floats(&s, "model.layers.0.self_attn.k_norm.weight", 0, T_HEAD);
    }
    for (size_t i = 0; i < N_MADE_PARTS; i++) {
        snprintf(name, sizeof name, "model.layers.0.%s", made_hf_names[i]);
        made_hf_matrix(&s, name, made_parts[i].n_rows, made_parts[i].n_cols, form, w);
    }
    made_st_write(&s, dir, "model.safetensors");
}

#endif
