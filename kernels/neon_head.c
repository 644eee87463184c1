/* neon_head.c: i8, i6 and i4 times integers by widening products, every encoding times floats.
 *
 * Of 4 rows x 4 columns smull makes 16 products of at most 128 * 127 = 16256, which fit int16, and
 * sadalp adds neighbours into int32: two sums for each row, added at the end. */
#include <arm_neon.h>

struct row_sum {
    int32x4_t part[2]; /* rows 0 and 1, rows 2 and 3: two lanes each */
};

static inline __attribute__((always_inline)) void dot_rows(struct row_sum *sum, int8x16_t w,
                                                           int8x16_t q)
{
    sum->part[0] = vpadalq_s16(sum->part[0], vmull_s8(vget_low_s8(w), vget_low_s8(q)));
    sum->part[1] = vpadalq_s16(sum->part[1], vmull_high_s8(w, q));
}

static inline __attribute__((always_inline)) int32x4_t total_of(struct row_sum sum)
{
    return vpaddq_s32(sum.part[0], sum.part[1]);
}

#include "kernels/neon_head.h"

/* One weight group (or the whole row) of a block, for the float kernels. */
struct span {
    const uint8_t *lines, *high; /* high: the upper bits of i6 */
    const uint8_t *scales;       /* 16 halves, or NULL */
    size_t n_cols;
};

static const uint8_t cols_per_line[] = {
    [ENC_F16] = 2, [ENC_I8] = 4, [ENC_T2] = 16, [ENC_T1_6] = 20, [ENC_B1] = 32, [ENC_I4] = 8,
    [ENC_I6] = 8,
};

INLINE struct span span_of(const struct matrix *w, const uint8_t *block, size_t s,
                           const enum encoding e)
{
    if (!w->group) {
        return (struct span){block, NULL, NULL, w->n_cols};
    }
    size_t rest = w->n_cols - s * w->group, lines = w->group / cols_per_line[e];
    size_t chunk_bytes = 64 * (1 + 2 * lines) + (e == ENC_I6 ? 256 : 0);
    const uint8_t *chunk = block + s / 2 * chunk_bytes;
    return (struct span){chunk + 64 + s % 2 * lines * 64, chunk + 9 * 64 + s % 2 * 128,
                         chunk + s % 2 * 32, rest < w->group ? rest : w->group};
}

/* Digit j of the five trits in each dword, less one. Division by 3, 9, 27 is a multiplication:
 * exact for what is below 81. */
INLINE float32x4_t trit(uint32x4_t byte, size_t j)
{
    static const uint32_t over[] = {65536, 21846, 7282, 2428};
    uint32x4_t low = vandq_u32(byte, vdupq_n_u32(63)), high = vshrq_n_u32(byte, 6);
    uint32x4_t escaped = vceqq_u32(high, vdupq_n_u32(3));
    uint32x4_t t17 = vshrq_n_u32(vmulq_n_u32(low, 241), 12);
    if (j == 4) {
        return vsubq_f32(vcvtq_f32_u32(vbslq_u32(escaped, t17, high)), vdupq_n_f32(1.0f));
    }
    uint32x4_t rest = vsubq_u32(vaddq_u32(low, vdupq_n_u32(64)), vmulq_n_u32(t17, 17));
    rest = vbslq_u32(escaped, rest, low);
    rest = vshrq_n_u32(vmulq_n_u32(rest, over[j]), 16);
    uint32x4_t third = vshrq_n_u32(vmulq_n_u32(rest, over[1]), 16);
    rest = vsubq_u32(rest, vmulq_n_u32(third, 3));
    return vsubq_f32(vcvtq_f32_u32(rest), vdupq_n_f32(1.0f));
}

/* Every dword shifted right by n. */
INLINE uint32x4_t shift_right(uint32x4_t v, size_t n)
{
    return vshlq_u32(v, vdupq_n_s32(-(int32_t)n));
}

INLINE uint32x4_t load_dwords(const uint8_t *p)
{
    return vreinterpretq_u32_u8(vld1q_u8(p));
}

/* Columns 4c .. 4c+3 as floats, of rows 4h .. 4h+3. */
INLINE void quad(float32x4_t w[4], const struct span *s, size_t c, size_t h, const enum encoding e)
{
    const uint8_t *line = s->lines + 4 * c / cols_per_line[e] * 64;
    if (e == ENC_F16) {
        size_t n_halves = (s->n_cols + 1) / 2 * 2; /* columns that the lines hold */
        UNROLL for (size_t j = 0; j < 4; j++)
        {
            const uint8_t *at = s->lines + 128 * c + 32 * j + 8 * h;
            w[j] = 4 * c + j < n_halves ? vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(at)))
                                        : vdupq_n_f32(0.0f);
        }
        return;
    }
    if (e == ENC_B1) {
        UNROLL for (size_t j = 0; j < 4; j++)
        {
            uint32_t bytes;
            memcpy(&bytes, line + 16 * j + 4 * h, sizeof bytes);
            uint16x8_t wide = vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(bytes)));
            uint32x4_t bit = shift_right(vmovl_u16(vget_low_u16(wide)), c % 8);
            bit = vandq_u32(bit, vdupq_n_u32(1));
            w[j] = vsubq_f32(vcvtq_f32_u32(vaddq_u32(bit, bit)), vdupq_n_f32(1.0f));
        }
        return;
    }
    uint32x4_t v = load_dwords(line + 16 * h);
    size_t field = e == ENC_T2 ? 2 * (c % 4) : 4 * (c % 2);
    uint32x4_t codes = e == ENC_I8 || e == ENC_T1_6 ? v : shift_right(v, field);
    if (e == ENC_I6 || e == ENC_I4) {
        codes = vandq_u32(codes, vdupq_n_u32(0x0f0f0f0f));
    }
    if (e == ENC_I6) {
        uint32x4_t high = shift_right(load_dwords(s->high + c / 4 * 64 + 16 * h), 2 * (c % 4));
        high = vandq_u32(high, vdupq_n_u32(0x03030303));
        codes = vorrq_u32(codes, vshlq_n_u32(high, 4));
    }
    UNROLL for (size_t j = 0; j < 4; j++)
    {
        uint32x4_t code = shift_right(codes, 8 * j);
        code = vandq_u32(code, vdupq_n_u32(e == ENC_T2 ? 3 : 255));
        if (e == ENC_T1_6) {
            w[j] = trit(code, c % 5);
        } else {
            float offset = e == ENC_I8 ? 128.0f : e == ENC_I6 ? 32.0f : e == ENC_I4 ? 8.0f : 1.0f;
            w[j] = vsubq_f32(vcvtq_f32_u32(code), vdupq_n_f32(offset));
        }
    }
}

/* Rows 4h .. 4h+3 of one block times nt tokens. */
INLINE void float_tile(const struct matmul *m, size_t b, size_t h, size_t t0, const int nt,
                       const enum encoding e)
{
    const struct matrix *w = m->w;
    const uint8_t *block = w->lines + b * layout_block_bytes(e, w->group, w->n_cols);
    size_t n_groups = w->group ? (w->n_cols + w->group - 1) / w->group : 1;
    float32x4_t total[4];
    UNROLL for (int t = 0; t < nt; t++) { total[t] = vdupq_n_f32(0.0f); }
    for (size_t s = 0; s < n_groups; s++) {
        const struct span span = span_of(w, block, s, e);
        const float *f = m->x->f + t0 * m->x->q_stride + s * w->group;
        float32x4_t acc[4][4];
        UNROLL for (int i = 0; i < 4; i++)
        {
            UNROLL for (int t = 0; t < nt; t++) { acc[t][i] = vdupq_n_f32(0.0f); }
        }
        for (size_t c = 0; 4 * c < span.n_cols; c++) {
            float32x4_t value[4];
            quad(value, &span, c, h, e);
            UNROLL for (size_t i = 0; i < 4; i++)
            {
                UNROLL for (int t = 0; t < nt; t++)
                {
                    float32x4_t x = vdupq_n_f32(f[(size_t)t * m->x->q_stride + 4 * c + i]);
                    acc[t][i] = vaddq_f32(acc[t][i], vmulq_f32(value[i], x));
                }
            }
        }
        UNROLL for (int t = 0; t < nt; t++)
        {
            float32x4_t g =
                vaddq_f32(vaddq_f32(acc[t][0], acc[t][2]), vaddq_f32(acc[t][1], acc[t][3]));
            if (span.scales) {
                float16x4_t d = vreinterpret_f16_u8(vld1_u8(span.scales + 8 * h));
                total[t] = vaddq_f32(total[t], vmulq_f32(g, vcvt_f32_f16(d)));
            } else {
                total[t] = vmulq_f32(g, matrix_scale(w, b * BLOCK_ROWS + 4 * h));
            }
        }
    }
    UNROLL for (int t = 0; t < nt; t++)
    {
        vst1q_f32(m->y + (t0 + (size_t)t) * m->y_stride + b * BLOCK_ROWS + 4 * h, total[t]);
    }
}

INLINE void times_float(const struct matmul *m, const enum encoding e)
{
    for (size_t i = 4 * m->block_begin; i < 4 * m->block_end; i++) {
        size_t t = 0;
        for (; t + 4 <= m->x->n_tok; t += 4) {
            float_tile(m, i / 4, i % 4, t, 4, e);
        }
        for (; t < m->x->n_tok; t++) {
            float_tile(m, i / 4, i % 4, t, 1, e);
        }
    }
}

static void t2_f32(const struct matmul *m)
{
    times_float(m, ENC_T2);
}

static void t1_6_f32(const struct matmul *m)
{
    times_float(m, ENC_T1_6);
}

static void b1_f32(const struct matmul *m)
{
    times_float(m, ENC_B1);
}

static void i8_f32(const struct matmul *m)
{
    times_float(m, ENC_I8);
}

static void i6_f32(const struct matmul *m)
{
    times_float(m, ENC_I6);
}

static void i4_f32(const struct matmul *m)
{
    times_float(m, ENC_I4);
}

static void f16_f32(const struct matmul *m)
{
    times_float(m, ENC_F16);
}

void fill_neon_head(struct matrix_kernels *m)
{
    m->i8_i8 = i8_i8;
    m->i8x2_i8 = i8x2_i8;
    m->i8x2_nibbles = nibble_rows;
    m->i6_i8 = i6_i8;
    m->i4_i8 = i4_i8;
    m->t2_f32 = t2_f32;
    m->t1_6_f32 = t1_6_f32;
    m->b1_f32 = b1_f32;
    m->i8_f32 = i8_f32;
    m->i6_f32 = i6_f32;
    m->i4_f32 = i4_f32;
    m->f16_f32 = f16_f32;
}
