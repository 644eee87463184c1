/* source.c: the table of a network's parts and the walk over it. */
#include "tools/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "tools/gguf_model.h"
#include "tools/hf.h"

const char weights_only_act[] = "i8g128";

enum dim { DIM_1, DIM_VOCAB, DIM_EMBD, DIM_Q, DIM_KV, DIM_FF, DIM_HEAD };

struct part {
    const char *name;  /* in the .bnp file and in GGUF */
    const char *hf[2]; /* in Hugging Face's, with a second spelling */
    enum tensor_role role;
    uint8_t rows, cols;
    bool optional;
    const char *arch; /* networks whose name begins so must have it all the same */
};

static const struct part GLOBAL_PARTS[] = {
    {"token_embd", {"embed_tokens"}, ROLE_TABLE, DIM_VOCAB, DIM_EMBD, false, NULL},
    {"output_norm", {"norm"}, ROLE_GAIN, DIM_1, DIM_EMBD, false, NULL},
    {"output", {"lm_head"}, ROLE_TABLE, DIM_VOCAB, DIM_EMBD, true, NULL},
};

enum { ATTN_Q_NORM = 4, ATTN_K_NORM }; /* places in the table, which come together */

static const struct part LAYER_PARTS[] = {
    {"attn_norm", {"input_layernorm"}, ROLE_GAIN, DIM_1, DIM_EMBD, false, NULL},
    {"attn_q", {"self_attn.q_proj"}, ROLE_BODY, DIM_Q, DIM_EMBD, false, NULL},
    {"attn_k", {"self_attn.k_proj"}, ROLE_BODY, DIM_KV, DIM_EMBD, false, NULL},
    {"attn_v", {"self_attn.v_proj"}, ROLE_BODY, DIM_KV, DIM_EMBD, false, NULL},
    [ATTN_Q_NORM] = {"attn_q_norm", {"self_attn.q_norm"}, ROLE_GAIN, DIM_1, DIM_HEAD, true,
     "qwen3"},
    [ATTN_K_NORM] = {"attn_k_norm", {"self_attn.k_norm"}, ROLE_GAIN, DIM_1, DIM_HEAD, true,
     "qwen3"},
    {"attn_sub_norm", {"self_attn.attn_sub_norm", "self_attn.inner_attn_ln"}, ROLE_GAIN, DIM_1,
     DIM_Q, true, "bitnet"},
    {"attn_output", {"self_attn.o_proj"}, ROLE_BODY, DIM_EMBD, DIM_Q, false, NULL},
    {"ffn_norm", {"post_attention_layernorm"}, ROLE_GAIN, DIM_1, DIM_EMBD, false, NULL},
    {"ffn_gate", {"mlp.gate_proj"}, ROLE_BODY, DIM_FF, DIM_EMBD, false, NULL},
    {"ffn_up", {"mlp.up_proj"}, ROLE_BODY, DIM_FF, DIM_EMBD, false, NULL},
    {"ffn_sub_norm", {"mlp.ffn_sub_norm", "mlp.ffn_layernorm"}, ROLE_GAIN, DIM_1, DIM_FF, true,
     "bitnet"},
    {"ffn_down", {"mlp.down_proj"}, ROLE_BODY, DIM_EMBD, DIM_FF, false, NULL},
};
enum { N_LAYER_PARTS = sizeof LAYER_PARTS / sizeof *LAYER_PARTS };

/* Vectors that may accompany a matrix of the body: over its columns or its rows. */
static const struct companion {
    const char *name, *gguf, *hf;
    bool over_rows;
} COMPANIONS[] = {
    {".norm_in", "_norm_in.weight", ".norm.weight", false},
    {".in_bias", NULL, ".wbias", false},
    {".out_scale", NULL, ".weight_scale", true},
};
enum { N_COMPANIONS = sizeof COMPANIONS / sizeof *COMPANIONS };

static uint64_t dim_of(const struct net *n, uint8_t d)
{
    switch ((enum dim)d) {
    case DIM_1: return 1;
    case DIM_VOCAB: return n->n_vocab;
    case DIM_EMBD: return n->n_embd;
    case DIM_Q: return n->n_heads * n->head_dim;
    case DIM_KV: return n->n_kv_heads * n->head_dim;
    case DIM_FF: return n->n_ff;
    case DIM_HEAD: return n->head_dim;
    }
    return 0;
}

bool source_shape(const struct source_tensor *t, uint64_t n_rows, uint64_t n_cols,
                  struct bitnet_error *err)
{
    if (n_rows == t->n_rows && n_cols == t->n_cols)
        return true;
    return fail(err, BITNET_BAD,
                "%s: tensor '%s' is %llu x %llu, the configuration wants %llu x %llu", t->file,
                t->origin, (unsigned long long)n_rows, (unsigned long long)n_cols,
                (unsigned long long)t->n_rows, (unsigned long long)t->n_cols);
}

static bool add(struct source *s, const struct source_tensor *t, struct bitnet_error *err)
{
    if (s->n_tensors == s->n_alloc) {
        size_t n = s->n_alloc ? 2 * s->n_alloc : 64;
        struct source_tensor *moved = realloc(s->tensors, n * sizeof *moved);
        if (!moved)
            return fail(err, BITNET_FAILED, "%s: out of memory", s->path);
        s->tensors = moved;
        s->n_alloc = n;
    }
    s->tensors[s->n_tensors++] = *t;
    return true;
}

/* One part of layer (or of none, -1) under one spelling; adds it when it is there. */
static bool try_part(struct source *s, const struct part *p, int layer, const char *stem,
                     locate_fn *locate, bool *found, struct bitnet_error *err)
{
    struct source_tensor t = {.file = s->path, .role = p->role};
    t.n_rows = dim_of(&s->net, p->rows);
    t.n_cols = dim_of(&s->net, p->cols);
    if (layer < 0)
        snprintf(t.name, sizeof t.name, "%s", p->name);
    else
        snprintf(t.name, sizeof t.name, "blk.%d.%s", layer, p->name);
    snprintf(t.origin, sizeof t.origin, "%s.weight", stem);
    *found = false;
    return locate(s, &t, found, err) && (!*found || add(s, &t, err));
}

/* found_bits: bit 1 + i for companion i. */
static bool try_companions(struct source *s, enum naming naming, const struct part *p, int layer,
                           const char *stem, locate_fn *locate, uint8_t *found_bits,
                           struct bitnet_error *err)
{
    for (size_t i = 0; i < N_COMPANIONS; i++) {
        const struct companion *c = &COMPANIONS[i];
        const char *suffix = naming == NAMES_GGUF ? c->gguf : c->hf;
        struct source_tensor t = {.file = s->path, .role = ROLE_GAIN, .n_rows = 1};
        bool found = false;
        if (!suffix)
            continue;
        t.n_cols = dim_of(&s->net, c->over_rows ? p->rows : p->cols);
        snprintf(t.name, sizeof t.name, "blk.%d.%s%s", layer, p->name, c->name);
        snprintf(t.origin, sizeof t.origin, "%s%s", stem, suffix);
        if (!locate(s, &t, &found, err) || (found && !add(s, &t, err)))
            return false;
        *found_bits |= (uint8_t)(found << (1 + i));
    }
    return true;
}

/* Layers are alike: what one has and another lacks was lost on the way, and would go unnoticed. */
static bool like_first(const struct source *s, int layer, const char *stem, uint8_t found,
                       uint8_t first, struct bitnet_error *err)
{
    const char *suffix = "";
    for (size_t i = 0; i < N_COMPANIONS; i++)
        if ((found ^ first) >> (1 + i) & 1)
            suffix = COMPANIONS[i].name;
    return found == first ||
           fail(err, BITNET_BAD, "%s: layers 0 and %d differ: one has '%s%s' and one has not",
                s->path, layer, stem, suffix);
}

/* first: what layer 0 has of this part: bit 0 itself, and its companions; the layers behind it must
 * have the same. */
static bool build_part(struct source *s, enum naming naming, const char *prefix,
                       const struct part *p, int layer, locate_fn *locate, uint8_t *first,
                       struct bitnet_error *err)
{
    char stem[160], wanted[160] = "";
    uint8_t bits = 0;
    bool found = false, named = p->arch && strncmp(p->arch, s->net.arch, strlen(p->arch)) == 0;
    for (size_t i = 0; i < 2 && !found; i++) {
        const char *name = naming == NAMES_GGUF ? (i ? NULL : p->name) : p->hf[i];
        /* Hugging Face puts the head beside the model, not inside it. */
        bool is_head = p->role == ROLE_TABLE && p->optional;
        const char *before = naming == NAMES_HF && is_head ? "" : prefix;
        if (!name)
            break;
        if (layer < 0)
            snprintf(stem, sizeof stem, "%s%s", before, name);
        else
            snprintf(stem, sizeof stem, naming == NAMES_GGUF ? "%sblk.%d.%s" : "%slayers.%d.%s",
                     before, layer, name);
        if (i == 0)
            memcpy(wanted, stem, sizeof wanted);
        if (!try_part(s, p, layer, stem, locate, &found, err))
            return false;
    }
    if (!found && (!p->optional || named || (layer > 0 && *first)))
        return fail(err, BITNET_BAD, "%s: tensor '%s.weight' is missing", s->path, wanted);
    bits = found;
    if (found && p->role == ROLE_BODY &&
        !try_companions(s, naming, p, layer, stem, locate, &bits, err))
        return false;
    if (layer <= 0)
        *first = bits;
    return like_first(s, layer, stem, bits, *first, err);
}

bool source_build(struct source *s, enum naming naming, const char *prefix, locate_fn *locate,
                  struct bitnet_error *err)
{
    uint8_t first[N_LAYER_PARTS];
    for (size_t i = 0; i < sizeof GLOBAL_PARTS / sizeof *GLOBAL_PARTS; i++)
        if (!build_part(s, naming, prefix, &GLOBAL_PARTS[i], -1, locate, first, err))
            return false;
    for (uint64_t n = 0; n < s->net.n_layers; n++)
        for (size_t i = 0; i < N_LAYER_PARTS; i++)
            if (!build_part(s, naming, prefix, &LAYER_PARTS[i], (int)n, locate, &first[i],
                            err))
                return false;
    return first[ATTN_Q_NORM] == first[ATTN_K_NORM] ||
           fail(err, BITNET_BAD, "%s: layers have one of attn_q_norm and attn_k_norm, wanted both "
                "or none", s->path);
}

static bool in_range(const struct source *s, const char *what, uint64_t v, uint64_t max,
                     struct bitnet_error *err)
{
    if (v >= 1 && v <= max)
        return true;
    return fail(err, BITNET_BAD, "%s: %s is %llu, wanted 1..%llu", s->path, what,
                (unsigned long long)v, (unsigned long long)max);
}

bool source_check_net(const struct source *s, struct bitnet_error *err)
{
    const struct net *n = &s->net;
    if (!in_range(s, "number of layers", n->n_layers, 1024, err) ||
        !in_range(s, "embedding length", n->n_embd, MAX_COLS, err) ||
        !in_range(s, "feed-forward length", n->n_ff, MAX_COLS, err) ||
        !in_range(s, "number of heads", n->n_heads, 1024, err) ||
        !in_range(s, "number of kv heads", n->n_kv_heads, 1024, err) ||
        !in_range(s, "head dimension", n->head_dim, 1024, err) ||
        !in_range(s, "query width", n->n_heads * n->head_dim, MAX_COLS, err) ||
        !in_range(s, "vocabulary size", n->n_vocab, 1 << 22, err) ||
        !in_range(s, "context length", n->n_ctx, 1 << 20, err))
        return false;
    if (n->n_heads % n->n_kv_heads)
        return fail(err, BITNET_BAD, "%s: %llu heads cannot share %llu kv heads", s->path,
                    (unsigned long long)n->n_heads, (unsigned long long)n->n_kv_heads);
    if (!(n->norm_eps >= 0 && n->norm_eps <= 1))
        return fail(err, BITNET_BAD, "%s: norm epsilon is %g, wanted 0..1", s->path, n->norm_eps);
    if (!(n->rope_base >= 1 && n->rope_base <= 1e12))
        return fail(err, BITNET_BAD, "%s: rope base is %g, wanted 1..1e12", s->path, n->rope_base);
    if (n->n_rot % 2 || n->n_rot > n->head_dim || (n->n_rot == 0 && n->head_dim % 2))
        return fail(err, BITNET_BAD, "%s: rope turns %llu dimensions of %llu", s->path,
                    (unsigned long long)n->n_rot, (unsigned long long)n->head_dim);
    if (!(n->rope_factor >= 1 && n->rope_factor <= 1e4))
        return fail(err, BITNET_BAD, "%s: rope scaling factor is %g, wanted 1..10000", s->path,
                    n->rope_factor);
    return true;
}

void source_close(struct source *s)
{
    if (s->close && s->impl)
        s->close(s);
    buffer_free(&s->tokenizer);
    free(s->tensors);
    *s = (struct source){0};
}

bool source_open(struct source *s, const char *path, const struct import_options *o,
                 struct bitnet_error *err)
{
    size_t n = strlen(path);
    if (n > 12 && strcmp(path + n - 12, ".safetensors") == 0)
        return fail(err, BITNET_BAD, "%s: give the folder that holds it, with its config.json and "
                    "tokenizer.json", path);
    return path_is_dir(path) ? hf_open(s, path, o, err) : gguf_model_open(s, path, o, err);
}
