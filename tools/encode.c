/* encode.c: decides how each tensor is kept, and packs it. */
#include "tools/encode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/quantize.h"

enum { RUN = 32, BATCH_BYTES = 1 << 20 };

/* What `--body auto` makes of ternary weights with one scale per matrix or row, where both 2 and
 * 1.6 bits can be had and neither loses anything. Tokens per second of the 2B-4T shape, one and two
 * threads (bitnet bench): AVX-512 16.3 and 29.5 with 2 bits, 17.3 and 31.0 with 1.6; AVX2 15.4 and
 * 28.2 against 12.7 and 23.4; prompts are level. So 1.6 bits win a twentieth on the one and lose a
 * sixth on the other, where decoding them is bound by arithmetic; batches of a few tokens prefer 2
 * bits everywhere, and 1.6 cannot meet grouped activations, as 20 columns do not divide a group. */
static const enum encoding best_ternary = ENC_T2;

static bool choose_low_bit(const struct source_tensor *t, const char *act,
                           const struct encode_options *o, struct plan *p,
                           struct bitnet_error *err)
{
    bool grouped = p->scale == SCALE_GROUP;
    if ((grouped || p->has_wide) && !p->half_exact)
        return fail(err, BITNET_BAD, "%s: tensor '%s': its group scales do not fit f16, so it "
                    "cannot be kept exactly", t->file, t->origin);
    if (p->has_wide) { /* some engine's 2-bit codes reach +2 */
        p->encoding = ENC_I4;
        p->scale = SCALE_GROUP;
        p->group = 32;
    } else if (!p->has_zero) {
        p->encoding = ENC_B1;
    } else if (o->body == ENC_T1_6 && t->role == ROLE_BODY) {
        if (grouped || strncmp(act, "i8g", 3) == 0)
            return fail(err, BITNET_BAD, "%s: tensor '%s' has %s in groups, which t1.6 cannot "
                        "hold: use --body t2 or auto", t->file, t->origin,
                        grouped ? "scales" : "activations");
        p->encoding = ENC_T1_6;
    } else {
        bool free_choice = t->role == ROLE_BODY && !grouped && o->body == 0;
        p->encoding = free_choice ? best_ternary : ENC_T2;
    }
    return true;
}

static bool is_bytes(enum encoding e)
{
    return e == ENC_I8 || e == ENC_I8X2;
}

void encode_table(struct plan *p, int head)
{
    p->low_bit = false;
    p->encoding = (enum encoding)head;
    p->scale = is_bytes(p->encoding) ? SCALE_ROW : head == ENC_F16 ? SCALE_NONE : SCALE_GROUP;
    p->group = p->scale == SCALE_GROUP ? RUN : 0;
}

bool encode_choose(const struct source_tensor *t, const char *act, const struct encode_options *o,
                   struct plan *p, struct bitnet_error *err)
{
    if (t->role == ROLE_GAIN) {
        p->encoding = ENC_F32;
        p->scale = SCALE_NONE;
        return true;
    }
    if (t->absmean && !p->low_bit) {
        p->encoding = o->body ? (enum encoding)o->body : best_ternary;
        return true;
    }
    if (t->coded || p->low_bit)
        return choose_low_bit(t, act, o, p, err);
    if (t->role == ROLE_BODY)
        return fail(err, BITNET_BAD, "%s: tensor '%s' (%s) is not low-bit: its weights are not "
                    "zero or plus or minus one level in runs of 32; only 1-bit and ternary models "
                    "can be converted", t->file, t->origin, t->from);
    encode_table(p, o->head);
    return true;
}

struct packing {
    const struct source_tensor *t;
    const struct plan *plan;
    uint8_t *out; /* the batch's blocks */
    uint64_t first_block;
    struct bnp_writer *writer;
    const uint8_t *last; /* the batch before, which is written meanwhile */
    uint64_t last_bytes;
    size_t block_bytes;
    float *row_scales; /* [n_blocks * 16] */
    float *max_error;  /* [n_workers] */
};

/* The scale of each of the plan's groups in one row: of the first run in it that has any weight,
 * else any. */
static void group_scales(uint16_t *out, float *row_scale, const struct plan *p,
                         const float *levels, size_t n_cols)
{
    size_t n_runs = (n_cols + RUN - 1) / RUN, per = p->group ? p->group / RUN : n_runs;
    for (size_t j0 = 0, g = 0; j0 < n_runs; j0 += per, g++) {
        float level = 0;
        for (size_t j = j0; j < j0 + per && j < n_runs; j++) {
            if (!isnan(levels[j])) {
                level = levels[j];
                break;
            }
        }
        if (p->group)
            out[g] = f32_to_f16(level);
        else
            *row_scale = level;
    }
}

/* Rows of bits: every group has a scale that counts. */
static void pack_bits(struct packing *k, uint64_t block, size_t n_rows, struct room *room)
{
    const struct source_tensor *t = k->t;
    const struct plan *p = k->plan;
    size_t n = t->n_cols, n_from = n / t->group;
    size_t n_to = p->group ? (n + p->group - 1) / p->group : 0;
    memset(room->rows.bits + n_rows * n / 8, 0, (BLOCK_ROWS - n_rows) * n / 8);
    memset(room->scales, 0, BLOCK_ROWS * n_to * sizeof(uint16_t));
    for (size_t r = 0; r < n_rows; r++) {
        const float *scales = room->rows.scales + r * n_from;
        for (size_t g = 0; g < n_to; g++)
            room->scales[r * n_to + g] = f32_to_f16(scales[g * p->group / t->group]);
        k->row_scales[block * BLOCK_ROWS + r] = scales[0];
    }
    layout_pack_bits(k->out + (block - k->first_block) * k->block_bytes, p->group,
                     room->rows.bits, n / 8, p->group ? room->scales : NULL, n);
}

/* Low-bit rows, exactly. */
static void pack_low_bit(struct packing *k, uint64_t block, size_t n_rows, struct room *room)
{
    const struct source_tensor *t = k->t;
    const struct plan *p = k->plan;
    size_t n = t->n_cols, n_from = t->group ? (n + t->group - 1) / t->group : 1;
    size_t n_to = p->group ? (n + p->group - 1) / p->group : 1;
    int8_t *codes = t->coded ? room->rows.codes : room->packed;
    bool tensor_scale = p->scale == SCALE_TENSOR || p->scale == SCALE_COLUMN;
    for (size_t r = 0; r < n_rows; r++) {
        const float *values = room->rows.values + r * n;
        for (size_t c = 0; c < n && !t->coded; c++)
            codes[r * n + c] = (int8_t)((values[c] > 0) - (values[c] < 0));
        if (tensor_scale)
            continue;
        if (t->coded)
            levels_of_codes(room->levels, codes + r * n, room->rows.scales + r * n_from, t->group,
                            n);
        else
            levels_of_values(room->levels, values, n);
        group_scales(room->scales + r * n_to, &k->row_scales[block * BLOCK_ROWS + r], p,
                     room->levels, n);
    }
    memset(codes + n_rows * n, 0, (BLOCK_ROWS - n_rows) * n);
    memset(room->scales + n_rows * n_to, 0, (BLOCK_ROWS - n_rows) * n_to * sizeof(uint16_t));
    layout_pack(k->out + (block - k->first_block) * k->block_bytes, p->encoding, p->group, codes,
                p->group ? room->scales : NULL, n);
}

/* The scale is the largest value over q_max, rounded to f16 where that is its form. */
static float quantize_run(int8_t *to, const float *values, size_t n, int q_max, bool half,
                          float *worst)
{
    float scale = floats_most(values, n) / (float)q_max;
    if (half)
        scale = f16_to_f32(f32_to_f16(scale));
    float e = quantize(to, values, n, scale > 0 ? 1.0f / scale : 0, scale, q_max);
    *worst = e > *worst ? e : *worst;
    return scale;
}

/* t = clamp(half_even(w / mean)), as BitNet quantizes its master weights. */
static void quantize_absmean(int8_t *to, const float *values, size_t n, float mean, float *worst)
{
    float e = quantize(to, values, n, 1.0f / mean, mean, 1);
    *worst = e > *worst ? e : *worst;
}

static bool not_finite(const struct source_tensor *t, uint64_t row, struct bitnet_error *err)
{
    return fail(err, BITNET_BAD, "%s: tensor '%s', row %llu: a value is not finite", t->file,
                t->origin, (unsigned long long)row);
}

static bool pack_halves(struct packing *k, size_t n_rows, struct room *room, float *worst,
                        struct bitnet_error *err)
{
    size_t n = n_rows * k->t->n_cols;
    for (size_t i = 0; i < n; i++) {
        float v = room->rows.values[i];
        room->halves[i] = f32_to_f16(v);
        float e = fabsf(v - f16_to_f32(room->halves[i]));
        if (!isfinite(e))
            return fail(err, BITNET_BAD, "%s: tensor '%s': %g does not fit f16: use --head i8",
                        k->t->file, k->t->origin, (double)v);
        *worst = e > *worst ? e : *worst;
    }
    memset(room->halves + n, 0, (BLOCK_ROWS * k->t->n_cols - n) * sizeof(uint16_t));
    return true;
}

/* Real floats: masters, embeddings, heads. */
static bool pack_floats(struct packing *k, uint64_t block, size_t n_rows, struct room *room,
                        float *worst, struct bitnet_error *err)
{
    const struct plan *p = k->plan;
    size_t n = k->t->n_cols, n_groups = (n + RUN - 1) / RUN;
    int q_max = is_bytes(p->encoding) ? 127 : p->encoding == ENC_I6 ? 31 : 7;
    const void *packed = room->packed;
    memset(room->packed + n_rows * n, 0, (BLOCK_ROWS - n_rows) * n);
    memset(room->scales, 0, BLOCK_ROWS * n_groups * sizeof(uint16_t));
    for (size_t r = 0; r < n_rows; r++) {
        const float *v = room->rows.values + r * n;
        int8_t *q = room->packed + r * n;
        float scale = 0;
        if (!is_bytes(p->encoding) && !floats_finite(v, n))
            return not_finite(k->t, block * BLOCK_ROWS + r, err);
        if (k->t->absmean) {
            quantize_absmean(q, v, n, p->level, worst);
        } else if (is_bytes(p->encoding)) {
            scale = quantize_run(q, v, n, q_max, false, worst);
            k->row_scales[block * BLOCK_ROWS + r] = scale;
            if (!isfinite(scale))
                return not_finite(k->t, block * BLOCK_ROWS + r, err);
        }
        for (size_t c = 0, g = 0; c < n && p->scale == SCALE_GROUP; c += RUN, g++) {
            size_t n_run = n - c < RUN ? n - c : RUN;
            scale = quantize_run(q + c, v + c, n_run, q_max, true, worst);
            room->scales[r * n_groups + g] = f32_to_f16(scale);
        }
    }
    if (p->encoding == ENC_F16) {
        packed = room->halves;
        if (!pack_halves(k, n_rows, room, worst, err))
            return false;
    }
    layout_pack(k->out + (block - k->first_block) * k->block_bytes, p->encoding, p->group, packed,
                p->group ? room->scales : NULL, n);
    return true;
}

static bool pack(void *ctx, int worker, uint64_t block, size_t n_rows, struct room *room,
                 bool *stop, struct bitnet_error *err)
{
    struct packing *k = ctx;
    (void)stop;
    if (!k->t->coded && !k->plan->low_bit)
        return pack_floats(k, block, n_rows, room, &k->max_error[worker], err);
    if (k->t->binary)
        pack_bits(k, block, n_rows, room);
    else
        pack_low_bit(k, block, n_rows, room);
    return true;
}

static bool write_last(void *ctx, struct bitnet_error *err)
{
    struct packing *k = ctx;
    return k->last_bytes == 0 || bnp_writer_data(k->writer, k->last, k->last_bytes, err);
}

/* The floats that follow the lines. */
static bool write_scales(const struct source_tensor *t, const struct plan *p,
                         const float *row_scales, uint64_t scale_bytes, struct bnp_writer *w,
                         struct bitnet_error *err)
{
    uint8_t *bytes = calloc(scale_bytes + 1, 1);
    if (!bytes)
        return fail(err, BITNET_FAILED, "out of memory");
    if (p->scale == SCALE_TENSOR)
        store_f32(bytes, p->level);
    for (uint64_t i = 0; p->scale == SCALE_ROW && i < scale_bytes / 4; i++)
        store_f32(bytes + 4 * i, row_scales[i]);
    for (uint64_t i = 0; p->scale == SCALE_COLUMN && i < t->n_cols; i++)
        store_f32(bytes + 4 * i, t->column[i] * p->level);
    bool ok = bnp_writer_data(w, bytes, scale_bytes, err);
    free(bytes);
    return ok;
}

static bool write_gain(struct blocks *b, const struct source_tensor *t, struct bnp_writer *w,
                       struct bitnet_error *err)
{
    struct room *room = &b->rooms[0];
    size_t n = t->n_cols;
    if (!b->source->read(b->source, t, 0, 1, &room->rows, err))
        return false;
    if (!floats_finite(room->rows.values, n))
        return not_finite(t, 0, err);
    uint8_t *bytes = (uint8_t *)room->halves; /* holds 32 bytes a column */
    for (size_t k = 0; k < n; k++)
        store_f32(bytes + 4 * k, room->rows.values[k]);
    return bnp_writer_data(w, bytes, 4 * n, err);
}

bool encode_write(struct blocks *b, const struct source_tensor *t, struct plan *p,
                  struct bnp_writer *w, struct progress *bar, uint64_t n_before,
                  struct bitnet_error *err)
{
    uint64_t lines_bytes, scale_bytes, n_blocks = layout_blocks(t->n_rows);
    if (!layout_bytes(p->encoding, p->scale, p->group, t->n_rows, t->n_cols, &lines_bytes,
                      &scale_bytes))
        return fail(err, BITNET_BAD, "%s: tensor '%s' is too large", t->file, t->origin);
    p->n_bytes = lines_bytes + scale_bytes;
    if (t->role == ROLE_GAIN)
        return write_gain(b, t, w, err);
    struct packing k = {.t = t, .plan = p, .writer = w};
    k.block_bytes = layout_block_bytes(p->encoding, p->group, t->n_cols);
    uint64_t batch = BATCH_BYTES / k.block_bytes + 2 * (uint64_t)b->n_workers;
    uint8_t *outs = malloc(2 * batch * k.block_bytes);
    k.row_scales = calloc(n_blocks * BLOCK_ROWS, sizeof *k.row_scales);
    k.max_error = calloc((size_t)b->n_workers, sizeof *k.max_error);
    bool ok = outs && k.row_scales && k.max_error;
    if (!ok)
        fail(err, BITNET_FAILED, "%s: out of memory", b->source->path);
    for (uint64_t i = 0, turn = 0; ok && i < n_blocks; i += batch, turn ^= 1) {
        uint64_t end = n_blocks - i < batch ? n_blocks : i + batch;
        k.out = outs + turn * batch * k.block_bytes;
        k.first_block = i;
        ok = blocks_run(b, t, i, end, pack, write_last, &k, err);
        k.last = k.out;
        k.last_bytes = (end - i) * k.block_bytes;
        progress_set(bar, n_before + end * k.block_bytes);
    }
    ok = ok && write_last(&k, err);
    for (int i = 0; ok && i < b->n_workers; i++)
        p->max_error = k.max_error[i] > p->max_error ? k.max_error[i] : p->max_error;
    ok = ok && (scale_bytes == 0 || write_scales(t, p, k.row_scales, scale_bytes, w, err));
    free(outs);
    free(k.row_scales);
    free(k.max_error);
    return ok;
}
