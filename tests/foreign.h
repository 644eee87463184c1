/* foreign.h: small foreign models of our own making, GGUF files and Hugging Face folders, for the
 * tests and the seeds of fuzzing. Every byte is written by hand from the formats' descriptions.
 *
 * The network: 1 layer, width 512, 4 heads of 64 with 2 kv heads, feed-forward 256, 300 tokens. */
#ifndef TESTS_FOREIGN_H
#define TESTS_FOREIGN_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base.h"
#include "tools/gguf.h"

enum { T_EMBD = 512, T_HEADS = 4, T_KV_HEADS = 2, T_HEAD = 64, T_FF = 256, T_VOCAB = 300 };

/* Weights that a test can compute again: value * scale. */
enum made_scales { MADE_ONE, MADE_BY_ROW, MADE_BY_GROUP, MADE_BY_COLUMN };
struct made_weights {
    uint32_t seed;
    bool binary, wide; /* without zeros; with some +2 */
    enum made_scales scales;
    uint32_t group;
    enum { MADE_EVEN, MADE_WEAK_ROWS, MADE_WEAK_COLUMNS } zeros; /* some have more than others */
};

static inline int made_value(const struct made_weights *w, size_t r, size_t k)
{
    uint32_t x = (uint32_t)(r * 2654435761u) ^ (uint32_t)(k * 40503u) ^ w->seed * 97u;
    x = (x ^ x >> 15) * 2246822519u;
    x ^= x >> 13;
    if (w->binary)
        return x & 1 ? 1 : -1;
    size_t neuron = w->zeros == MADE_WEAK_ROWS ? r : k;
    if (w->zeros != MADE_EVEN && (neuron * 2654435761u >> 7) % 4 == 0 && x % 8)
        return 0;
    return w->wide && x % 64 == 5 ? 2 : (int)(x % 3) - 1;
}

static inline float made_scale(const struct made_weights *w, size_t r, size_t k)
{
    size_t i = w->scales == MADE_BY_ROW      ? r % 3
               : w->scales == MADE_BY_GROUP  ? (r + k / w->group) % 5
               : w->scales == MADE_BY_COLUMN ? k % 7
                                             : 0;
    return 0.03125f * (float)(1 + i);
}

struct made_kv {
    char key[96];
    uint32_t kind;
    struct buffer value;
};
struct made_tensor {
    char name[96];
    uint32_t n_dims, type;
    uint64_t ne[4];
    struct buffer data;
};
struct made_gguf {
    uint32_t version;
    struct made_kv kvs[48];
    struct made_tensor tensors[80];
    size_t n_kvs, n_tensors;
};

static inline struct made_kv *made_kv(struct made_gguf *g, const char *key)
{
    for (size_t i = 0; i < g->n_kvs; i++)
        if (strcmp(g->kvs[i].key, key) == 0)
            return &g->kvs[i];
    struct made_kv *kv = &g->kvs[g->n_kvs++];
    snprintf(kv->key, sizeof kv->key, "%s", key);
    return kv;
}

static inline struct made_tensor *made_tensor(struct made_gguf *g, const char *name)
{
    for (size_t i = 0; i < g->n_tensors; i++)
        if (strcmp(g->tensors[i].name, name) == 0)
            return &g->tensors[i];
    struct made_tensor *t = &g->tensors[g->n_tensors++];
    snprintf(t->name, sizeof t->name, "%s", name);
    return t;
}

static inline void made_value_of(struct made_gguf *g, const char *key, uint32_t kind,
                                 const void *bytes, size_t n)
{
    struct made_kv *kv = made_kv(g, key);
    kv->kind = kind;
    kv->value.n_bytes = 0;
    buffer_add(&kv->value, bytes, n);
}

static inline void made_u32(struct made_gguf *g, const char *key, uint32_t v)
{
    uint8_t b[4];
    store_u32(b, v);
    made_value_of(g, key, GGUF_U32, b, 4);
}

static inline void made_f32(struct made_gguf *g, const char *key, float v)
{
    uint8_t b[4];
    store_f32(b, v);
    made_value_of(g, key, GGUF_F32, b, 4);
}

static inline void made_string(struct buffer *b, const char *text)
{
    buffer_add_u64(b, strlen(text));
    buffer_add(b, text, strlen(text));
}

static inline void made_text(struct made_gguf *g, const char *key, const char *text)
{
    made_value_of(g, key, GGUF_TEXT, "", 0);
    made_string(&made_kv(g, key)->value, text);
}

/* An array of n times the same count, as some files give it for every layer. */
static inline void made_counts(struct made_gguf *g, const char *key, uint32_t v, uint64_t n)
{
    made_value_of(g, key, GGUF_ARRAY, "", 0);
    struct buffer *b = &made_kv(g, key)->value;
    buffer_add_u32(b, GGUF_U32), buffer_add_u64(b, n);
    for (uint64_t i = 0; i < n; i++)
        buffer_add_u32(b, v);
}

/* SentencePiece: three control tokens, 256 bytes, the letters and a few words. */
static inline void made_vocab(struct made_gguf *g, uint32_t n)
{
    static const char *const words[] = {"\xe2\x96\x81", "th", "he", "the", "\xe2\x96\x81the", "an"};
    char text[16];
    made_text(g, "tokenizer.ggml.model", "llama");
    made_value_of(g, "tokenizer.ggml.tokens", GGUF_ARRAY, "", 0);
    made_value_of(g, "tokenizer.ggml.scores", GGUF_ARRAY, "", 0);
    made_value_of(g, "tokenizer.ggml.token_type", GGUF_ARRAY, "", 0);
    struct buffer *tokens = &made_kv(g, "tokenizer.ggml.tokens")->value;
    struct buffer *scores = &made_kv(g, "tokenizer.ggml.scores")->value;
    struct buffer *types = &made_kv(g, "tokenizer.ggml.token_type")->value;
    buffer_add_u32(tokens, GGUF_TEXT), buffer_add_u64(tokens, n);
    buffer_add_u32(scores, GGUF_F32), buffer_add_u64(scores, n);
    buffer_add_u32(types, GGUF_I32), buffer_add_u64(types, n);
    for (uint32_t i = 0; i < n; i++) {
        uint8_t score[4];
        snprintf(text, sizeof text, "<0x%02X>", (i - 3) & 255);
        if (i < 3)
            snprintf(text, sizeof text, "%s", i == 0 ? "<unk>" : i == 1 ? "<s>" : "</s>");
        else if (i >= 259 && i < 285)
            snprintf(text, sizeof text, "%c", (char)('a' + (i - 259)));
        else if (i >= 285 && i < 291)
            snprintf(text, sizeof text, "%s", words[i - 285]);
        else if (i >= 291)
            snprintf(text, sizeof text, "[PAD%u]", i);
        made_string(tokens, text);
        store_f32(score, -(float)i);
        buffer_add(scores, score, 4);
        buffer_add_u32(types, i == 0 ? 2 : i < 3 ? 3 : i < 259 ? 6 : i < 291 ? 1 : 5);
    }
}

static inline void made_keys(struct made_gguf *g, const char *arch)
{
    static const struct {
        const char *key;
        uint32_t value;
    } counts[] = {{"context_length", 128},       {"embedding_length", T_EMBD},
                  {"block_count", 1},            {"feed_forward_length", T_FF},
                  {"attention.head_count", 4},   {"attention.head_count_kv", 2},
                  {"attention.key_length", 64},  {"attention.value_length", 64},
                  {"rope.dimension_count", 64},  {"vocab_size", T_VOCAB}};
    char key[96];
    made_text(g, "general.architecture", arch);
    made_text(g, "general.name", "made up");
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        snprintf(key, sizeof key, "%s.%s", arch, counts[i].key);
        made_u32(g, key, counts[i].value);
    }
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", arch);
    made_f32(g, key, 1e-5f);
    snprintf(key, sizeof key, "%s.rope.freq_base", arch);
    made_f32(g, key, 10000);
}

static inline void made_f16(struct buffer *b, float v)
{
    uint8_t half[2];
    store_u16(half, f32_to_f16(v));
    buffer_add(b, half, 2);
}

static inline void made_real(struct buffer *b, float v)
{
    uint8_t f[4];
    store_f32(f, v);
    buffer_add(b, f, 4);
}

/* n digits of three (items i, i + step, ...), most significant first, as a fraction of 243. */
static inline uint8_t made_trits(const int *code, size_t step, size_t n)
{
    unsigned q = 0;
    for (size_t i = 0; i < 5; i++)
        q = 3 * q + (i < n ? (unsigned)code[i * step] : 0);
    return (uint8_t)((q * 256 + 242) / 243);
}

/* One block: code[] are value + 1. */
static inline void made_block(struct buffer *b, uint32_t type, uint32_t group, const int *code,
                              float d)
{
    uint8_t q[64] = {0};
    if (type == 34) { /* TQ1_0 */
        for (size_t m = 0; m < 32; m++)
            q[m] = made_trits(code + m, 32, 5);
        for (size_t m = 0; m < 16; m++)
            q[32 + m] = made_trits(code + 160 + m, 16, 5);
        for (size_t m = 0; m < 4; m++)
            q[48 + m] = made_trits(code + 240 + m, 4, 4);
        buffer_add(b, q, 52), made_f16(b, d);
    } else if (type == 143) { /* PTQ1_0 */
        for (size_t m = 0; m < 16; m++)
            q[m] = made_trits(code + m, 16, 5);
        for (size_t m = 0; m < 8; m++)
            q[16 + m] = made_trits(code + 80 + m, 8, 5);
        for (size_t m = 0; m < 2; m++)
            q[24 + m] = made_trits(code + 120 + m, 2, 4);
        buffer_add(b, q, 26), made_f16(b, d);
    } else if (type == 35) { /* TQ2_0 */
        for (size_t i = 0; i < 256; i++)
            q[i / 128 * 32 + i % 32] |= (uint8_t)(code[i] << i % 128 / 32 * 2);
        buffer_add(b, q, 64), made_f16(b, d);
    } else if (type == 41) { /* Q1_0 */
        for (size_t i = 0; i < 128; i++)
            q[i / 8] |= (uint8_t)((code[i] > 1) << i % 8);
        made_f16(b, d), buffer_add(b, q, 16);
    } else if (type == 42 || type == 142) { /* Q2_0, PQ2_0 */
        for (size_t i = 0; i < group; i++)
            q[i / 4] |= (uint8_t)(code[i] << i % 4 * 2);
        made_f16(b, d), buffer_add(b, q, group / 4);
    } else if (type == 134) { /* IQ1_BN: digits of a triple least significant first */
        for (size_t g = 0; g < 4; g++)
            for (size_t k = 0; k < 3; k++) {
                const int *c = code + 16 * g + 5 * k;
                int back[5] = {c[4], c[3], c[2], c[1], c[0]};
                q[3 * g + k] = made_trits(back, 1, 5);
            }
        int last[5] = {0, code[63], code[47], code[31], code[15]};
        q[12] = made_trits(last, 1, 5);
        buffer_add(b, q, 13);
    } else { /* 135: IQ2_BN */
        for (size_t i = 0; i < 64; i++)
            q[i % 16] |= (uint8_t)(code[i] << i / 16 * 2);
        buffer_add(b, q, 16);
    }
}

/* Values -1..1 as I2_S; width 32: blocks of 128, 16: of 64, 0: four rows together. */
static inline void made_i2s(struct buffer *b, const int8_t *values, size_t n_rows, size_t n_cols,
                            size_t width, float scale)
{
    uint8_t *q = calloc(n_rows * n_cols / 4, 1);
    for (size_t i = 0; q && i < n_rows * n_cols; i++) {
        size_t in = width ? i % (4 * width) : 0, r = i / n_cols, k = i % n_cols;
        size_t at = width ? i / (4 * width) * width + in % width : r / 4 * n_cols + k;
        size_t field = width ? in / width : r % 4;
        q[at] |= (uint8_t)((values[i] + 1) << (6 - 2 * field));
    }
    buffer_add(b, q, n_rows * n_cols / 4);
    made_real(b, scale);
    buffer_add(b, "0123456789012345678901234567", 28);
    free(q);
}

/* A matrix of the given weights in the given type; group: of Q2_0's two forms, I2_S's width. */
static inline void made_matrix(struct made_gguf *g, const char *name, size_t n_rows, size_t n_cols,
                               uint32_t type, uint32_t group, const struct made_weights *w)
{
    struct made_tensor *t = made_tensor(g, name);
    t->n_dims = 2, t->type = type;
    t->ne[0] = n_cols, t->ne[1] = n_rows;
    t->data.n_bytes = 0;
    if (type == 36) {
        int8_t *values = malloc(n_rows * n_cols);
        for (size_t i = 0; values && i < n_rows * n_cols; i++)
            values[i] = (int8_t)made_value(w, i / n_cols, i % n_cols);
        made_i2s(&t->data, values, n_rows, n_cols, group, made_scale(w, 0, 0));
        free(values);
        return;
    }
    size_t items = type == 34 || type == 35     ? 256
                   : type == 42                 ? group
                   : type == 134 || type == 135 ? 64
                                                : 128;
    for (size_t r = 0; r < n_rows; r++) {
        if (type == 134)
            made_f16(&t->data, made_scale(w, r, 0));
        if (type == 135)
            made_real(&t->data, made_scale(w, r, 0));
        for (size_t k = 0; k < n_cols; k += type < 2 ? 1 : items) {
            int code[256];
            for (size_t i = 0; i < (type < 2 ? 1 : items); i++)
                code[i] = made_value(w, r, k + i) + 1;
            if (type == 0)
                made_real(&t->data, (float)(code[0] - 1) * made_scale(w, r, k));
            else if (type == 1)
                made_f16(&t->data, (float)(code[0] - 1) * made_scale(w, r, k));
            else
                made_block(&t->data, type, type == 142 ? 128 : group, code, made_scale(w, r, k));
        }
    }
}

static inline float made_float(size_t i) /* of embeddings and norms; exactly f16 */
{
    return (float)((int)(i * 37 % 257) - 128) / 64.0f + 0.015625f;
}

static inline void made_floats(struct made_gguf *g, const char *name, size_t n_rows, size_t n_cols,
                               uint32_t type)
{
    struct made_tensor *t = made_tensor(g, name);
    t->n_dims = n_rows == 1 ? 1 : 2, t->type = type;
    t->ne[0] = n_cols, t->ne[1] = n_rows;
    t->data.n_bytes = 0;
    for (size_t i = 0; i < n_rows * n_cols; i++) {
        if (type == 0)
            made_real(&t->data, made_float(i));
        else
            made_f16(&t->data, made_float(i));
    }
}

static const struct {
    const char *name;
    size_t n_rows, n_cols;
} made_parts[] = {
    {"attn_q", 256, 512},    {"attn_k", 128, 512}, {"attn_v", 128, 512}, {"attn_output", 512, 256},
    {"ffn_gate", 256, 512}, {"ffn_up", 256, 512}, {"ffn_down", 512, 256},
};
enum { N_MADE_PARTS = sizeof made_parts / sizeof *made_parts };

/* The whole network in one type. */
static inline struct made_gguf *made_model(const char *arch, uint32_t type, uint32_t group,
                                           const struct made_weights *w)
{
    struct made_gguf *g = calloc(1, sizeof *g);
    char name[96];
    if (!g)
        exit(1);
    g->version = 3;
    made_keys(g, arch);
    made_vocab(g, T_VOCAB);
    made_floats(g, "token_embd.weight", T_VOCAB, T_EMBD, 1);
    made_floats(g, "output_norm.weight", 1, T_EMBD, 0);
    made_floats(g, "blk.0.attn_norm.weight", 1, T_EMBD, 0);
    made_floats(g, "blk.0.ffn_norm.weight", 1, T_EMBD, 0);
    if (strncmp(arch, "bitnet", 6) == 0) {
        made_floats(g, "blk.0.attn_sub_norm.weight", 1, T_HEADS * T_HEAD, 0);
        made_floats(g, "blk.0.ffn_sub_norm.weight", 1, T_FF, 0);
    }
    if (strcmp(arch, "qwen3") == 0) {
        made_floats(g, "blk.0.attn_q_norm.weight", 1, T_HEAD, 0);
        made_floats(g, "blk.0.attn_k_norm.weight", 1, T_HEAD, 0);
    }
    for (size_t i = 0; i < N_MADE_PARTS; i++) {
        snprintf(name, sizeof name, "blk.0.%s.weight", made_parts[i].name);
        made_matrix(g, name, made_parts[i].n_rows, made_parts[i].n_cols, type, group, w);
    }
    return g;
}

/* The tensors [first, end) in the bytes of a file. */
static inline void made_bytes(const struct made_gguf *g, struct buffer *b, size_t first, size_t end)
{
    uint64_t off = 0;
    buffer_add(b, "GGUF", 4);
    buffer_add_u32(b, g->version);
    buffer_add_u64(b, end - first);
    buffer_add_u64(b, g->n_kvs);
    for (size_t i = 0; i < g->n_kvs; i++) {
        made_string(b, g->kvs[i].key);
        buffer_add_u32(b, g->kvs[i].kind);
        buffer_add(b, g->kvs[i].value.data, g->kvs[i].value.n_bytes);
    }
    for (size_t i = first; i < end; i++) {
        const struct made_tensor *t = &g->tensors[i];
        made_string(b, t->name);
        buffer_add_u32(b, t->n_dims);
        for (uint32_t d = 0; d < t->n_dims; d++)
            buffer_add_u64(b, t->ne[d < 4 ? d : 3]);
        buffer_add_u32(b, t->type);
        buffer_add_u64(b, off);
        off += round_up(t->data.n_bytes, 32);
    }
    for (size_t i = first; i < end; i++) {
        buffer_pad(b, 32);
        buffer_add(b, g->tensors[i].data.data, g->tensors[i].data.n_bytes);
    }
    buffer_pad(b, 32);
}

static inline void made_free(struct made_gguf *g)
{
    for (size_t i = 0; i < g->n_kvs; i++)
        buffer_free(&g->kvs[i].value);
    for (size_t i = 0; i < g->n_tensors; i++)
        buffer_free(&g->tensors[i].data);
    free(g);
}

static inline void made_file(const char *path, const void *bytes, size_t n_bytes)
{
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(bytes, 1, n_bytes, f) != n_bytes || fclose(f) != 0) {
        perror(path);
        exit(1);
    }
}

static inline void made_write(const struct made_gguf *g, const char *path)
{
    struct buffer b = {0};
    made_bytes(g, &b, 0, g->n_tensors);
    made_file(path, b.data, b.n_bytes);
    buffer_free(&b);
}

#endif
