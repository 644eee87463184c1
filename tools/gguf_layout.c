/* gguf_layout.c: a look at the weights of a file that may be in any of three I2_S layouts. What
 * decides is the loss on a text (i2s_trial.h), but that takes three conversions; most files can be
 * told without.
 *
 * A wrong layout permutes the columns of every matrix alike, or mixes rows, so no row by itself
 * looks wrong. But neuron j of a feed-forward block owns row j of gate and up and column j of
 * down, and training leaves weak neurons with more zeros in all three: over the neurons of a
 * trained ternary model the two shares of zeros correlate, by 0.9 in our own one, where a wrong
 * layout leaves 0.3 or less. If 128, the usual layout, leads so, no more is asked.
 *
 * Nor is it of weights that nobody trained: where the rows' numbers of zeros spread as tosses of a
 * coin do, under each layout, no text can tell them apart. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/layout.h"
#include "tools/gguf_model.h"

enum { MAX_LAYERS = 8, N_LAYOUTS = 3 };
static const uint64_t enough_weights = 2000000; /* of a matrix to look at: blocks of rows here and
                                                 * there are as good as all of them */

/* Adds to zeros[] how many codes of each row, or of each column, are zero, in every stride-th block
 * of rows. */
static bool count_zeros(const struct gguf *g, const struct gguf_tensor *t, enum i2s_layout layout,
                        size_t stride, bool by_row, double *zeros,
                        struct bitnet_error *err)
{
    size_t n_cols = t->ne[0], n_rows = t->ne[1];
    uint8_t *raw = malloc(8 * n_cols + 512);
    int8_t *codes = malloc(BLOCK_ROWS * n_cols);
    bool ok = raw && codes ? true : fail(err, BITNET_FAILED, "%s: out of memory", g->path);
    for (size_t row = 0; ok && row < n_rows; row += BLOCK_ROWS * stride) {
        size_t n = n_rows - row < BLOCK_ROWS ? n_rows - row : BLOCK_ROWS;
        uint64_t off, n_bytes;
        i2s_range(layout, row, n, n_cols, &off, &n_bytes);
        ok = infile_read(&g->parts[t->part].file, t->off + off, raw, n_bytes, err);
        if (ok)
            i2s_decode(layout, raw, row, n, n_cols, codes);
        for (size_t r = 0; ok && r < n; r++)
            for (size_t k = 0; k < n_cols; k++)
                zeros[by_row ? row + r : k] += codes[r * n_cols + k] == 0;
    }
    free(raw);
    free(codes);
    return ok;
}

/* Over the elements of every stride-th block of 16. Moves them to the front. */
static double correlation(double *a, double *b, size_t n_all, size_t stride)
{
    size_t n = 0;
    for (size_t i = 0; i < n_all; i++) {
        if (i / BLOCK_ROWS % stride == 0) {
            a[n] = a[i];
            b[n++] = b[i];
        }
    }
    double sa = 0, sb = 0, saa = 0, sbb = 0, sab = 0;
    for (size_t i = 0; i < n; i++)
        sa += a[i], sb += b[i];
    for (size_t i = 0; i < n; i++) {
        double x = a[i] - sa / (double)n, y = b[i] - sb / (double)n;
        saa += x * x, sbb += y * y, sab += x * y;
    }
    return saa > 0 && sbb > 0 ? sab / sqrt(saa * sbb) : 0;
}

/* The variance of the rows' numbers of zeros, over that of coins of the same mean. */
static double spread(const double *zeros, size_t n_rows, size_t stride, size_t n_cols)
{
    double sum = 0, squares = 0;
    size_t n = 0;
    for (size_t i = 0; i < n_rows; i++) {
        if (i / BLOCK_ROWS % stride == 0) {
            sum += zeros[i];
            squares += zeros[i] * zeros[i];
            n++;
        }
    }
    double mean = sum / (double)n, coins = mean * (1 - mean / (double)n_cols);
    return coins > 0 ? (squares / (double)n - mean * mean) / coins : 1;
}

/* What one layer shows under one layout. */
struct look {
    double correlation, spread;
};

static bool look_at(const struct gguf *g, const struct gguf_tensor *const ffn[3],
                    enum i2s_layout layout, struct look *look, struct bitnet_error *err)
{
    size_t n = ffn[2]->ne[0], stride = (size_t)(ffn[2]->n_items / enough_weights) + 1;
    double *rows = calloc(n, sizeof *rows), *cols = calloc(n, sizeof *cols);
    bool ok = rows && cols ? true : fail(err, BITNET_FAILED, "%s: out of memory", g->path);
    ok = ok && count_zeros(g, ffn[0], layout, stride, true, rows, err);
    if (ok)
        look->spread = spread(rows, n, stride, ffn[0]->ne[0]);
    ok = ok && count_zeros(g, ffn[1], layout, stride, true, rows, err) &&
         count_zeros(g, ffn[2], layout, stride, false, cols, err);
    if (ok)
        look->correlation = correlation(rows, cols, n, stride);
    free(rows);
    free(cols);
    return ok;
}

/* The feed-forward matrices of a layer, all I2_S, of shapes that belong together. */
static bool find_ffn(const struct gguf *g, int layer, const struct gguf_tensor *ffn[3])
{
    static const char *const names[3] = {"ffn_gate", "ffn_up", "ffn_down"};
    for (size_t i = 0; i < 3; i++) {
        char name[64];
        snprintf(name, sizeof name, "blk.%d.%s.weight", layer, names[i]);
        ffn[i] = gguf_tensor(g, name);
        if (!ffn[i] || ffn[i]->type != GGUF_I2_S || ffn[i]->n_dims != 2 ||
            ffn[i]->ne[0] > 1 << 17 || ffn[i]->ne[1] > 1 << 17 || ffn[i]->n_items % 128 ||
            ffn[i]->ne[1] % 4 || ffn[i]->span_bytes < ffn[i]->n_items / 4)
            return false;
    }
    return ffn[0]->ne[1] == ffn[2]->ne[0] && ffn[1]->ne[1] == ffn[2]->ne[0];
}

bool i2s_look(const struct gguf *g, enum i2s_layout *likely, bool *sure, struct bitnet_error *err)
{
    static const enum i2s_layout layouts[N_LAYOUTS] = {I2S_128, I2S_64, I2S_4ROW};
    double r[N_LAYOUTS] = {0}, most_spread = 0, n_neurons = 0;
    const struct gguf_tensor *ffn[3];
    int n_layers = 0;
    for (; n_layers < MAX_LAYERS && n_neurons < 2000 && find_ffn(g, n_layers, ffn); n_layers++) {
        for (size_t i = 0; i < N_LAYOUTS; i++) {
            struct look look = {0};
            if (!look_at(g, ffn, layouts[i], &look, err))
                return false;
            r[i] += look.correlation;
            most_spread = look.spread > most_spread ? look.spread : most_spread;
        }
        n_neurons += (double)ffn[2]->ne[0] / (double)(ffn[2]->n_items / enough_weights + 1);
    }
    /* By chance a mean correlation is off by 1/sqrt(n_neurons), the ratio of variances of one layer
     * by sqrt(2 n_layers / n_neurons); five times that is no chance. */
    double chance = 5 * n_layers / sqrt(n_neurons);
    bool coins = most_spread < 1 + 5 * sqrt(2 * n_layers / n_neurons);
    size_t best = 0;
    for (size_t i = 1; i < N_LAYOUTS; i++)
        if (r[i] > r[0] + chance && r[i] > r[best])
            best = i;
    *likely = layouts[best];
    *sure = n_layers > 0 && (coins || (r[0] > r[1] + chance && r[0] > r[2] + chance));
    return true;
}
