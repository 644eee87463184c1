/* gguf_model.c: the tensors of a GGUF file as parts of a network.
 *
 * A type's id alone does not say what a tensor holds: several projects use the same ids. So each
 * low-bit tensor must also span as many bytes as its type takes, and the ids that are known to
 * clash are decided by that and by the file's other marks. */
#include "tools/gguf_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/layout.h"
#include "tools/vocab.h"

struct placed {
    const struct gguf_tensor *tensor;
    const struct gguf_type *type; /* NULL: I2_S */
    uint64_t row_bytes;
    float scale;    /* I2_S */
    float multiply; /* by the ".scale" beside it */
};

struct importer {
    struct gguf g;
    struct placed *placed;
    size_t n_placed, n_alloc;
    enum i2s_layout layout;
    bool guess_layout;
    uint64_t alignment;
    uint32_t q2_group; /* 64 or 128; 0: not decided yet */
    bool is_i2s;       /* id 36 is I2_S and not a removed type of ggml */
};

static bool bad(const struct importer *f, const struct gguf_tensor *t, struct bitnet_error *err,
                const char *what)
{
    char name[32];
    gguf_type_name(name, t->type);
    return fail(err, BITNET_BAD, "%s: tensor '%s' (%s) %s", f->g.path, t->name, name, what);
}

/* Does the tensor span n_bytes? The last one of a file may be followed by anything. */
static bool spans(const struct importer *f, const struct gguf_tensor *t, uint64_t n_bytes)
{
    return t->span_bytes >= n_bytes && (t->last || t->span_bytes < n_bytes + f->alignment);
}

static uint64_t i2s_bytes(const struct gguf_tensor *t)
{
    return t->n_items / 4 + 32;
}

static uint64_t bytes_as(const struct gguf_type *type, const struct gguf_tensor *t)
{
    return t->n_items / t->ne[0] * gguf_row_bytes(type, t->ne[0]);
}

/* What ids that clash mean in this file, before any tensor is placed. */
static void look_around(struct importer *f)
{
    uint64_t file_type = 0;
    struct gguf_text arch = {"", 0};
    bool all = true, any = false, fits64 = true, fits128 = true;
    gguf_get_u64(&f->g, "general.file_type", &file_type);
    gguf_get_text(&f->g, "general.architecture", &arch);
    f->alignment = 32;
    gguf_get_u64(&f->g, "general.alignment", &f->alignment);
    for (size_t i = 0; i < f->g.n_tensors; i++) {
        const struct gguf_tensor *t = &f->g.tensors[i];
        if (t->type == GGUF_I2_S) {
            any = true;
            all &= spans(f, t, i2s_bytes(t));
        }
        if (t->type == GGUF_Q2_0 && !t->last) { /* the last one may have been cut */
            fits64 &= t->ne[0] % 64 == 0 && spans(f, t, bytes_as(gguf_type(GGUF_Q2_0, 64), t));
            fits128 &= t->ne[0] % 128 == 0 && spans(f, t, bytes_as(gguf_type(GGUF_Q2_0, 128), t));
        }
    }
    bool bitnet = arch.n_bytes >= 6 && memcmp(arch.bytes, "bitnet", 6) == 0;
    f->is_i2s = file_type == 40 || bitnet || (any && all);
    f->q2_group = fits64 ? 64 : fits128 ? 128 : 0;
}

/* The type of a tensor that can be read; NULL with a message, or for I2_S without one. */
static const struct gguf_type *type_of(const struct importer *f, const struct gguf_tensor *t,
                                       struct bitnet_error *err)
{
    if (t->type == GGUF_I2_S && f->is_i2s)
        return NULL;
    if (t->type == GGUF_I2_S || t->type == 37) {
        bad(f, t, err, "is not I2_S by its size, but a type that ggml has removed: fetch another "
            "file of this model");
        return NULL;
    }
    if (t->type == GGUF_TL1 || t->type == GGUF_TL2) {
        bad(f, t, err, "cannot be read without the tuning tables of the build that wrote it: "
            "fetch the i2_s file of this model");
        return NULL;
    }
    const struct gguf_type *type = gguf_type(t->type, f->q2_group ? f->q2_group : 64);
    if (!type) {
        bad(f, t, err, "is of a type that cannot be read; wanted I2_S, TQ1_0, TQ2_0, Q1_0, Q2_0, "
            "PQ2_0, PTQ1_0, IQ1_BN or IQ2_BN, and for embedding, head and norms F32, F16, BF16, "
            "Q8_0, Q6_K, Q4_0 or Q4_K");
        return NULL;
    }
    if (t->ne[0] % type->block_items) {
        bad(f, t, err, "has rows that are no whole number of its blocks");
        return NULL;
    }
    return type;
}

static bool check_span(const struct importer *f, const struct gguf_tensor *t, uint64_t n_bytes,
                       struct bitnet_error *err)
{
    char name[32];
    if (spans(f, t, n_bytes))
        return true;
    gguf_type_name(name, t->type);
    return fail(err, BITNET_BAD, "%s: tensor '%s' (%s) spans %llu bytes, its type takes %llu: "
                "another project's type with the same id?", f->g.path, t->name, name,
                (unsigned long long)t->span_bytes, (unsigned long long)n_bytes);
}

/* A file that ends too early is the commonest fault, so it is looked for before anything else. */
static bool check_length(const struct importer *f, struct bitnet_error *err)
{
    for (size_t i = 0; i < f->g.n_parts; i++) {
        const struct infile *file = &f->g.parts[i].file;
        uint64_t end = 0;
        for (size_t k = 0; k < f->g.n_tensors; k++) {
            const struct gguf_tensor *t = &f->g.tensors[k];
            const struct gguf_type *type = gguf_type(t->type, f->q2_group ? f->q2_group : 128);
            uint64_t n = t->type == GGUF_I2_S && f->is_i2s ? i2s_bytes(t)
                         : type ? bytes_as(type, t)
                                : 0;
            if (t->part == i && t->off + n > end)
                end = t->off + n;
        }
        if (end > file->n_bytes)
            return fail(err, BITNET_BAD, "%s: cut short: %llu bytes of %llu are missing: download "
                        "it again", file->path, (unsigned long long)(end - file->n_bytes),
                        (unsigned long long)end);
    }
    return true;
}

static bool read_one_f32(const struct importer *f, const struct gguf_tensor *t, uint64_t off,
                         float *out, struct bitnet_error *err)
{
    uint8_t raw[4];
    if (!infile_read(&f->g.parts[t->part].file, t->off + off, raw, 4, err))
        return false;
    *out = load_f32(raw);
    return true;
}

/* "X.weight" may have "X.scale", one f32 by which its product is multiplied. */
static bool read_companion(const struct importer *f, const struct source_tensor *t,
                           struct placed *p, struct bitnet_error *err)
{
    char name[224];
    snprintf(name, sizeof name, "%.*s.scale", (int)(strlen(t->origin) - strlen(".weight")),
             t->origin);
    struct gguf_tensor *scale = gguf_tensor(&f->g, name);
    p->multiply = 1;
    if (!scale)
        return true;
    if (scale->type != 0 || scale->n_items != 1)
        return bad(f, scale, err, "is not one F32, as a scale beside a matrix must be");
    scale->used = true;
    return read_one_f32(f, scale, 0, &p->multiply, err);
}

static bool place_i2s(const struct importer *f, struct source_tensor *t, struct placed *p,
                      struct bitnet_error *err)
{
    uint64_t unit = f->layout == I2S_128 ? 128 : f->layout == I2S_64 ? 64 : 4 * t->n_cols;
    if (p->tensor->n_items % unit)
        return bad(f, p->tensor, err,
                   "is no whole number of I2_S blocks; try another --i2s-layout");
    if (!check_span(f, p->tensor, i2s_bytes(p->tensor), err) ||
        !read_one_f32(f, p->tensor, p->tensor->n_items / 4, &p->scale, err))
        return false;
    t->coded = t->one_scale = true;
    t->from = f->layout == I2S_128 ? "I2_S" : f->layout == I2S_64 ? "I2_S (64)" : "I2_S (4 rows)";
    return true;
}

static bool place_rows(struct source *s, const struct importer *f, struct source_tensor *t,
                       struct placed *p, struct bitnet_error *err)
{
    const struct gguf_type *type = p->type;
    p->row_bytes = gguf_row_bytes(type, t->n_cols);
    if ((t->role == ROLE_GAIN && type->code_max) || (t->role == ROLE_BODY && type->code_max == 8))
        return bad(f, p->tensor, err, t->role == ROLE_GAIN
                       ? "is low-bit, wanted floats"
                       : "is not low-bit; only 1-bit and ternary models can be converted");
    if (type->code_max && !check_span(f, p->tensor, t->n_rows * p->row_bytes, err))
        return false;
    t->coded = type->code_max != 0;
    t->binary = type->id == GGUF_Q1_0;
    t->group = type->group;
    t->from = type->name;
    /* Floats may be exactly low-bit; if not, those of BitNet models are masters. */
    t->exact_first = t->role == ROLE_BODY && !t->coded;
    t->absmean = t->exact_first && s->net.act && strcmp(s->net.act, "i8") == 0;
    size_t raw = BLOCK_ROWS * (size_t)p->row_bytes;
    s->raw_bytes = raw > s->raw_bytes ? raw : s->raw_bytes;
    return true;
}

static bool add_placed(struct importer *f, struct source_tensor *t, const struct placed *p,
                       struct bitnet_error *err)
{
    if (f->n_placed == f->n_alloc) {
        size_t n = f->n_alloc ? 2 * f->n_alloc : 64;
        struct placed *moved = realloc(f->placed, n * sizeof *moved);
        if (!moved)
            return fail(err, BITNET_FAILED, "%s: out of memory", f->g.path);
        f->placed = moved;
        f->n_alloc = n;
    }
    t->index = f->n_placed;
    f->placed[f->n_placed++] = *p;
    return true;
}

static bool locate(struct source *s, struct source_tensor *t, bool *found, struct bitnet_error *err)
{
    struct importer *f = s->impl;
    struct gguf_tensor *g = gguf_tensor(&f->g, t->origin);
    if (!g)
        return true;
    g->used = true;
    if (!source_shape(t, g->n_items / g->ne[0], g->ne[0], err))
        return false;
    struct placed p = {.tensor = g, .type = type_of(f, g, err), .multiply = 1};
    if (err->code != BITNET_OK)
        return false;
    if (!p.type && t->role != ROLE_BODY)
        return bad(f, g, err, "is ternary, wanted floats");
    bool ok = p.type ? place_rows(s, f, t, &p, err) : place_i2s(f, t, &p, err);
    if (!p.type) {
        uint64_t off, n_bytes;
        i2s_range(f->layout, 3, BLOCK_ROWS, t->n_cols, &off, &n_bytes);
        s->raw_bytes = n_bytes + 256 > s->raw_bytes ? n_bytes + 256 : s->raw_bytes;
    }
    if (ok && t->role == ROLE_BODY)
        ok = read_companion(f, t, &p, err);
    *found = ok;
    return ok && add_placed(f, t, &p, err);
}

static bool read_rows(const struct source *s, const struct source_tensor *t, uint64_t row,
                      size_t n_rows, struct rows *to, struct bitnet_error *err)
{
    const struct importer *f = s->impl;
    const struct placed *p = &f->placed[t->index];
    const struct infile *file = &f->g.parts[p->tensor->part].file;
    size_t n_cols = t->n_cols, n_scales = n_rows * (t->group ? n_cols / t->group : 1);
    uint64_t off = row * p->row_bytes, n_bytes = n_rows * p->row_bytes;
    if (!p->type)
        i2s_range(f->layout, row, n_rows, n_cols, &off, &n_bytes);
    if (!infile_read(file, p->tensor->off + off, to->raw, n_bytes, err))
        return false;
    if (t->binary) {
        gguf_decode_bits(to->raw, n_rows, n_cols, to->bits, to->scales);
    } else if (p->type) {
        gguf_decode(p->type, to->raw, n_rows, n_cols, to->codes, to->scales, to->values);
    } else {
        if (!i2s_decode(f->layout, to->raw, row, n_rows, n_cols, to->codes))
            return fail(err, BITNET_BAD, "%s: tensor '%s', rows %llu..%llu hold code 3, wanted "
                        "0..2: another --i2s-layout?", t->file, t->origin, (unsigned long long)row,
                        (unsigned long long)(row + n_rows - 1));
        for (size_t i = 0; i < n_scales; i++)
            to->scales[i] = p->scale;
    }
    for (size_t i = 0; p->multiply != 1 && t->coded && i < n_scales; i++)
        to->scales[i] *= p->multiply;
    for (size_t i = 0; p->multiply != 1 && !t->coded && i < n_rows * n_cols; i++)
        to->values[i] *= p->multiply;
    return true;
}

static void close_model(struct source *s)
{
    struct importer *f = s->impl;
    gguf_close(&f->g);
    free(f->placed);
    free(f);
}

/* Frequency factors for each pair of dimensions: only those that change nothing. */
static bool check_rope_freqs(const struct importer *f, struct gguf_tensor *t,
                             struct bitnet_error *err)
{
    float factor;
    if (t->type != 0 || t->n_items > 4096)
        return bad(f, t, err, "is not a short vector of F32");
    for (uint64_t i = 0; i < t->n_items; i++) {
        if (!read_one_f32(f, t, 4 * i, &factor, err))
            return false;
        if (factor != 1)
            return bad(f, t, err, "changes rotary frequencies one by one; that is not supported");
    }
    t->used = true;
    return true;
}

static bool check_used(struct importer *f, const char *arch, struct bitnet_error *err)
{
    struct gguf_tensor *freqs = gguf_tensor(&f->g, "rope_freqs.weight");
    if (freqs && !check_rope_freqs(f, freqs, err))
        return false;
    for (size_t i = 0; i < f->g.n_tensors; i++)
        if (!f->g.tensors[i].used)
            return fail(err, BITNET_BAD, "%s: tensor '%s' has no place in a %s network",
                        f->g.path, f->g.tensors[i].name, arch);
    return true;
}

/* What the tensors say beyond the keys. */
static void settle(struct source *s)
{
    struct net *n = &s->net;
    bool norm_in = false;
    for (size_t i = 0; i < s->n_tensors && !norm_in; i++)
        norm_in = strcmp(s->tensors[i].name, "blk.0.attn_q.norm_in") == 0;
    if (norm_in) { /* a BitNet embedding model */
        n->act = "i8";
        n->pool_last = true;
    }
    /* "bitnet" once meant silu; some conversions of 2B-4T carry it, too. */
    if (strcmp(n->arch, "bitnet") == 0 && (n->n_vocab == 128256 || n->n_ff == 6912))
        n->ffn_act = "relu2";
}

static bool find_vocab_size(struct source *s, const struct importer *f, struct bitnet_error *err)
{
    const struct gguf_tensor *embd = gguf_tensor(&f->g, "token_embd.weight");
    if (!embd)
        return fail(err, BITNET_BAD, "%s: tensor 'token_embd.weight' is missing%s", s->path,
                    f->g.n_tensors ? "" : " (a vocabulary alone?)");
    s->net.n_vocab = embd->n_items / embd->ne[0];
    return true;
}

static bool hash_parts(struct source *s, const struct importer *f, struct bitnet_error *err)
{
    struct hasher hasher;
    hasher_init(&hasher);
    for (size_t i = 0; i < f->g.n_parts; i++)
        if (!infile_hash(&f->g.parts[i].file, &hasher, err))
            return false;
    snprintf(s->hash, sizeof s->hash, "%016llx", (unsigned long long)hasher_value(&hasher));
    return true;
}

static bool read_vocab(struct source *s, const struct importer *f, struct bitnet_error *err)
{
    struct vocab_file v = {0};
    bool ok = vocab_from_gguf(&v, &f->g, err) && source_take_vocab(s, &v, err);
    vocab_close(&v);
    return ok;
}

static bool look_at_layout(struct source *s, struct importer *f, struct bitnet_error *err)
{
    static const char *const names[] = {[I2S_128] = "128", [I2S_64] = "64", [I2S_4ROW] = "4row"};
    bool any = false, sure = true;
    for (size_t i = 0; i < f->g.n_tensors; i++)
        any |= f->g.tensors[i].type == GGUF_I2_S && f->is_i2s;
    if (any && f->guess_layout && !i2s_look(&f->g, &f->layout, &sure, err))
        return false;
    s->likely_layout = sure ? NULL : names[f->layout];
    return true;
}

static bool build(struct source *s, struct bitnet_error *err)
{
    struct importer *f = s->impl;
    look_around(f);
    if (!check_length(f, err) || !gguf_read_net(s, &f->g, err) || !find_vocab_size(s, f, err) ||
        !source_check_net(s, err) || !look_at_layout(s, f, err) ||
        !source_build(s, NAMES_GGUF, "", locate, err) || !check_used(f, s->net.arch, err))
        return false;
    settle(s);
    return read_vocab(s, f, err) && hash_parts(s, f, err);
}

bool gguf_model_open(struct source *s, const char *path, const struct import_options *o,
                     struct bitnet_error *err)
{
    *s = (struct source){.path = path, .read = read_rows, .close = close_model};
    struct importer *f = calloc(1, sizeof *f);
    if (!f)
        return fail(err, BITNET_FAILED, "%s: out of memory", path);
    s->impl = f;
    const char *layout = o->i2s_layout ? o->i2s_layout : "auto";
    f->layout = strcmp(layout, "64") == 0     ? I2S_64
                : strcmp(layout, "4row") == 0 ? I2S_4ROW
                                              : I2S_128;
    f->guess_layout = strcmp(layout, "auto") == 0;
    bool ok = gguf_open(&f->g, path, err) && build(s, err);
    if (ok && o->ffn_act)
        s->net.ffn_act = o->ffn_act;
    if (ok && o->act)
        s->net.act = o->act;
    if (!ok)
        source_close(s);
    return ok;
}
