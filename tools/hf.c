/* hf.c: the tensors of a Hugging Face folder. A packed matrix keeps four row planes in one byte:
 *
 *     byte[o mod R][k] >> 2 * (o div R) & 3 = t + 1        R = ceil(rows / 4), 3 is invalid
 *
 * and a OneBit matrix eight columns of one row:
 *
 *     byte[o][k div 8] >> k mod 8 & 1                      0 is +1, 1 is -1 */
#include "tools/hf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/layout.h"
#include "tools/hf_config.h"
#include "tools/quantize.h"
#include "tools/safetensors.h"
#include "tools/vocab.h"

enum form {
    FORM_FLOATS, /* F32, F16, BF16 */
    FORM_PACKED, /* U8, four rows a byte, one scale */
    FORM_BITS,   /* I8 or U8, eight columns a byte, lowest bit first, 0 is +1; OneBit */
    FORM_SIGNS,  /* floats of which the sign counts, with column scales or one */
    FORM_SPREAD, /* one float that stands for every column */
};

struct hf_tensor {
    const struct safetensor *st;
    enum form form;
    float scale;
    float *column; /* owned */
};

struct hf {
    struct safetensors st;
    struct hf_config config;
    struct hf_tensor *tensors;
    size_t n_tensors, n_alloc;
};

static void to_floats(float *to, const uint8_t *raw, enum dtype d, size_t n)
{
    if (d == DTYPE_F32)
        floats_from_f32(to, raw, n);
    else if (d == DTYPE_F16)
        floats_from_f16(to, raw, n);
    else
        floats_from_bf16(to, raw, n);
}

static bool is_float(enum dtype d)
{
    return d == DTYPE_F32 || d == DTYPE_F16 || d == DTYPE_BF16;
}

/* A small float tensor as an allocated array; NULL: failed. */
static float *load_floats(struct safetensor *st, struct bitnet_error *err)
{
    size_t n = (size_t)(st->n_bytes / dtype_bytes(st->dtype));
    if (!is_float(st->dtype) || st->n_bytes > 1 << 22) {
        fail(err, BITNET_BAD, "%s: tensor '%s' is %s of %llu bytes, wanted a short vector of floats",
             st->file->path, st->name, dtype_name(st->dtype), (unsigned long long)st->n_bytes);
        return NULL;
    }
    uint8_t *raw = malloc(st->n_bytes);
    float *floats = malloc(n * sizeof *floats);
    bool ok = raw && floats ? infile_read(st->file, st->off, raw, st->n_bytes, err)
                            : fail(err, BITNET_FAILED, "%s: out of memory", st->file->path);
    if (ok)
        to_floats(floats, raw, st->dtype, n);
    for (size_t i = 0; ok && i < n; i++)
        if (!isfinite(floats[i]))
            ok = fail(err, BITNET_BAD, "%s: tensor '%s': a value is not finite", st->file->path,
                      st->name);
    free(raw);
    if (!ok) {
        free(floats);
        return NULL;
    }
    st->used = true;
    return floats;
}

/* The tensor called like t's origin, with what follows the last dot replaced. */
static struct safetensor *sibling(const struct hf *h, const struct source_tensor *t,
                                  const char *suffix)
{
    char name[224];
    const char *dot = strrchr(t->origin, '.');
    snprintf(name, sizeof name, "%.*s%s", (int)(dot - t->origin), t->origin, suffix);
    return safetensors_find(&h->st, name);
}

static bool add_tensor(struct hf *h, struct source_tensor *t, const struct hf_tensor *x,
                       struct bitnet_error *err)
{
    if (h->n_tensors == h->n_alloc) {
        size_t n = h->n_alloc ? 2 * h->n_alloc : 64;
        struct hf_tensor *moved = realloc(h->tensors, n * sizeof *moved);
        if (!moved)
            return fail(err, BITNET_FAILED, "%s: out of memory", x->st->file->path);
        h->tensors = moved;
        h->n_alloc = n;
    }
    t->index = h->n_tensors;
    h->tensors[h->n_tensors++] = *x;
    return true;
}

static bool take_packed(struct source *s, struct source_tensor *t, struct hf_tensor *x,
                        struct bitnet_error *err)
{
    struct hf *h = s->impl;
    const struct safetensor *st = x->st;
    uint64_t planes = (t->n_rows + 3) / 4;
    if (st->n_dims != 2 || st->shape[0] != planes || st->shape[1] != t->n_cols)
        return fail(err, BITNET_BAD, "%s: tensor '%s' (packed U8) is %llu x %llu, the "
                    "configuration wants %llu x %llu", t->file, t->origin,
                    (unsigned long long)st->shape[0], (unsigned long long)st->shape[1],
                    (unsigned long long)planes, (unsigned long long)t->n_cols);
    struct safetensor *scale = sibling(h, t, ".weight_scale");
    if (!scale)
        return fail(err, BITNET_BAD, "%s: tensor '%s' is packed, but '.weight_scale' beside it is "
                    "missing", t->file, t->origin);
    if (scale->n_bytes != dtype_bytes(scale->dtype))
        return fail(err, BITNET_BAD, "%s: tensor '%s' holds %llu bytes, wanted one number",
                    scale->file->path, scale->name, (unsigned long long)scale->n_bytes);
    float *value = load_floats(scale, err);
    if (!value)
        return false;
    x->scale = h->config.scale_divides ? 1.0f / *value : *value;
    free(value);
    if (!isfinite(x->scale))
        return fail(err, BITNET_BAD, "%s: tensor '%s' is zero", scale->file->path, scale->name);
    x->form = FORM_PACKED;
    t->coded = t->one_scale = true;
    t->from = "packed ternary";
    return true;
}

/* FBI: W[o][i] = wscale[i] * sign(w[o][i]) + wbias[i], or one number of each for the matrix. */
static bool take_signs(struct source_tensor *t, struct hf_tensor *x, struct safetensor *wscale,
                       struct bitnet_error *err)
{
    uint64_t n = wscale->n_bytes / dtype_bytes(wscale->dtype);
    bool column = wscale->n_dims == 2 && wscale->shape[0] == 1 && wscale->shape[1] == t->n_cols;
    if (!column && n != 1)
        return fail(err, BITNET_BAD, "%s: tensor '%s' is %llu x %llu, wanted 1 x %llu",
                    wscale->file->path, wscale->name, (unsigned long long)wscale->shape[0],
                    (unsigned long long)wscale->shape[1], (unsigned long long)t->n_cols);
    float *values = load_floats(wscale, err);
    if (!values)
        return false;
    x->form = FORM_SIGNS;
    x->scale = column ? 1 : values[0];
    if (column)
        t->column = x->column = values;
    else
        free(values);
    t->coded = t->one_scale = true;
    t->from = "signs with scales";
    return true;
}

/* OneBit: y = layernorm((sign(W) (x * input_factor)) * weight_scale), packed or as masters. The
 * second vector becomes the companion out_scale. */
static bool take_onebit(struct source *s, struct source_tensor *t, struct hf_tensor *x,
                        struct safetensor *factor, struct bitnet_error *err)
{
    static const double torch_eps = 1e-5; /* what torch.nn.LayerNorm takes unless told */
    const struct safetensor *st = x->st;
    bool packed = !is_float(st->dtype);
    if (!packed && !source_shape(t, st->shape[0], st->shape[1], err))
        return false;
    if (packed && (st->n_dims != 2 || st->shape[0] != t->n_rows || t->n_cols % 8 ||
                   st->shape[1] != t->n_cols / 8))
        return fail(err, BITNET_BAD, "%s: tensor '%s' (OneBit, packed) is %llu x %llu bytes, the "
                    "configuration wants %llu x %llu / 8", t->file, t->origin,
                    (unsigned long long)st->shape[0], (unsigned long long)st->shape[1],
                    (unsigned long long)t->n_rows, (unsigned long long)t->n_cols);
    if (factor->n_dims != 1 || factor->shape[0] != t->n_cols)
        return fail(err, BITNET_BAD, "%s: tensor '%s' is %llu x %llu, wanted a vector of %llu",
                    factor->file->path, factor->name, (unsigned long long)factor->shape[0],
                    (unsigned long long)factor->shape[1], (unsigned long long)t->n_cols);
    if (!sibling(s->impl, t, ".weight_scale"))
        return fail(err, BITNET_BAD, "%s: tensor '%s' is a OneBit layer, but '.weight_scale' beside "
                    "it is missing", t->file, t->origin);
    t->column = x->column = load_floats(factor, err);
    x->form = packed ? FORM_BITS : FORM_SIGNS;
    x->scale = 1;
    t->coded = t->one_scale = true;
    t->from = packed ? "packed signs" : "signs with scales";
    s->net.out_norm_eps = torch_eps;
    return x->column != NULL;
}

static bool take_body(struct source *s, struct source_tensor *t, struct hf_tensor *x,
                      struct bitnet_error *err)
{
    struct hf *h = s->impl;
    struct safetensor *wscale = sibling(h, t, ".wscale"), *factor = sibling(h, t, ".input_factor");
    if (factor)
        return take_onebit(s, t, x, factor, err);
    if (x->st->dtype == DTYPE_U8)
        return take_packed(s, t, x, err);
    if (!source_shape(t, x->st->shape[0], x->st->shape[1], err))
        return false;
    if (wscale)
        return take_signs(t, x, wscale, err);
    t->absmean = h->config.bitnet || sibling(h, t, ".norm.weight") != NULL;
    return true;
}

static bool take_gain(struct source_tensor *t, struct hf_tensor *x, struct bitnet_error *err)
{
    const struct safetensor *st = x->st;
    uint64_t n = st->n_bytes / dtype_bytes(st->dtype);
    size_t n_name = strlen(t->origin);
    if (n == 1 && t->n_cols != 1 && n_name > 6 && strcmp(t->origin + n_name - 6, ".wbias") == 0) {
        x->form = FORM_SPREAD;
        return true;
    }
    bool flat = st->n_dims == 1 || (st->n_dims == 2 && st->shape[0] == 1);
    return source_shape(t, flat ? 1 : st->shape[0], flat ? n : st->shape[1], err);
}

/* Beside BitNet's packed weights stands a weight_scale too: one number, which take_packed reads. */
static bool is_bitnet_scale(const struct hf *h, const struct source_tensor *t)
{
    return strcmp(strrchr(t->origin, '.'), ".weight_scale") == 0 && !sibling(h, t, ".input_factor");
}

static bool locate(struct source *s, struct source_tensor *t, bool *found, struct bitnet_error *err)
{
    struct hf *h = s->impl;
    struct safetensor *st = safetensors_find(&h->st, t->origin);
    if (!st)
        return true;
    if (is_bitnet_scale(h, t))
        return true;
    st->used = true;
    t->file = st->file->path;
    if (h->config.tied && strcmp(t->name, "output") == 0)
        return true;
    bool packed = t->role == ROLE_BODY &&
                  (st->dtype == DTYPE_U8 ||
                   (st->dtype == DTYPE_I8 && sibling(h, t, ".input_factor")));
    if (!packed && !is_float(st->dtype))
        return fail(err, BITNET_BAD, "%s: tensor '%s' is %s, wanted %sF32, F16 or BF16", t->file,
                    t->origin, dtype_name(st->dtype), t->role == ROLE_BODY ? "U8, " : "");
    struct hf_tensor x = {.st = st, .form = FORM_FLOATS};
    t->from = dtype_name(st->dtype);
    bool ok = t->role == ROLE_BODY    ? take_body(s, t, &x, err)
              : t->role == ROLE_GAIN  ? take_gain(t, &x, err)
                                      : source_shape(t, st->shape[0], st->shape[1], err);
    if (ok)
        ok = add_tensor(h, t, &x, err);
    if (!ok) {
        free(x.column);
        return false;
    }
    size_t raw = (packed ? 1 : dtype_bytes(st->dtype)) * BLOCK_ROWS * (size_t)t->n_cols;
    s->raw_bytes = raw > s->raw_bytes ? raw : s->raw_bytes;
    *found = true;
    return true;
}

bool hf_unpack(int8_t *codes, const uint8_t *bytes, uint64_t plane, size_t n_cols)
{
    int invalid = 0;
    for (size_t k = 0; k < n_cols; k++) {
        int code = bytes[k] >> 2 * plane & 3;
        codes[k] = (int8_t)(code - 1);
        invalid |= code & code >> 1;
    }
    return !invalid;
}

static bool read_packed(const struct source_tensor *t, const struct hf_tensor *x, uint64_t row,
                        size_t n_rows, struct rows *to, struct bitnet_error *err)
{
    uint64_t planes = x->st->shape[0];
    for (size_t r = 0; r < n_rows; r++) {
        uint64_t o = row + r;
        if (!infile_read(x->st->file, x->st->off + o % planes * t->n_cols, to->raw, t->n_cols, err))
            return false;
        if (!hf_unpack(to->codes + r * t->n_cols, to->raw, o / planes, t->n_cols))
            return fail(err, BITNET_BAD, "%s: tensor '%s', row %llu holds code 3, wanted 0..2",
                        t->file, t->origin, (unsigned long long)o);
        to->scales[r] = x->scale;
    }
    return true;
}

static bool read_bits(const struct source_tensor *t, const struct hf_tensor *x, uint64_t row,
                      size_t n_rows, struct rows *to, struct bitnet_error *err)
{
    size_t n = n_rows * (size_t)t->n_cols, row_bytes = t->n_cols / 8;
    if (!infile_read(x->st->file, x->st->off + row * row_bytes, to->raw, n / 8, err))
        return false;
    for (size_t i = 0; i < n; i++)
        to->codes[i] = to->raw[i / 8] >> i % 8 & 1 ? -1 : 1;
    for (size_t r = 0; r < n_rows; r++)
        to->scales[r] = x->scale;
    return true;
}

static bool read_rows(const struct source *s, const struct source_tensor *t, uint64_t row,
                      size_t n_rows, struct rows *to, struct bitnet_error *err)
{
    const struct hf *h = s->impl;
    const struct hf_tensor *x = &h->tensors[t->index];
    if (x->form == FORM_PACKED)
        return read_packed(t, x, row, n_rows, to, err);
    if (x->form == FORM_BITS)
        return read_bits(t, x, row, n_rows, to, err);
    size_t n = n_rows * (size_t)t->n_cols, item = dtype_bytes(x->st->dtype);
    if (x->form == FORM_SPREAD)
        n = 1;
    if (!infile_read(x->st->file, x->st->off + row * t->n_cols * item, to->raw, n * item, err))
        return false;
    to_floats(to->values, to->raw, x->st->dtype, n);
    for (size_t k = 1; x->form == FORM_SPREAD && k < t->n_cols; k++)
        to->values[k] = to->values[0];
    for (size_t i = 0; x->form == FORM_SIGNS && i < n; i++)
        to->codes[i] = (int8_t)((to->values[i] > 0) - (to->values[i] < 0));
    for (size_t r = 0; x->form == FORM_SIGNS && r < n_rows; r++)
        to->scales[r] = x->scale;
    return true;
}

static void close_hf(struct source *s)
{
    struct hf *h = s->impl;
    for (size_t i = 0; i < h->n_tensors; i++)
        free(h->tensors[i].column);
    free(h->tensors);
    safetensors_close(&h->st);
    free(h);
}

/* A tensor without a place in the network would change what the model computes. */
static bool check_used(const struct source *s, struct bitnet_error *err)
{
    const struct hf *h = s->impl;
    for (size_t i = 0; i < h->st.n_tensors; i++) {
        const struct safetensor *st = &h->st.tensors[i];
        if (!st->used && !strstr(st->name, "rotary_emb.inv_freq"))
            return fail(err, BITNET_BAD, "%s: tensor '%s' has no place in a %s network",
                        st->file->path, st->name, s->net.arch);
    }
    return true;
}

static bool has_tensor(const struct source *s, const char *name)
{
    for (size_t i = 0; i < s->n_tensors; i++)
        if (strcmp(s->tensors[i].name, name) == 0)
            return true;
    return false;
}

/* What the tensors say beyond the configuration. */
static bool settle(struct source *s, struct bitnet_error *err)
{
    struct hf *h = s->impl;
    struct net *n = &s->net;
    if (h->config.untied && !has_tensor(s, "output"))
        return fail(err, BITNET_BAD, "%s: tensor 'lm_head.weight' is missing, and config.json says "
                    "that the head is not tied", s->path);
    if (strncmp(n->arch, "bitnet", 6) == 0 && strcmp(n->ffn_act, "silu") == 0)
        n->arch = "bitnet"; /* the first b1.58 models */
    bool norm_in = has_tensor(s, "blk.0.attn_q.norm_in");
    n->act = h->config.bitnet || norm_in ? "i8" : weights_only_act;
    n->pool_last = n->pool_last && norm_in;
    struct hasher hasher;
    hasher_init(&hasher);
    for (size_t i = 0; i < h->st.n_files; i++)
        if (!infile_hash(&h->st.files[i], &hasher, err))
            return false;
    snprintf(s->hash, sizeof s->hash, "%016llx", (unsigned long long)hasher_value(&hasher));
    return true;
}

static bool read_vocab(struct source *s, const char *dir, struct bitnet_error *err)
{
    struct vocab_file v;
    if (!vocab_open(&v, dir, err))
        return false;
    bool ok = source_take_vocab(s, &v, err);
    vocab_close(&v);
    return ok;
}

static bool open_all(struct source *s, const char *dir, const char *config, struct bitnet_error *err)
{
    struct hf *h = s->impl;
    if (!hf_config_read(s, config, &h->config, err) || !safetensors_open(&h->st, dir, err))
        return false;
    const char *prefix = safetensors_find(&h->st, "embed_tokens.weight") ? "" : "model.";
    return source_build(s, NAMES_HF, prefix, locate, err) && check_used(s, err) && settle(s, err) &&
           read_vocab(s, dir, err);
}

bool hf_open(struct source *s, const char *dir, const struct import_options *o,
             struct bitnet_error *err)
{
    *s = (struct source){.path = dir, .read = read_rows, .close = close_hf};
    s->impl = calloc(1, sizeof(struct hf));
    char *config = path_join(dir, "config.json");
    bool ok = s->impl && config ? true : fail(err, BITNET_FAILED, "%s: out of memory", dir);
    bool there = false;
    ok = ok && path_optional(config, &there, err);
    if (ok && !there)
        ok = fail(err, BITNET_BAD, "%s: holds no config.json: not a Hugging Face model folder", dir);
    ok = ok && open_all(s, dir, config, err);
    if (ok && o->ffn_act)
        s->net.ffn_act = o->ffn_act;
    if (ok && o->act)
        s->net.act = o->act;
    free(config);
    if (!ok)
        source_close(s);
    return ok;
}
