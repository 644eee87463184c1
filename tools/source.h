/* source.h: a foreign model in one neutral form, which every importer fills and encode.h writes:
 * what the network is, which tensors it has under the names of src/model.h, and a way to read any
 * rows of any of them, either as floats or as small integer codes with their scales. */
#ifndef TOOLS_SOURCE_H
#define TOOLS_SOURCE_H

#include "src/base.h"

/* The keys of src/model.h. Texts are constants or belong to the importer. */
struct net {
    const char *arch, *ffn_act, *act, *rope_pairing, *rope_scaling;
    uint64_t n_layers, n_embd, n_ff, n_heads, n_kv_heads, head_dim, n_vocab, n_ctx;
    uint64_t n_rot, n_ctx_orig; /* 0: the default */
    double norm_eps, out_norm_eps; /* out_norm_eps 0: no matrix has an out_scale */
    double rope_base, rope_factor, rope_attn_factor, beta_fast, beta_slow;
    bool pool_last;
    char name[128], chat_template[32], licence[64];
};

/* arch.act of models that were trained without quantized activations. */
extern const char weights_only_act[];

enum tensor_role {
    ROLE_GAIN,  /* a vector, kept as f32 */
    ROLE_TABLE, /* embedding, head */
    ROLE_BODY,  /* a matrix inside the layers: must be low-bit or become so */
};

struct source_tensor {
    char name[64];    /* in the .bnp file */
    char origin[192]; /* in the foreign file, for messages */
    const char *file; /* the one it stands in, for messages */
    const char *from; /* how it is stored there, for the report */
    uint64_t n_rows, n_cols;
    enum tensor_role role;
    bool coded;          /* read as codes and scales, else as floats */
    bool binary;         /* coded, but read as bits: no code is 0 or wide */
    bool one_scale;      /* coded: every scale is the same, as the format has only one */
    bool absmean;        /* floats of a BitNet master: quantized as BitNet does */
    bool exact_first;    /* but kept as they are if they are low-bit already */
    uint32_t group;      /* coded: columns per scale, a multiple of 32; 0: one scale per row */
    const float *column; /* coded, one_scale: [n_cols], times the scale; or NULL */
    size_t index;        /* the importer's own */
};

/* Room for BLOCK_ROWS rows of any tensor of the source. */
struct rows {
    int8_t *codes; /* [n_rows][n_cols] */
    uint8_t *bits; /* [n_rows][n_cols / 8], of binary tensors in place of codes: 1 is +1 */
    float *scales; /* [n_rows][n_groups], n_groups = group ? ceil(n_cols / group) : 1 */
    float *values; /* [n_rows][n_cols] */
    uint8_t *raw;  /* [raw_bytes], the importer's */
};

struct source {
    const char *path;
    struct net net;
    struct source_tensor *tensors;
    size_t n_tensors, n_alloc;
    size_t raw_bytes;        /* the most that read needs at once */
    struct buffer tokenizer; /* the section of the .bnp file; empty: none */
    char hash[17];           /* hash64 of the weights' files, hex */
    const char *likely_layout; /* of I2_S, as --i2s-layout spells it; NULL: no question */
    /* Rows [row, row + n_rows), at most BLOCK_ROWS, into to. May run on several threads. */
    bool (*read)(const struct source *s, const struct source_tensor *t, uint64_t row,
                 size_t n_rows, struct rows *to, struct bitnet_error *err);
    void (*close)(struct source *s); /* frees impl */
    void *impl;
};

/* What importers share: one table of the network's parts with their names in each world. */
enum naming { NAMES_GGUF, NAMES_HF };

/* Looks for the foreign tensor. *t comes with name, origin, role and the shape that the network
 * wants; the importer checks what it finds against it and fills in the rest. */
typedef bool locate_fn(struct source *s, struct source_tensor *t, bool *found,
                       struct bitnet_error *err);

/* Finds all parts in the foreign file and lists them in s->tensors; prefix stands before every
 * name. Fails on a missing part. */
bool source_build(struct source *s, enum naming naming, const char *prefix, locate_fn *locate,
                  struct bitnet_error *err);
/* Compares the shape found with the one that the network wants. */
bool source_shape(const struct source_tensor *t, uint64_t n_rows, uint64_t n_cols,
                  struct bitnet_error *err);
/* Packs the vocabulary into s->tokenizer and names the chat template; it must fit the embedding. */
struct vocab_file;
bool source_take_vocab(struct source *s, const struct vocab_file *v, struct bitnet_error *err);
/* Numbers of the network that no later check would catch, before sizes are computed from them. */
bool source_check_net(const struct source *s, struct bitnet_error *err);
void source_close(struct source *s);

/* Opens whatever path is: a GGUF file, a Hugging Face folder. */
struct import_options {
    const char *i2s_layout; /* "auto", "128", "64", "4row" */
    const char *ffn_act;    /* NULL: as the model says */
    const char *act;        /* NULL: as the family wants */
};
bool source_open(struct source *s, const char *path, const struct import_options *o,
                 struct bitnet_error *err);

#endif
