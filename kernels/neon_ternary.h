/* neon_ternary.h: t2 and t1.6 times int8 for all Arm tiers. A file includes it after saying how
 * codes meet activations and how many lines of products its sums can take:
 *
 *     struct row_sum                                            of 4 rows
 *     static inline struct row_sum no_sum(void);
 *     static inline void dot16(struct row_sum *sum, const int8x16_t code[4], int8x16_t q);
 *     static inline void dot4(struct row_sum *sum, int8x16_t code, int8x16_t dword);
 *     static inline int32x4_t sum_rows(struct row_sum sum);
 *     enum { FOLD_LINES };
 *
 * A quarter of a line is 4 rows in dword lanes, 16 columns deep, 20 for t1.6. code[f] are the
 * columns 4f..4f+3; dot16 multiplies them by 16 activations of one token, dot4 one of them by a
 * dword that is the same in every lane. t1.6 finds four trits of a byte with tbl, by its low six
 * bits; tbx replaces those of bytes from 192 on, because it leaves alone what is out of its
 * range, and the fifth trits, which are the top two bits, likewise.
 *
 * Many tokens: a block is unpacked once into bytes, which the same tile then reads.
 * range: |isum| <= 2^17 * 2 * 127 < 2^31. */
#include <arm_neon.h>
#include <string.h>

#include "kernels/runs.h"

enum {
    FUSED_TOK = 4,   /* up to here lines are unpacked into registers */
    CHUNK_TOK = 512, /* tokens whose sums of activations are kept */
};

/* What a tile reads: packed lines or unpacked bytes, 16 columns in four steps of 64. */
enum form { FORM_T2, FORM_T1_6, FORM_BYTES };

struct trit_tables {
    uint8x16x4_t common, escaped, fifth;
};

static struct trit_tables trit_tables(void)
{
    uint8_t t[3][64];
    for (unsigned i = 0; i < 64; i++) {
        unsigned c = 64 + i % 17;
        t[0][i] = (uint8_t)(i % 3 | i / 3 % 3 << 2 | i / 9 % 3 << 4 | i / 27 << 6);
        t[1][i] = (uint8_t)(c % 3 | c / 3 % 3 << 2 | c / 9 % 3 << 4 | c / 27 % 3 << 6);
        t[2][i] = (uint8_t)(i / 17);
    }
    return (struct trit_tables){vld1q_u8_x4(t[0]), vld1q_u8_x4(t[1]), vld1q_u8_x4(t[2])};
}

/* Codes 0..2 of a quarter: four, for t1.6 five. */
INLINE void codes_of(int8x16_t code[5], const uint8_t *quarter, const enum form form,
                     const struct trit_tables *t)
{
    const uint8x16_t three = vdupq_n_u8(3);
    uint8x16_t w = vld1q_u8(quarter);
    if (form == FORM_BYTES) {
        UNROLL for (int f = 0; f < 4; f++)
        {
            code[f] = vreinterpretq_s8_u8(vld1q_u8(quarter + LINE_BYTES * f));
        }
        return;
    }
    if (form == FORM_T1_6) {
        uint8x16_t above = vsubq_u8(w, vdupq_n_u8(192)); /* 64 and more for bytes below 192 */
        code[4] = vreinterpretq_s8_u8(vqtbx4q_u8(vshrq_n_u8(w, 6), t->fifth, above));
        w = vqtbl4q_u8(t->common, vandq_u8(w, vdupq_n_u8(63)));
        w = vqtbx4q_u8(w, t->escaped, above);
    }
    code[0] = vreinterpretq_s8_u8(vandq_u8(w, three));
    code[1] = vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(w, 2), three));
    code[2] = vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(w, 4), three));
    code[3] = vreinterpretq_s8_u8(vshrq_n_u8(w, 6));
}

INLINE float32x4_t matrix_scale(const struct matrix *w, size_t row)
{
    switch (w->scale_kind) {
    case SCALE_TENSOR: return vdupq_n_f32(w->scale[0]);
    case SCALE_ROW: return vld1q_f32(w->scale + row);
    default: return vdupq_n_f32(1.0f);
    }
}

/* total + (float)isum * (d * a), the step of kernels.h from one run to the next */
INLINE float32x4_t add_run(float32x4_t total, int32x4_t isum, const struct runs *r,
                           const uint8_t *block, size_t run, size_t quarter, float act_scale)
{
    float32x4_t scale = vdupq_n_f32(act_scale);
    if (r->grouped) {
        const uint8_t *halves = block + run_scales(r, run) + 8 * quarter;
        scale = vmulq_f32(vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(halves))), scale);
    }
    return vaddq_f32(total, vmulq_f32(vcvtq_f32_s32(isum), scale));
}

INLINE void store(const struct matmul *m, size_t block, size_t token, size_t quarter,
                  float32x4_t total)
{
    size_t row = block * BLOCK_ROWS + 4 * quarter;
    float32x4_t a = vdupq_n_f32(token_scale(m->x, token));
    float32x4_t y = vmulq_f32(total, vmulq_f32(matrix_scale(m->w, row), a));
    vst1q_f32(m->y + token * m->y_stride + row, y);
}

/* n lines of a block times nt tokens. */
INLINE void lines_tile(int32x4_t isum[4][4], const uint8_t *w, const int8_t *q, size_t q_stride,
                       size_t n, const enum form form, const struct trit_tables *tables,
                       const int nt)
{
    const size_t line_bytes = form == FORM_BYTES ? 4 * LINE_BYTES : LINE_BYTES;
    for (size_t i = 0; i < n;) {
        size_t end = n - i < FOLD_LINES ? n : i + FOLD_LINES;
        struct row_sum acc[4][4];
        UNROLL for (int t = 0; t < nt; t++)
        {
            UNROLL for (int j = 0; j < 4; j++) { acc[t][j] = no_sum(); }
        }
        for (; i < end; i++, w += line_bytes, q += form == FORM_T1_6 ? 20 : 16) {
            __builtin_prefetch(w + 1024);
            UNROLL for (int j = 0; j < 4; j++)
            {
                int8x16_t code[5];
                codes_of(code, w + 16 * j, form, tables);
                UNROLL for (int t = 0; t < nt; t++)
                {
                    const int8_t *at = q + (size_t)t * q_stride;
                    dot16(&acc[t][j], code, vld1q_s8(at));
                    if (form == FORM_T1_6) {
                        int32_t dword;
                        memcpy(&dword, at + 16, sizeof dword);
                        dot4(&acc[t][j], code[4], vreinterpretq_s8_s32(vdupq_n_s32(dword)));
                    }
                }
            }
        }
        UNROLL for (int t = 0; t < nt; t++)
        {
            UNROLL for (int j = 0; j < 4; j++)
            {
                isum[t][j] = vaddq_s32(isum[t][j], sum_rows(acc[t][j]));
            }
        }
    }
}

/* One block, packed or (codes) unpacked, times nt tokens from t0 on. */
INLINE void block_tile(const struct matmul *m, const struct runs *r, size_t block,
                       const uint8_t *codes, size_t t0, const int32_t *start,
                       const struct trit_tables *tables, const enum form form, const int nt)
{
    const struct activations *x = m->x;
    const int8_t *q = x->q + t0 * x->q_stride;
    const uint8_t *base = m->w->lines + block * r->block_bytes;
    float32x4_t total[4][4];
    UNROLL for (int t = 0; t < nt; t++)
    {
        UNROLL for (int j = 0; j < 4; j++) { total[t][j] = vdupq_n_f32(0.0f); }
    }
    for (size_t i = 0; i < r->n; i++) {
        const uint8_t *w = base + run_offset(r, i);
        size_t n = run_lines(r, i);
        if (form == FORM_BYTES) {
            size_t left = r->n_cols - i * r->cols;
            w = codes + i * r->cols * BLOCK_ROWS;
            n = ((left < r->cols ? left : r->cols) + 15) / 16;
        }
        int32x4_t isum[4][4];
        UNROLL for (int t = 0; t < nt; t++)
        {
            int32x4_t from = vdupq_n_s32(start[(size_t)t * r->n + i]);
            UNROLL for (int j = 0; j < 4; j++) { isum[t][j] = from; }
        }
        lines_tile(isum, w, q + i * r->cols, x->q_stride, n, form, tables, nt);
        UNROLL for (int t = 0; t < nt; t++)
        {
            float scale = run_act_scale(r, x, t0 + (size_t)t, i);
            UNROLL for (int j = 0; j < 4; j++)
            {
                total[t][j] = add_run(total[t][j], isum[t][j], r, base, i, (size_t)j, scale);
            }
        }
    }
    UNROLL for (int t = 0; t < nt; t++)
    {
        UNROLL for (int j = 0; j < 4; j++)
        {
            store(m, block, t0 + (size_t)t, (size_t)j, total[t][j]);
        }
    }
}

/* One block times n tokens from t0 on, in slices as even as can be. */
INLINE void block_slices(const struct matmul *m, const struct runs *r, size_t block,
                         const uint8_t *codes, size_t t0, size_t n, const int32_t *start,
                         const struct trit_tables *tables, const enum form form)
{
    size_t n_slices = (n + 3) / 4;
    for (size_t t = 0, nt; t < n; t += nt, n_slices--, start += nt * r->n) {
        nt = (n - t + n_slices - 1) / n_slices;
        switch (nt) {
        case 1: block_tile(m, r, block, codes, t0 + t, start, tables, form, 1); break;
        case 2: block_tile(m, r, block, codes, t0 + t, start, tables, form, 2); break;
        case 3: block_tile(m, r, block, codes, t0 + t, start, tables, form, 3); break;
        default: block_tile(m, r, block, codes, t0 + t, start, tables, form, 4); break;
        }
    }
}

INLINE void fused(const struct matmul *m, const bool trits)
{
    const struct runs r = runs_of(m);
    const struct trit_tables tables = trit_tables();
    runs_start(m->scratch, &r, m, 0, m->x->n_tok);
    for (size_t b = m->block_begin; b < m->block_end; b++)
        block_slices(m, &r, b, NULL, 0, m->x->n_tok, m->scratch, &tables,
                     trits ? FORM_T1_6 : FORM_T2);
}

/* A run's lines as bytes 0..2, 64 a step of four columns. */
INLINE void unpack(uint8_t *codes, const uint8_t *lines, size_t n, const enum form form,
                   const struct trit_tables *tables)
{
    const int n_fields = form == FORM_T1_6 ? 5 : 4;
    for (size_t i = 0; i < n; i++, codes += LINE_BYTES * n_fields) {
        UNROLL for (int j = 0; j < 4; j++)
        {
            int8x16_t code[5];
            codes_of(code, lines + 64 * i + 16 * j, form, tables);
            UNROLL for (int f = 0; f < n_fields; f++)
            {
                vst1q_u8(codes + LINE_BYTES * f + 16 * j, vreinterpretq_u8_s8(code[f]));
            }
        }
    }
}

/* A whole block unpacked. Its t1.6 columns end anywhere, so the last 16 may hold what lay in
 * scratch: it meets activations of 0. */
INLINE void unpack_block(uint8_t *codes, const struct matmul *m, const struct runs *r,
                         size_t block, const bool trits, const struct trit_tables *tables)
{
    const uint8_t *base = m->w->lines + block * r->block_bytes;
    for (size_t i = 0; i < r->n; i++)
        unpack(codes + i * r->cols * BLOCK_ROWS, base + run_offset(r, i), run_lines(r, i),
               trits ? FORM_T1_6 : FORM_T2, tables);
}

/* Scratch: a block's codes, 16 bytes a column (t1.6 pads to 20 columns, act_stride to 512), then
 * the start values of at most 512 tokens, 4 bytes a run of at least 32 columns. */
INLINE void gemm(const struct matmul *m, const bool trits)
{
    const struct runs r = runs_of(m);
    const struct trit_tables tables = trit_tables();
    uint8_t *codes = m->scratch;
    int32_t *start = (int32_t *)(codes + BLOCK_ROWS * act_stride(r.n_cols));
    for (size_t t0 = 0; t0 < m->x->n_tok; t0 += CHUNK_TOK) {
        size_t n_tok = m->x->n_tok - t0 < CHUNK_TOK ? m->x->n_tok - t0 : CHUNK_TOK;
        runs_start(start, &r, m, t0, n_tok);
        for (size_t b = m->block_begin; b < m->block_end; b++) {
            unpack_block(codes, m, &r, b, trits, &tables);
            block_slices(m, &r, b, codes, t0, n_tok, start, &tables, FORM_BYTES);
        }
    }
}
