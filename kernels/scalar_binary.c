/* scalar_binary.c: the three ways to multiply by one-bit weights, and bit planes for two-bit
 * ones, as plainly as they can be said. All three give the same integers, so the same bits.
 *
 * Everything goes by words of 32 columns, as they lie in a line (layout.h): a row's four bytes of
 * a B1 line make a word whose bit 8j+f is column 4f+j. A word of T2 weights is split in two, the
 * low bits of the codes and the high ones, so that every weight here is
 *
 *     value = low + 2*high - 1          B1: low = 0, so -1 or +1;  T2: -1, 0, +1 (code 3: +2)
 *
 *   int8      add q where the weight is +1, subtract it where it is -1
 *   sign      xnor: x = -1 or +1 is one bit too. Equal bits give +1, different ones -1, so
 *             sum = n - 2 * popcount(w ^ x)          (Rastegari et al. 2016, arXiv:1603.05279)
 *   planes    q in two's complement is sum of 2^p * plane_p, the top plane counting -2^p, so
 *             sum of low*q = sum of 2^p * popcount(low & plane_p), high likewise, twice;
 *             minus sum32 for the -1                 (Zhou et al. 2016, arXiv:1606.06160, eq. 3)
 *
 * range: |value| <= 2 and |q| <= 127 over n_cols <= 2^17 columns keeps every sum below 2^25; a
 * plane's share is at most 2^7 * 3 * 32 in a word, eight planes of 2^12 words stay below 2^28. */
#include <string.h>

#include "kernels/half.h"
#include "kernels/kernels.h"

enum { WORD_COLS = 32, MAX_PLANES = 8 };

struct word {
    uint32_t low, high;
};

/* One token, with its bits as the kernel wants them. */
struct token {
    const int8_t *q;
    const int32_t *sum32;
    const uint32_t *bits; /* [n_words][n_planes]: signs (1 = +1) or planes, ordered like weights */
    size_t n_planes, n_cols;
};

typedef int32_t word_product(const struct word *w, const struct token *x, size_t i);

static uint32_t load_word(const uint8_t *p, size_t byte_stride)
{
    return (uint32_t)p[0] | (uint32_t)p[byte_stride] << 8 | (uint32_t)p[2 * byte_stride] << 16 |
           (uint32_t)p[3 * byte_stride] << 24;
}

/* Line `i` of a block: a chunk of a grouped matrix begins with a line of scales. */
static const uint8_t *line_at(const uint8_t *block, const struct matrix *w, size_t i)
{
    size_t chunk_lines = w->group / (w->encoding == ENC_B1 ? 16 : 8); /* 2G columns */
    return block + LINE_BYTES * (w->group ? i + i / chunk_lines + 1 : i);
}

static struct word weight_word(const uint8_t *block, const struct matrix *w, size_t r, size_t i)
{
    if (w->encoding == ENC_B1)
        return (struct word){0, load_word(line_at(block, w, i) + r, BLOCK_ROWS)};
    /* T2: the line's 16 columns go to the even bits, those of the next line, if any, to the odd */
    uint32_t a = load_word(line_at(block, w, 2 * i) + 4 * r, 1), b = 0;
    if (WORD_COLS * i + 16 < w->n_cols)
        b = load_word(line_at(block, w, 2 * i + 1) + 4 * r, 1);
    return (struct word){(a & 0x55555555) | (b & 0x55555555) << 1,
                         (a >> 1 & 0x55555555) | (b & 0xaaaaaaaa)};
}

/* Which bit of weight_word holds column k. */
static int bit_of_column(const struct matrix *w, size_t k)
{
    if (w->encoding == ENC_B1)
        return (int)(8 * (k % 4) + k % 32 / 4);
    return (int)(8 * (k % 4) + 2 * (k % 16 / 4) + k % 32 / 16);
}

static int32_t product_i8(const struct word *w, const struct token *x, size_t i)
{
    const int8_t *q = x->q + WORD_COLS * i;
    int32_t sum = 0;
    for (size_t k = 0; k < WORD_COLS; k++) /* zero past n_cols */
        sum += w->high >> (8 * (k % 4) + k / 4) & 1 ? q[k] : -q[k];
    return sum;
}

static int32_t product_sign(const struct word *w, const struct token *x, size_t i)
{
    size_t left = x->n_cols - WORD_COLS * i;
    int32_t n = left < WORD_COLS ? (int32_t)left : WORD_COLS;
    /* padding is bit 0 on both sides: it counts neither as equal nor as different */
    return n - 2 * (int32_t)__builtin_popcount(w->high ^ x->bits[i]);
}

static int32_t product_planes(const struct word *w, const struct token *x, size_t i)
{
    int32_t sum = 0;
    for (size_t p = 0; p < x->n_planes; p++) {
        uint32_t plane = x->bits[i * x->n_planes + p];
        int32_t n = __builtin_popcount(w->low & plane) + 2 * __builtin_popcount(w->high & plane);
        sum += p + 1 < x->n_planes ? n * (1 << p) : -n * (1 << p);
    }
    return sum - x->sum32[i];
}

/* The signs of token t as bits. */
static struct token sign_bits(const struct matmul *m, size_t t)
{
    uint32_t *bits = m->scratch;
    struct token x = {m->x->q + t * m->x->q_stride, NULL, bits, 1, m->w->n_cols};
    memset(bits, 0, (x.n_cols + 31) / 32 * sizeof *bits);
    for (size_t k = 0; k < x.n_cols; k++)
        bits[k / 32] |= (uint32_t)(x.q[k] > 0) << bit_of_column(m->w, k);
    return x;
}

/* The bit planes of token t: 2, 4 or 8 by kind; a sign is -1 or +1 and fits 2. */
static struct token plane_bits(const struct matmul *m, size_t t)
{
    const struct activations *a = m->x;
    uint32_t *bits = m->scratch;
    size_t n_planes = a->kind == ACT_I8 ? 8 : a->kind == ACT_I4 ? 4 : 2;
    struct token x = {a->q + t * a->q_stride, a->sum32 + t * (a->q_stride / 32), bits, n_planes,
                      m->w->n_cols};
    memset(bits, 0, (x.n_cols + 31) / 32 * n_planes * sizeof *bits);
    for (size_t k = 0; k < x.n_cols; k++)
        for (size_t p = 0; p < n_planes; p++)
            bits[k / 32 * n_planes + p] |= ((uint32_t)x.q[k] >> p & 1)
                                           << bit_of_column(m->w, k);
    return x;
}

/* The float order of kernels.h: runs of the smaller group size, each by its two scales. */
static float row_sum(const struct matmul *m, const struct token *x, size_t t, const uint8_t *block,
                     size_t r, word_product *product)
{
    const struct matrix *w = m->w;
    const size_t n_words = (w->n_cols + WORD_COLS - 1) / WORD_COLS;
    size_t run = w->group, a_group = m->x->group;
    if (run == 0 || (a_group && a_group < run))
        run = a_group;
    const size_t run_words = run ? run / WORD_COLS : n_words;
    float acc = 0;
    for (size_t begin = 0; begin < n_words; begin += run_words) {
        int32_t isum = 0;
        for (size_t i = begin; i < begin + run_words && i < n_words; i++) {
            struct word word = weight_word(block, w, r, i);
            isum += product(&word, x, i);
        }
        if (run == 0)
            return (float)isum;
        float d = 1, a = 1;
        if (w->group) {
            size_t g = WORD_COLS * begin / w->group;
            size_t chunk_bytes = layout_block_bytes(w->encoding, w->group, 2 * w->group);
            const uint8_t *half = block + g / 2 * chunk_bytes + 2 * (BLOCK_ROWS * (g % 2) + r);
            d = half_to_float((uint16_t)(half[0] | half[1] << 8));
        }
        if (a_group)
            a = m->x->scale[t * m->x->n_groups + WORD_COLS * begin / a_group];
        acc = acc + (float)isum * (d * a);
    }
    return acc;
}

static void multiply(const struct matmul *m, const struct token *x, size_t t,
                     word_product *product)
{
    const struct matrix *w = m->w;
    const size_t block_bytes = layout_block_bytes(w->encoding, w->group, w->n_cols);
    const float ascale = m->x->group ? 1 : m->x->scale[t];
    for (size_t b = m->block_begin; b < m->block_end; b++)
        for (size_t r = 0; r < BLOCK_ROWS; r++) {
            size_t row = b * BLOCK_ROWS + r;
            float acc = row_sum(m, x, t, w->lines + b * block_bytes, r, product);
            m->y[t * m->y_stride + row] = acc * (scale_of_row(w, row) * ascale);
        }
}

static void binary_i8(const struct matmul *m)
{
    for (size_t t = 0; t < m->x->n_tok; t++) {
        struct token x = {.q = m->x->q + t * m->x->q_stride, .n_cols = m->w->n_cols};
        multiply(m, &x, t, product_i8);
    }
}

static void binary_sign(const struct matmul *m)
{
    for (size_t t = 0; t < m->x->n_tok; t++) {
        struct token x = sign_bits(m, t);
        multiply(m, &x, t, product_sign);
    }
}

static void bit_planes(const struct matmul *m)
{
    for (size_t t = 0; t < m->x->n_tok; t++) {
        struct token x = plane_bits(m, t);
        multiply(m, &x, t, product_planes);
    }
}

void fill_scalar_binary(struct matrix_kernels *m)
{
    m->b1_i8 = binary_i8;
    m->b1_sign = binary_sign;
    m->b1_planes = bit_planes;
    m->t2_planes = bit_planes;
}
