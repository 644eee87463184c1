/* scalar_head.c: the specification of the byte, 6-bit and 4-bit matrices times integers, and of
 * every encoding times floats. A block is unpacked into scratch, 16 plain rows, and multiplied.
 *
 * range: |weight| <= 128, |q| <= 127, n_cols <= 2^17, so |isum| <= 2^17 * 128 * 127 < 2^31. */
#include "kernels/expf.h"
#include "kernels/i8x2.h"
#include "kernels/kernels.h"

static uint16_t load_half(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

/* The value of one weight in one line: row r, column k of the line. A T2 code 3 or a T1_6 byte
 * above 242 has no meaning: it is read as a small number, and by another tier as another one. */
static int line_value(const uint8_t *line, enum encoding e, size_t r, size_t k)
{
    uint8_t byte = line[4 * r + k % 4];
    switch (e) {
    case ENC_I8:
        return byte - 128;
    case ENC_I4:
        return (byte >> k / 4 * 4 & 15) - 8;
    case ENC_T2:
        return (byte >> k / 4 * 2 & 3) - 1;
    case ENC_B1:
        return 2 * (line[k % 4 * 16 + r] >> k / 4 & 1) - 1;
    default: { /* ENC_T1_6 */
        int low = byte & 63, high = byte >> 6;
        int t4 = high < 3 ? high : low / 17;
        int rest = high < 3 ? low : 64 + low - 17 * t4;
        int digits[5] = {rest % 3, rest / 3 % 3, rest / 9 % 3, rest / 27, t4};
        return digits[k / 4] - 1;
    }
    }
}

static size_t line_cols(enum encoding e)
{
    switch (e) {
    case ENC_I8: return 4;
    case ENC_I4: return 8;
    case ENC_T2: return 16;
    case ENC_T1_6: return 20;
    case ENC_B1: return 32;
    default: return 2; /* ENC_F16 */
    }
}

static void unpack_i8x2(int8_t *rows, size_t stride, const struct matrix *w, const uint8_t *block)
{
    for (size_t r = 0; r < BLOCK_ROWS; r++) {
        const uint8_t *high = block + i8x2_offset(w->n_cols, 0, r);
        const uint8_t *low = block + i8x2_offset(w->n_cols, 1, r);
        for (size_t k = 0; k < w->n_cols; k++) {
            rows[r * stride + k] = (int8_t)(16 * i8x2_nibble(high, k) + i8x2_nibble(low, k) - 128);
        }
    }
}

/* Rows of weights as int8, stride columns apart. */
static void unpack_block(int8_t *rows, size_t stride, const struct matrix *w, const uint8_t *block)
{
    if (w->encoding == ENC_I8X2) {
        unpack_i8x2(rows, stride, w, block);
        return;
    }
    size_t per_line = line_cols(w->encoding == ENC_I6 ? ENC_I4 : w->encoding);
    size_t chunk_cols = w->group ? 2 * w->group : w->n_cols;
    for (size_t begin = 0; begin < w->n_cols; begin += chunk_cols) {
        block += w->group ? LINE_BYTES : 0; /* the scales */
        size_t n = w->n_cols - begin < chunk_cols ? w->n_cols - begin : chunk_cols;
        for (size_t k = 0; k < n; k++) {
            const uint8_t *line = block + k / per_line * LINE_BYTES;
            for (size_t r = 0; r < BLOCK_ROWS; r++) {
                int8_t *to = &rows[r * stride + begin + k];
                if (w->encoding == ENC_I6) { /* 4 bits in 8 lines, 2 more in 4 lines after them */
                    const uint8_t *high = block + 8 * LINE_BYTES + k / 16 * LINE_BYTES;
                    int code = line_value(line, ENC_I4, r, k % 8) + 8;
                    code += 16 * (line_value(high, ENC_T2, r, k % 16) + 1);
                    *to = (int8_t)(code - 32);
                } else {
                    *to = (int8_t)line_value(line, w->encoding, r, k % per_line);
                }
            }
        }
        size_t lines = chunk_cols / per_line + (w->encoding == ENC_I6 ? 4 : 0);
        block += lines * LINE_BYTES;
    }
}

/* The f16 scale of row r and column k, 1 without groups. */
static float group_scale(const struct matrix *w, const uint8_t *block, size_t r, size_t k)
{
    if (!w->group) {
        return 1.0f;
    }
    size_t g = k / w->group;
    size_t chunk_bytes = layout_block_bytes(w->encoding, w->group, 2 * w->group);
    return half_to_float(load_half(block + g / 2 * chunk_bytes + 2 * (16 * (g % 2) + r)));
}

static int32_t dot(const int8_t *a, const int8_t *b, size_t n)
{
    int32_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += a[i] * b[i];
    }
    return sum;
}

/* One row of one token. */
static float multiply_row(const struct matrix *w, const uint8_t *block, size_t row,
                          const int8_t *values, const struct activations *x, size_t t)
{
    const int8_t *q = x->q + t * x->q_stride;
    const float *scale = x->scale + t * x->n_groups;
    float ascale = x->group ? 1.0f : scale[0];
    float outer = scale_of_row(w, row) * ascale;
    if (!w->group && !x->group) {
        return (float)dot(values, q, w->n_cols) * outer;
    }
    size_t step = !w->group || (x->group && x->group < w->group) ? x->group : w->group;
    float acc = 0.0f;
    for (size_t k = 0; k < w->n_cols; k += step) {
        size_t n = w->n_cols - k < step ? w->n_cols - k : step;
        float d = group_scale(w, block, row % BLOCK_ROWS, k);
        float a = x->group ? scale[k / x->group] : 1.0f;
        acc = acc + (float)dot(values + k, q + k, n) * (d * a);
    }
    return acc * outer;
}

static void times_int(const struct matmul *m)
{
    const struct matrix *w = m->w;
    size_t block_bytes = layout_block_bytes(w->encoding, w->group, w->n_cols);
    size_t stride = act_stride(w->n_cols);
    int8_t *rows = m->scratch;
    for (size_t b = m->block_begin; b < m->block_end; b++) {
        const uint8_t *block = w->lines + b * block_bytes;
        unpack_block(rows, stride, w, block);
        for (size_t t = 0; t < m->x->n_tok; t++) {
            for (size_t r = 0; r < BLOCK_ROWS; r++) {
                size_t row = b * BLOCK_ROWS + r;
                m->y[t * m->y_stride + row] =
                    multiply_row(w, block, row, rows + r * stride, m->x, t);
            }
        }
    }
}

static void i8x2_nibbles(int32_t isum[NIBBLES_TOK], const uint8_t *row, const uint8_t *next,
                         size_t n_lines, const int8_t *q, size_t q_stride, size_t n_tok)
{
    (void)next;
    for (size_t t = 0; t < n_tok; t++) {
        isum[t] = 0;
        for (size_t k = 0; k < 128 * n_lines; k++) {
            isum[t] += i8x2_nibble(row, k) * q[t * q_stride + k];
        }
    }
}

/* Sum over columns [0, n) in four interleaved sums. */
static float dot_float(const float *values, const float *f, size_t n)
{
    float acc[4] = {0};
    for (size_t k = 0; k < n; k++) {
        acc[k % 4] += values[k] * f[k];
    }
    return (acc[0] + acc[2]) + (acc[1] + acc[3]);
}

static float multiply_row_float(const struct matrix *w, const uint8_t *block, size_t row,
                                const float *values, const float *f)
{
    if (!w->group) {
        return dot_float(values, f, w->n_cols) * scale_of_row(w, row);
    }
    float total = 0.0f;
    for (size_t k = 0; k < w->n_cols; k += w->group) {
        size_t n = w->n_cols - k < w->group ? w->n_cols - k : w->group;
        float d = group_scale(w, block, row % BLOCK_ROWS, k);
        total = total + dot_float(values + k, f + k, n) * d;
    }
    return total;
}

/* Rows of weights as floats, stride apart; the int8 form lies behind them for a while. */
static void unpack_floats(float *rows, size_t stride, const struct matrix *w, const uint8_t *block)
{
    if (w->encoding == ENC_F16) {
        for (size_t i = 0; i < BLOCK_ROWS * w->n_cols; i++) {
            size_t r = i / w->n_cols, k = i % w->n_cols;
            const uint8_t *line = block + k / 2 * LINE_BYTES;
            rows[r * stride + k] = half_to_float(load_half(line + 2 * (16 * (k % 2) + r)));
        }
        return;
    }
    int8_t *values = (int8_t *)(rows + BLOCK_ROWS * stride);
    unpack_block(values, stride, w, block);
    for (size_t i = 0; i < BLOCK_ROWS * w->n_cols; i++) {
        size_t r = i / w->n_cols, k = i % w->n_cols;
        rows[r * stride + k] = values[r * stride + k];
    }
}

static void times_float(const struct matmul *m)
{
    const struct matrix *w = m->w;
    size_t block_bytes = layout_block_bytes(w->encoding, w->group, w->n_cols);
    size_t stride = act_stride(w->n_cols);
    float *rows = m->scratch;
    for (size_t b = m->block_begin; b < m->block_end; b++) {
        const uint8_t *block = w->lines + b * block_bytes;
        unpack_floats(rows, stride, w, block);
        for (size_t t = 0; t < m->x->n_tok; t++) {
            const float *f = m->x->f + t * m->x->q_stride;
            for (size_t r = 0; r < BLOCK_ROWS; r++) {
                size_t row = b * BLOCK_ROWS + r;
                m->y[t * m->y_stride + row] =
                    multiply_row_float(w, block, row, rows + r * stride, f);
            }
        }
    }
}

void fill_scalar_head(struct matrix_kernels *m)
{
    m->i8_i8 = m->i6_i8 = m->i4_i8 = m->i8x2_i8 = times_int;
    m->i8x2_nibbles = i8x2_nibbles;
    m->t2_f32 = m->t1_6_f32 = m->b1_f32 = times_float;
    m->i8_f32 = m->i6_f32 = m->i4_f32 = m->f16_f32 = m->i8x2_f32 = times_float;
}
