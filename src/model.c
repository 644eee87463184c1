/* model.c: see model.h. Opening is a sequence of questions to the file; the first one without an
 * answer ends it with a line that names the key or tensor, what stands there and what must. */
#include "src/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Upper bounds that keep every product below in range; far above any published model. */
enum { MAX_LAYERS = 1024, MAX_HEADS = 1024, MAX_HEAD_DIM = 1024, MAX_VOCAB = 1 << 22 };

struct reader {
    struct model *m;
    const struct bnp *file;
    struct bitnet_error *err;
    bool *used; /* [file->n_tensors] */
};

static bool number(struct reader *r, const char *key, size_t max, size_t *out)
{
    uint64_t v;
    if (!bnp_u64(r->file, key, &v))
        return fail(r->err, BITNET_BAD, "%s: key '%s' is missing", r->file->path, key);
    if (v < 1 || v > max)
        return fail(r->err, BITNET_BAD, "%s: key '%s' is %llu, wanted 1..%zu", r->file->path, key,
                    (unsigned long long)v, max);
    *out = (size_t)v;
    return true;
}

/* io holds the default, or what is no value where the key is needed. */
static bool real(struct reader *r, const char *key, double min, double max, double *io)
{
    bool found = bnp_f64(r->file, key, io), good = *io >= min && *io <= max;
    if (!found && !good) /* needed: the default is none */
        return fail(r->err, BITNET_BAD, "%s: key '%s' is missing", r->file->path, key);
    if (!good)
        return fail(r->err, BITNET_BAD, "%s: key '%s' is %g, wanted %g..%g", r->file->path, key,
                    *io, min, max);
    return true;
}

/* The position of the key's text in names (NULL-terminated); fallback when the key is absent. */
static bool choice(struct reader *r, const char *key, const char *const *names, int fallback,
                   int *out)
{
    const char *text = bnp_text(r->file, key);
    if (!text && fallback >= 0) {
        *out = fallback;
        return true;
    }
    for (int i = 0; text && names[i]; i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = i;
            return true;
        }
    }
    return fail(r->err, BITNET_BAD, "%s: key '%s' is '%s', which this version does not know",
                r->file->path, key, text ? text : "missing");
}

/* A key of another type would read as absent, and its default would stand in silently. */
static const struct {
    const char *key;
    enum bnp_type type;
} KNOWN_KEYS[] = {
    {"arch.name", BNP_TEXT},        {"arch.n_layers", BNP_U64},    {"arch.n_embd", BNP_U64},
    {"arch.n_ff", BNP_U64},         {"arch.n_heads", BNP_U64},     {"arch.n_kv_heads", BNP_U64},
    {"arch.head_dim", BNP_U64},     {"arch.n_vocab", BNP_U64},     {"arch.n_ctx", BNP_U64},
    {"arch.norm_eps", BNP_F64},     {"arch.out_norm_eps", BNP_F64}, {"arch.ffn_act", BNP_TEXT},
    {"arch.act", BNP_TEXT},         {"rope.base", BNP_F64},        {"rope.pairing", BNP_TEXT},
    {"rope.n_rot", BNP_U64},        {"rope.scaling", BNP_TEXT},    {"rope.factor", BNP_F64},
    {"rope.n_ctx_orig", BNP_U64},   {"rope.attn_factor", BNP_F64}, {"rope.beta_fast", BNP_F64},
    {"rope.beta_slow", BNP_F64},    {"pool", BNP_TEXT},            {"chat.template", BNP_TEXT},
};

static bool has_type(const struct bnp *f, const char *key, enum bnp_type type)
{
    uint64_t u;
    double d;
    switch (type) {
    case BNP_TEXT: return bnp_text(f, key) != NULL;
    case BNP_U64: return bnp_u64(f, key, &u);
    case BNP_F64: return bnp_f64(f, key, &d);
    }
    return false;
}

static bool check_keys(struct reader *r)
{
    static const char *const TYPES[] = {"", "a text", "a whole number", "a float"};
    const char *key;
    for (size_t i = 0; (key = bnp_meta_key(r->file, i)); i++) {
        size_t j = 0, n = sizeof KNOWN_KEYS / sizeof *KNOWN_KEYS;
        if (strncmp(key, "info.", 5) == 0)
            continue;
        while (j < n && strcmp(key, KNOWN_KEYS[j].key) != 0)
            j++;
        if (j == n)
            return fail(r->err, BITNET_BAD,
                        "%s: key '%s' is unknown; the file needs a newer bitnet", r->file->path,
                        key);
        if (!has_type(r->file, key, KNOWN_KEYS[j].type))
            return fail(r->err, BITNET_BAD, "%s: key '%s' is of another type, wanted %s",
                        r->file->path, key, TYPES[KNOWN_KEYS[j].type]);
    }
    return true;
}

static bool read_shape(struct reader *r)
{
    struct bitnet_shape *s = &r->m->shape;
    s->arch = bnp_text(r->file, "arch.name");
    if (!s->arch)
        return fail(r->err, BITNET_BAD, "%s: key 'arch.name' is missing", r->file->path);
    if (!number(r, "arch.n_layers", MAX_LAYERS, &s->n_layers) ||
        !number(r, "arch.n_embd", MAX_COLS, &s->n_embd) ||
        !number(r, "arch.n_ff", MAX_COLS, &s->n_ff) ||
        !number(r, "arch.n_heads", MAX_HEADS, &s->n_heads) ||
        !number(r, "arch.n_kv_heads", MAX_HEADS, &s->n_kv_heads) ||
        !number(r, "arch.head_dim", MAX_HEAD_DIM, &s->head_dim) ||
        !number(r, "arch.n_vocab", MAX_VOCAB, &s->n_vocab) ||
        !number(r, "arch.n_ctx", 1 << 20, &s->n_ctx_train))
        return false;
    if (s->n_heads % s->n_kv_heads != 0 || s->n_heads * s->head_dim > MAX_COLS)
        return fail(r->err, BITNET_BAD,
                    "%s: %zu heads of %zu cannot share %zu kv heads (wanted a multiple, at most %d "
                    "columns)",
                    r->file->path, s->n_heads, s->head_dim, s->n_kv_heads, MAX_COLS);
    return true;
}

static bool read_rope(struct reader *r)
{
    static const char *const PAIRINGS[] = {"half", "adjacent", NULL};
    static const char *const SCALINGS[] = {"none", "linear", "yarn", NULL};
    struct rope *p = &r->m->rope;
    const struct bitnet_shape *s = &r->m->shape;
    int pairing = 0, scaling = 0;
    *p = (struct rope){.base = -1, .factor = 1, .attn_factor = 1, .beta_fast = 32, .beta_slow = 1,
                       .n_rot = s->head_dim, .n_ctx_orig = s->n_ctx_train};
    uint64_t v;
    if (bnp_u64(r->file, "rope.n_rot", &v))
        p->n_rot = v > s->head_dim ? 0 : (size_t)v;
    if (p->n_rot < 2 || p->n_rot % 2 != 0)
        return fail(r->err, BITNET_BAD, "%s: key 'rope.n_rot': wanted an even number up to %zu",
                    r->file->path, s->head_dim);
    if (bnp_u64(r->file, "rope.n_ctx_orig", &v) &&
        !number(r, "rope.n_ctx_orig", 1 << 20, &p->n_ctx_orig))
        return false;
    if (!choice(r, "rope.pairing", PAIRINGS, -1, &pairing) ||
        !choice(r, "rope.scaling", SCALINGS, 0, &scaling) ||
        !real(r, "rope.base", 1.0, 1e12, &p->base) ||
        !real(r, "rope.factor", 1.0, 1e4, &p->factor) ||
        !real(r, "rope.attn_factor", 1e-3, 1e3, &p->attn_factor) ||
        !real(r, "rope.beta_fast", 1e-3, 1e6, &p->beta_fast) ||
        !real(r, "rope.beta_slow", 1e-3, 1e6, &p->beta_slow))
        return false;
    p->adjacent = pairing == 1;
    p->scaling = scaling == 0 ? ROPE_NONE : scaling == 1 ? ROPE_LINEAR : ROPE_YARN;
    return true;
}

static bool read_kinds(struct reader *r)
{
    static const char *const FFN_ACTS[] = {"relu2", "silu", NULL};
    static const char *const ACTS[] = {"i8", "i8g32", "i8g128", "f32", "i4", "sign", NULL};
    static const enum bitnet_act ACT_OF[] = {BITNET_ACT_I8,  BITNET_ACT_I8_G32, BITNET_ACT_I8_G128,
                                             BITNET_ACT_F32, BITNET_ACT_I4,     BITNET_ACT_SIGN};
    static const char *const POOLS[] = {"none", "last", NULL};
    int ffn = 0, act = 0, pool = 0;
    double eps = -1, out_eps = 0;
    if (!choice(r, "arch.ffn_act", FFN_ACTS, -1, &ffn) ||
        !choice(r, "arch.act", ACTS, -1, &act) || !choice(r, "pool", POOLS, 0, &pool) ||
        !real(r, "arch.norm_eps", 0, 1, &eps) ||
        !real(r, "arch.out_norm_eps", 0, 1, &out_eps))
        return false;
    r->m->ffn_act = ffn == 0 ? FFN_RELU2 : FFN_SILU;
    r->m->act = ACT_OF[act];
    r->m->norm_eps = (float)eps;
    r->m->out_norm_eps = (float)out_eps;
    return true;
}

static bool shape_is(struct reader *r, const struct bnp_tensor *t, size_t n_rows, size_t n_cols)
{
    if (t->matrix.n_rows == n_rows && t->matrix.n_cols == n_cols)
        return true;
    return fail(r->err, BITNET_BAD, "%s: tensor '%s' is %zu x %zu, wanted %zu x %zu",
                r->file->path, t->name, t->matrix.n_rows, t->matrix.n_cols, n_rows, n_cols);
}

static const struct bnp_tensor *find(struct reader *r, const char *name)
{
    const struct bnp_tensor *t = bnp_find(r->file, name);
    if (t)
        r->used[t - r->file->tensors] = true;
    return t;
}

/* A gain vector [1 x n], f32; NULL when absent and optional. */
static bool vector(struct reader *r, const char *name, size_t n, bool optional, const float **out)
{
    const struct bnp_tensor *t = find(r, name);
    *out = NULL;
    if (!t)
        return optional ||
               fail(r->err, BITNET_BAD, "%s: tensor '%s' is missing", r->file->path, name);
    if (!shape_is(r, t, 1, n))
        return false;
    if (t->matrix.encoding != ENC_F32 || t->matrix.scale_kind != SCALE_NONE)
        return fail(r->err, BITNET_BAD, "%s: tensor '%s' is not plain f32", r->file->path, name);
    *out = (const float *)t->matrix.lines; /* 64-byte aligned by the format */
    return true;
}

static bool table(struct reader *r, const char *name, size_t n_rows, size_t n_cols,
                  struct matrix *out)
{
    const struct bnp_tensor *t = find(r, name);
    if (!t)
        return fail(r->err, BITNET_BAD, "%s: tensor '%s' is missing", r->file->path, name);
    if (!shape_is(r, t, n_rows, n_cols))
        return false;
    if (t->matrix.encoding == ENC_F32)
        return fail(r->err, BITNET_BAD, "%s: tensor '%s' is f32, wanted a packed encoding",
                    r->file->path, name);
    *out = t->matrix;
    return true;
}

/* Layers are alike: what one has and another lacks was lost on the way, and would go unnoticed. */
static bool optional_vector(struct reader *r, size_t layer, const char *suffix, size_t n,
                            const float **out)
{
    char name[96], first[96];
    snprintf(name, sizeof name, "blk.%zu.%s", layer, suffix);
    snprintf(first, sizeof first, "blk.0.%s", suffix);
    if (!bnp_find(r->file, name) != !bnp_find(r->file, first))
        return fail(r->err, BITNET_BAD,
                    "%s: layers 0 and %zu differ: one has tensor '%s' and one has not",
                    r->file->path, layer, suffix);
    return vector(r, name, n, true, out);
}

static bool linear(struct reader *r, size_t layer, const char *suffix, size_t n_rows,
                   size_t n_cols, struct linear *out)
{
    char name[96], more[96];
    snprintf(name, sizeof name, "blk.%zu.%s", layer, suffix);
    if (!table(r, name, n_rows, n_cols, &out->w))
        return false;
    snprintf(more, sizeof more, "%s.norm_in", suffix);
    if (!optional_vector(r, layer, more, n_cols, &out->norm_in))
        return false;
    snprintf(more, sizeof more, "%s.in_bias", suffix);
    if (!optional_vector(r, layer, more, n_cols, &out->in_bias))
        return false;
    snprintf(more, sizeof more, "%s.out_scale", suffix);
    if (!optional_vector(r, layer, more, n_rows, &out->out_scale))
        return false;
    if (out->out_scale && r->m->out_norm_eps <= 0)
        return fail(r->err, BITNET_BAD,
                    "%s: tensor '%s.out_scale' wants key 'arch.out_norm_eps' above 0",
                    r->file->path, name);
    return true;
}

static bool gain(struct reader *r, size_t layer, const char *suffix, size_t n, const float **out)
{
    char name[96];
    snprintf(name, sizeof name, "blk.%zu.%s", layer, suffix);
    return vector(r, name, n, false, out);
}

static bool read_layer(struct reader *r, size_t i)
{
    const struct bitnet_shape *s = &r->m->shape;
    struct layer *l = &r->m->layers[i];
    size_t q = s->n_heads * s->head_dim, kv = s->n_kv_heads * s->head_dim;
    if (!gain(r, i, "attn_norm", s->n_embd, &l->attn_norm) ||
        !optional_vector(r, i, "attn_sub_norm", q, &l->attn_sub_norm) ||
        !optional_vector(r, i, "attn_q_norm", s->head_dim, &l->q_norm) ||
        !optional_vector(r, i, "attn_k_norm", s->head_dim, &l->k_norm) ||
        !gain(r, i, "ffn_norm", s->n_embd, &l->ffn_norm) ||
        !optional_vector(r, i, "ffn_sub_norm", s->n_ff, &l->ffn_sub_norm))
        return false;
    if (!l->q_norm != !l->k_norm)
        return fail(r->err, BITNET_BAD, "%s: layer %zu has one of attn_q_norm and attn_k_norm",
                    r->file->path, i);
    return linear(r, i, "attn_q", q, s->n_embd, &l->q) &&
           linear(r, i, "attn_k", kv, s->n_embd, &l->k) &&
           linear(r, i, "attn_v", kv, s->n_embd, &l->v) &&
           linear(r, i, "attn_output", s->n_embd, q, &l->o) &&
           linear(r, i, "ffn_gate", s->n_ff, s->n_embd, &l->gate) &&
           linear(r, i, "ffn_up", s->n_ff, s->n_embd, &l->up) &&
           linear(r, i, "ffn_down", s->n_embd, s->n_ff, &l->down);
}

/* What one token reads, and the packing of the layers' matrices, from the directory. */
static void weigh(struct model *m, const struct bnp *file)
{
    uint64_t layer_bytes = 0, layer_weights = 0, head_bytes = 0;
    for (size_t i = 0; i < file->n_tensors; i++) {
        const struct bnp_tensor *t = &file->tensors[i];
        if (strncmp(t->name, "blk.", 4) == 0) {
            layer_bytes += t->n_bytes;
            if (t->matrix.n_rows > 1)
                layer_weights += (uint64_t)t->matrix.n_rows * t->matrix.n_cols;
        }
        if (t->matrix.lines == m->head.lines)
            head_bytes = t->n_bytes;
    }
    m->shape.file_bytes = file->n_bytes;
    m->shape.decode_bytes = layer_bytes + head_bytes;
    m->shape.bits_per_weight =
        layer_weights ? 8.0 * (double)layer_bytes / (double)layer_weights : 0.0;
}

/* A tensor that no part of the network is made of may be what a newer network needs, or a name
 * misspelt. */
static bool check_used(const struct reader *r)
{
    for (size_t i = 0; i < r->file->n_tensors; i++)
        if (!r->used[i])
            return fail(r->err, BITNET_BAD,
                        "%s: tensor '%s' is unknown; the file needs a newer bitnet",
                        r->file->path, r->file->tensors[i].name);
    return true;
}

static bool read_tensors(struct reader *r)
{
    struct model *m = r->m;
    const struct bitnet_shape *s = &m->shape;
    if (!table(r, "token_embd", s->n_vocab, s->n_embd, &m->embd) ||
        !vector(r, "output_norm", s->n_embd, false, &m->output_norm))
        return false;
    m->head = m->embd;
    if (bnp_find(r->file, "output") && !table(r, "output", s->n_vocab, s->n_embd, &m->head))
        return false;
    if (m->embd.scale_kind == SCALE_COLUMN || m->head.scale_kind == SCALE_COLUMN)
        return fail(r->err, BITNET_BAD, "%s: column scales on an embedding or head",
                    r->file->path);
    for (size_t i = 0; i < s->n_layers; i++)
        if (!read_layer(r, i))
            return false;
    return check_used(r);
}

bool model_open(struct model *m, const struct bnp *file, struct bitnet_error *err)
{
    *m = (struct model){0};
    struct reader r = {.m = m, .file = file, .err = err};
    if (!check_keys(&r) || !read_shape(&r) || !read_rope(&r) || !read_kinds(&r))
        return false;
    m->layers = calloc(m->shape.n_layers, sizeof *m->layers);
    r.used = calloc(file->n_tensors + 1, sizeof *r.used);
    bool ok = m->layers && r.used ? read_tensors(&r)
                                  : fail(err, BITNET_FAILED, "%s: out of memory", file->path);
    free(r.used);
    if (ok)
        weigh(m, file);
    else
        model_close(m);
    return ok;
}

void model_close(struct model *m)
{
    free(m->layers);
    *m = (struct model){0};
}
