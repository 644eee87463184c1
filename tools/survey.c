/* survey.c: finds the structure of low-bit weights. The unit is a run of 32 columns of one row,
 * the finest group that a file may have. */
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "tools/encode.h"

enum { RUN = 32, N_GROUPINGS = 4 };
static const uint32_t GROUPINGS[N_GROUPINGS] = {256, 128, 64, 32};

/* What one worker has seen. */
struct finding {
    bool low_bit, has_zero, has_wide, half_exact;
    bool one, row_one, group_one[N_GROUPINGS];
    float level; /* the first one seen, NAN: none yet */
    double sum;  /* of |w|, masters */
};

struct survey {
    const struct source_tensor *t;
    struct finding *findings; /* [n_workers] */
    double *block_sums;       /* masters: [n_blocks], so that the order of adding is fixed */
};

void levels_of_codes(float *levels, const int8_t *codes, const float *scales, uint32_t group,
                     size_t n_cols)
{
    for (size_t k0 = 0, j = 0; k0 < n_cols; k0 += RUN, j++) {
        uint64_t words[RUN / 8] = {0};
        if (n_cols - k0 < RUN) /* apart, so that whole runs need no call */
            memcpy(words, codes + k0, n_cols - k0);
        else
            memcpy(words, codes + k0, RUN);
        uint64_t any = words[0] | words[1] | words[2] | words[3];
        levels[j] = any ? scales[group ? k0 / group : 0] : NAN;
    }
}

bool levels_of_values(float *levels, const float *values, size_t n_cols)
{
    for (size_t k0 = 0, j = 0; k0 < n_cols; k0 += RUN, j++) {
        size_t n = n_cols - k0 < RUN ? n_cols - k0 : RUN;
        float level = 0;
        int n_good = 0;
        for (size_t k = 0; k < n; k++) {
            float a = fabsf(values[k0 + k]);
            level = a > level ? a : level;
        }
        for (size_t k = 0; k < n; k++) {
            float a = fabsf(values[k0 + k]);
            n_good += (a == level) | (a == 0);
        }
        if (n_good != (int)n || isinf(level))
            return false;
        levels[j] = level > 0 ? level : NAN;
    }
    return true;
}

/* Notes zero and wide codes among eight: 1 and -1 have their lowest bit set, and adding one leaves
 * only 0, 1 and 2 of a byte that is -1, 0 or 1. */
static void note_word(uint64_t word, uint64_t *all_odd, uint64_t *over)
{
    const uint64_t ones = 0x0101010101010101, tops = ones << 7;
    *all_odd &= word;
    word = ((word & ~tops) + ones) ^ (word & tops);
    *over |= (word & ~(ones * 3)) | (word & word >> 1 & ones);
}

static void note_codes(struct finding *f, const int8_t *codes, size_t n)
{
    const uint64_t ones = 0x0101010101010101;
    uint64_t word, all_odd = ones, over = 0;
    size_t k = 0;
    for (; k + 8 <= n; k += 8) {
        memcpy(&word, codes + k, 8);
        note_word(word, &all_odd, &over);
    }
    word = ones; /* pads the tail */
    memcpy(&word, codes + k, n - k);
    note_word(word, &all_odd, &over);
    f->has_zero |= all_odd != ones;
    f->has_wide |= over != 0;
}

/* Folds level b into *a, where NAN joins anything; false when they differ. */
static bool join(float *a, float b)
{
    if (isnan(b) || *a == b)
        return true;
    if (!isnan(*a))
        return false;
    *a = b;
    return true;
}

static void note_levels(struct finding *f, const float *levels, size_t n_runs)
{
    size_t n_same = 0;
    while (n_same < n_runs && (levels[n_same] == f->level || isnan(levels[n_same])))
        n_same++;
    if (n_same == n_runs)
        return; /* the level that all had before: nothing new */
    for (size_t j = 0; j < n_runs; j++)
        if (!isnan(levels[j]) && (j == 0 || levels[j] != levels[j - 1]))
            f->half_exact &= f16_to_f32(f32_to_f16(levels[j])) == levels[j];
    for (size_t g = 0; g < N_GROUPINGS; g++) {
        size_t per = GROUPINGS[g] / RUN;
        for (size_t j0 = 0; j0 < n_runs && f->group_one[g]; j0 += per) {
            float level = NAN;
            for (size_t j = j0; j < j0 + per && j < n_runs; j++)
                f->group_one[g] &= join(&level, levels[j]);
        }
    }
    float row = NAN;
    for (size_t j = 0; j < n_runs && f->row_one; j++)
        f->row_one &= join(&row, levels[j]);
    for (size_t j = 0; j < n_runs && f->one; j++)
        f->one &= join(&f->level, levels[j]);
}

static bool look(void *ctx, int worker, uint64_t block, size_t n_rows, struct room *room,
                 bool *stop, struct bitnet_error *err)
{
    struct survey *s = ctx;
    struct finding *f = &s->findings[worker];
    const struct source_tensor *t = s->t;
    size_t n_cols = t->n_cols, n_runs = (n_cols + RUN - 1) / RUN;
    size_t n_groups = t->group ? (n_cols + t->group - 1) / t->group : 1;
    for (size_t i = 0; t->coded && i < n_rows * n_groups; i++)
        if (!isfinite(room->rows.scales[i]))
            return fail(err, BITNET_BAD, "%s: tensor '%s', row %llu: a scale is not finite",
                        t->file, t->origin, (unsigned long long)(block * BLOCK_ROWS + i / n_groups));
    for (size_t r = 0; r < n_rows && !*stop; r++) {
        if (t->binary) {
            for (size_t j = 0; j < n_runs; j++)
                room->levels[j] = room->rows.scales[r * n_groups + j * RUN / t->group];
        } else if (t->coded) {
            const int8_t *codes = room->rows.codes + r * n_cols;
            note_codes(f, codes, n_cols);
            levels_of_codes(room->levels, codes, room->rows.scales + r * n_groups, t->group,
                            n_cols);
            /* With one scale for all, a zero is the only thing to look for. */
            *stop = t->one_scale && f->has_zero;
            if (t->one_scale)
                f->level = room->rows.scales[0];
        } else {
            const float *values = room->rows.values + r * n_cols;
            f->low_bit = levels_of_values(room->levels, values, n_cols);
            *stop = !f->low_bit;
            for (size_t k = 0; k < n_cols && !f->has_zero; k++)
                f->has_zero = values[k] == 0;
        }
        if (!*stop || t->coded)
            note_levels(f, room->levels, n_runs);
    }
    return true;
}

static void merge(struct plan *p, const struct finding *f, int n)
{
    bool one = true, row_one = true, group_one[N_GROUPINGS] = {true, true, true, true};
    float level = NAN;
    *p = (struct plan){.low_bit = true, .half_exact = true};
    for (int i = 0; i < n; i++) {
        p->low_bit &= f[i].low_bit;
        p->has_zero |= f[i].has_zero;
        p->has_wide |= f[i].has_wide;
        p->half_exact &= f[i].half_exact;
        one &= f[i].one && join(&level, f[i].level);
        row_one &= f[i].row_one;
        for (size_t g = 0; g < N_GROUPINGS; g++)
            group_one[g] &= f[i].group_one[g];
    }
    p->level = isnan(level) ? 0 : level;
    p->scale = one ? SCALE_TENSOR : row_one ? SCALE_ROW : SCALE_GROUP;
    for (size_t g = N_GROUPINGS; g-- > 0 && p->scale == SCALE_GROUP;)
        if (group_one[g])
            p->group = GROUPINGS[g];
}

/* mean |w| of a master, in the order of the blocks whatever the threads. */
static bool add_up(void *ctx, int worker, uint64_t block, size_t n_rows, struct room *room,
                   bool *stop, struct bitnet_error *err)
{
    struct survey *s = ctx;
    double sum = 0;
    (void)worker, (void)stop;
    for (size_t i = 0; i < n_rows * s->t->n_cols; i++)
        sum += fabsf(room->rows.values[i]);
    if (!isfinite(sum))
        return fail(err, BITNET_BAD, "%s: tensor '%s', row %llu and on: a value is not finite",
                    s->t->file, s->t->origin, (unsigned long long)(block * BLOCK_ROWS));
    s->block_sums[block] = sum;
    return true;
}

static bool find_mean(struct blocks *b, struct survey *s, struct plan *p, struct bitnet_error *err)
{
    uint64_t n_blocks = layout_blocks(s->t->n_rows);
    s->block_sums = calloc(n_blocks, sizeof *s->block_sums);
    if (!s->block_sums)
        return fail(err, BITNET_FAILED, "%s: out of memory", b->source->path);
    bool ok = blocks_run(b, s->t, 0, n_blocks, add_up, NULL, s, err);
    double sum = 0;
    for (uint64_t i = 0; ok && i < n_blocks; i++)
        sum += s->block_sums[i];
    free(s->block_sums);
    double mean = sum / ((double)s->t->n_rows * (double)s->t->n_cols);
    p->level = mean > 1e-5 ? (float)mean : 1e-5f;
    p->scale = SCALE_TENSOR;
    p->group = 0;
    return ok;
}

bool encode_survey(struct blocks *b, const struct source_tensor *t, struct plan *p,
                   struct bitnet_error *err)
{
    struct survey s = {.t = t};
    *p = (struct plan){0};
    if (t->role == ROLE_GAIN)
        return true;
    if (t->absmean && !t->exact_first)
        return find_mean(b, &s, p, err);
    s.findings = calloc((size_t)b->n_workers, sizeof *s.findings);
    if (!s.findings)
        return fail(err, BITNET_FAILED, "%s: out of memory", b->source->path);
    for (int i = 0; i < b->n_workers; i++)
        s.findings[i] = (struct finding){.low_bit = true, .half_exact = true, .one = true,
                                         .row_one = true, .group_one = {true, true, true, true},
                                         .level = NAN};
    bool ok = blocks_run(b, t, 0, layout_blocks(t->n_rows), look, NULL, &s, err);
    merge(p, s.findings, b->n_workers);
    free(s.findings);
    if (ok && t->column)
        p->scale = SCALE_COLUMN;
    if (ok && t->absmean && !p->low_bit)
        ok = find_mean(b, &s, p, err);
    return ok;
}
