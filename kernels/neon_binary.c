/* neon_binary.c: binary weights x integer and sign activations, and bit planes, on any aarch64.
 *
 * int8 by tables. Four weights of one row are a nibble, and four activations have only 16 sums of
 * a subset. A line (layout.h) is four vectors j that hold the bytes of all 16 rows for columns j,
 * j+4, ..., j+28, so one tbl looks up 16 nibbles, 64 weights, without a multiplication.
 *
 *     code 0 or 1:  value = 2*code - 1,  so  sum = 2 * sum(code*q) - sum(q)
 *     T(n) = sum over set bits f of q[f]  minus  sum of negative q[f]     0 <= T <= sum |q|
 *     sum over the nibbles of T = sum(code*q) + sum(negative parts)
 *     sum = 2 * sum(T) - sum|q|           start every accumulator at -sum|q|: no correction
 *
 * |q| <= 127: T <= 508 is kept as 16*high + low, low <= 15, high <= 31, in two tables; |q| <= 7:
 * T <= 28 fits one. range: bytes are added up over four lines: high 4 * 2 * 31 = 248 for each j,
 * low over two j 4 * 4 * 15 = 240, the only table 4 * 2 * 28 = 224. Four lines' T sum up to
 * 128 * 127 = 16256 in 16 bits.
 *
 * Signs and planes by cnt, which counts the bits of bytes: sign: sum = n - 2 * count(w ^ x);
 * planes: q = sum of 2^p * plane_p, the top plane counting -2^p, and count(w & plane_p). range:
 * 31 B1 lines * 8 = 248, 20 T2 lines * (8 + 4) = 240.
 *
 * There is no dotprod version: sdot would do 16 products where a tbl and its add do 32, and it
 * needs the bits spread to bytes first. */
#include <arm_neon.h>
#include <string.h>

#include "kernels/runs.h"

enum { BATCH_TOK = 8, PLANE_TOK = 2, SEGMENT_LINES = 4, MAX_BLOCKS = 2 };

/* One token: its tables, [n_lines][2 nibbles][low, high][64], narrow: without high; or patterns
 * of bits that lie as a line's own, [n_lines][n_planes][64]. */
struct token {
    const uint8_t *tables;
    const int32_t *start; /* [runs] */
};

/* What one token has of one block: rows 4i..4i+3. */
struct totals {
    int32x4_t isum[4];
    float32x4_t acc[4];
};

/* Starts of a token behind its n_bytes of tables; returns the end. */
static uint8_t *place_token(struct token *x, const struct runs *r, uint8_t *at, size_t n_bytes,
                            int32_t **start)
{
    *start = (int32_t *)(at + n_bytes);
    *x = (struct token){at, *start};
    return at + (n_bytes + r->n * sizeof **start + 63) / 64 * 64;
}

/* T of four activations: q[0], q[4], q[8], q[12], for n = 0..7 and 8..15. */
INLINE void subset_sums(uint16x8_t t[2], const int8_t *q, uint16_t lift)
{
    static const uint16_t bits[3][8] = {{0, 1, 0, 1, 0, 1, 0, 1}, {0, 0, 1, 1, 0, 0, 1, 1},
                                        {0, 0, 0, 0, 1, 1, 1, 1}};
    uint16x8_t sum = vdupq_n_u16(lift); /* modulo 2^16, the end is not negative */
    for (int f = 0; f < 3; f++)
        sum = vmlaq_n_u16(sum, vld1q_u16(bits[f]), (uint16_t)q[4 * f]);
    t[0] = sum;
    t[1] = vaddq_u16(sum, vdupq_n_u16((uint16_t)q[12]));
}

/* The tables of one line; returns the sum of max(-q, 0). */
static int32_t make_tables(uint8_t *table, const int8_t *q, bool wide)
{
    int32_t negatives = 0;
    for (int nibble = 0; nibble < 2; nibble++, table += wide ? 128 : 64) {
        const int8x16_t x = vld1q_s8(q + 16 * nibble), zero = vdupq_n_s8(0);
        const uint8x16_t negative = vreinterpretq_u8_s8(vmaxq_s8(vsubq_s8(zero, x), zero));
        const uint16x8_t pair = vaddl_u8(vget_low_u8(negative), vget_high_u8(negative));
        uint16_t lift[4];
        vst1_u16(lift, vadd_u16(vget_low_u16(pair), vget_high_u16(pair)));
        for (int j = 0; j < 4; j++) {
            uint16x8_t t[2];
            subset_sums(t, q + 16 * nibble + j, lift[j]);
            const uint8x16_t low = vcombine_u8(vmovn_u16(t[0]), vmovn_u16(t[1]));
            const uint8x16_t high = vcombine_u8(vshrn_n_u16(t[0], 4), vshrn_n_u16(t[1], 4));
            vst1q_u8(table + 16 * j, wide ? vandq_u8(low, vdupq_n_u8(15)) : low);
            if (wide)
                vst1q_u8(table + 64 + 16 * j, high);
            negatives += lift[j];
        }
    }
    return negatives;
}

static uint8_t *make_table_token(struct token *x, const struct matmul *m, const struct runs *r,
                                 size_t t, uint8_t *at, bool wide)
{
    const size_t line_bytes = wide ? 256 : 128;
    const int8_t *q = m->x->q + t * m->x->q_stride;
    int32_t *start;
    uint8_t *end = place_token(x, r, at, all_lines(r) * line_bytes, &start);
    if (is_prepared(m, BATCH_TOK))
        return end;
    for (size_t i = 0; i < r->n; i++) {
        int32_t negatives = 0;
        for (size_t n = run_lines(r, i); n > 0; n--, at += line_bytes, q += 32)
            negatives += make_tables(at, q, wide);
        start[i] = -(run_sum(r, m->x, t, i) + 2 * negatives); /* sum |q| */
    }
    return end;
}

/* Lines of up to two blocks, cut into nibbles for all tokens of a batch. */
struct nibbles {
    uint8x16_t even[SEGMENT_LINES][4][MAX_BLOCKS], odd[SEGMENT_LINES][4][MAX_BLOCKS];
};

INLINE void cut_nibbles(struct nibbles *to, const uint8_t *const p[MAX_BLOCKS], size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (int j = 0; j < 4; j++)
            for (int b = 0; b < MAX_BLOCKS; b++) {
                const uint8x16_t w = vld1q_u8(p[b] + LINE_BYTES * i + 16 * j);
                to->even[i][j][b] = vandq_u8(w, vdupq_n_u8(15));
                to->odd[i][j][b] = vshrq_n_u8(w, 4);
            }
}

/* isum += t, 16 sums of rows in 16 bits, times 2. */
INLINE void add_twice(struct totals *to, uint16x8_t t0, uint16x8_t t8)
{
    to->isum[0] = vaddq_s32(to->isum[0], vreinterpretq_s32_u32(vshll_n_u16(vget_low_u16(t0), 1)));
    to->isum[1] = vaddq_s32(to->isum[1], vreinterpretq_s32_u32(vshll_n_u16(vget_high_u16(t0), 1)));
    to->isum[2] = vaddq_s32(to->isum[2], vreinterpretq_s32_u32(vshll_n_u16(vget_low_u16(t8), 1)));
    to->isum[3] = vaddq_s32(to->isum[3], vreinterpretq_s32_u32(vshll_n_u16(vget_high_u16(t8), 1)));
}

/* isum += twice the T of n lines of two blocks. */
INLINE void look_up(struct totals *to[MAX_BLOCKS], const struct nibbles *w, const uint8_t *table,
                    size_t n, bool wide)
{
    uint8x16_t low[MAX_BLOCKS][2], high[MAX_BLOCKS][4];
#pragma GCC unroll 2
    for (int b = 0; b < MAX_BLOCKS; b++) {
        low[b][0] = low[b][1] = vdupq_n_u8(0);
        high[b][0] = high[b][1] = high[b][2] = high[b][3] = vdupq_n_u8(0);
    }
    for (size_t i = 0; i < n; i++, table += wide ? 256 : 128)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            const uint8_t *at = table + 16 * j, *top = at + (wide ? 64 : 0);
            const uint8x16_t low0 = vld1q_u8(at), low1 = vld1q_u8(at + (wide ? 128 : 0));
            const uint8x16_t high0 = vld1q_u8(top), high1 = vld1q_u8(top + (wide ? 128 : 64));
#pragma GCC unroll 2
            for (int b = 0; b < MAX_BLOCKS; b++) {
                const uint8x16_t even = w->even[i][j][b], odd = w->odd[i][j][b];
                if (wide) {
                    low[b][j / 2] = vaddq_u8(low[b][j / 2], vqtbl1q_u8(low0, even));
                    low[b][j / 2] = vaddq_u8(low[b][j / 2], vqtbl1q_u8(low1, odd));
                }
                high[b][j] = vaddq_u8(high[b][j], vqtbl1q_u8(high0, even));
                high[b][j] = vaddq_u8(high[b][j], vqtbl1q_u8(high1, odd));
            }
        }
#pragma GCC unroll 2
    for (int b = 0; b < MAX_BLOCKS; b++) {
        const uint8x16_t *h = high[b], *l = low[b];
        const uint16x8_t h0 = vaddq_u16(vaddl_u8(vget_low_u8(h[0]), vget_low_u8(h[1])),
                                        vaddl_u8(vget_low_u8(h[2]), vget_low_u8(h[3])));
        const uint16x8_t h8 = vaddq_u16(vaddl_high_u8(h[0], h[1]), vaddl_high_u8(h[2], h[3]));
        if (wide)
            add_twice(to[b], vmlaq_n_u16(vaddl_u8(vget_low_u8(l[0]), vget_low_u8(l[1])), h0, 16),
                      vmlaq_n_u16(vaddl_high_u8(l[0], l[1]), h8, 16));
        else
            add_twice(to[b], h0, h8);
    }
}

/* The scales of run i. */
static void run_d(float32x4_t d[4], const struct tile *tile, const uint8_t *block, size_t i)
{
    d[0] = d[1] = d[2] = d[3] = vdupq_n_f32(1.0f);
    for (size_t j = 0; j < 4 && tile->r->grouped; j++) {
        const uint8_t *halves = block + run_scales(tile->r, i) + 8 * j;
        d[j] = vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(halves)));
    }
}

/* acc += (float)(start + isum) * (d * a); isum is ready for the next run. */
static void end_run(struct totals *to, const float32x4_t d[4], int32_t start, float a)
{
    for (int i = 0; i < 4; i++) {
        const float32x4_t sum = vcvtq_f32_s32(vaddq_s32(to->isum[i], vdupq_n_s32(start)));
        to->acc[i] = vaddq_f32(to->acc[i], vmulq_f32(sum, vmulq_f32(d[i], vdupq_n_f32(a))));
        to->isum[i] = vdupq_n_s32(0);
    }
}

/* y of block b and token t, given the sums of its runs. */
static void finish(const struct matmul *m, size_t b, size_t t, const struct totals *from)
{
    const struct matrix *w = m->w;
    for (size_t i = 0; i < 4; i++) {
        const size_t row = b * BLOCK_ROWS + 4 * i;
        float32x4_t scale = vdupq_n_f32(w->scale_kind == SCALE_TENSOR ? w->scale[0] : 1.0f);
        if (w->scale_kind == SCALE_ROW)
            scale = vld1q_f32(w->scale + row);
        scale = vmulq_f32(scale, vdupq_n_f32(token_scale(m->x, t)));
        vst1q_f32(m->y + t * m->y_stride + row, vmulq_f32(from->acc[i], scale));
    }
}

/* Two blocks times the tile's tokens, of which x[0] is the first. */
INLINE void table_tile(const struct tile tile[MAX_BLOCKS], const struct token *x, bool wide)
{
    const struct runs *r = tile->r;
    const struct matmul *m = tile->m;
    const size_t nt = tile->n_tok;
    struct totals totals[MAX_BLOCKS][BATCH_TOK];
    struct nibbles w;
    memset(totals, 0, sizeof totals);
    for (size_t i = 0; i < r->n; i++) {
        const uint8_t *block[MAX_BLOCKS], *p[MAX_BLOCKS];
        for (int b = 0; b < MAX_BLOCKS; b++) {
            block[b] = tile_lines(&tile[b]);
            p[b] = block[b] + run_offset(r, i);
        }
        size_t line = i * r->n_lines, end = line + run_lines(r, i);
        for (size_t n; line < end; line += n) {
            n = end - line < SEGMENT_LINES ? end - line : SEGMENT_LINES;
            cut_nibbles(&w, p, n);
            for (size_t t = 0; t < nt; t++) {
                struct totals *to[MAX_BLOCKS] = {&totals[0][t], &totals[1][t]};
                look_up(to, &w, x[t].tables + line * (wide ? 256 : 128), n, wide);
            }
            for (int b = 0; b < MAX_BLOCKS; b++)
                p[b] += n * LINE_BYTES;
        }
        for (int b = 0; b < MAX_BLOCKS; b++) {
            float32x4_t d[4];
            run_d(d, tile, block[b], i);
            for (size_t t = 0; t < nt; t++)
                end_run(&totals[b][t], d, x[t].start[i],
                        run_act_scale(r, m->x, tile->t0 + t, i));
        }
    }
    for (size_t t = 0; t < nt; t++)
        for (int b = 0; b < MAX_BLOCKS; b++)
            finish(m, tile[b].block, tile->t0 + t, &totals[b][t]);
}

/* All tokens, a batch at a time; two streams, each of which reads memory straight on. */
INLINE void by_tables(const struct matmul *m, bool wide)
{
    const struct runs r = runs_of(m);
    struct token x[BATCH_TOK];
    for (size_t t0 = 0, nt; t0 < m->x->n_tok; t0 += nt) {
        uint8_t *at = m->scratch;
        nt = m->x->n_tok - t0 < BATCH_TOK ? m->x->n_tok - t0 : BATCH_TOK;
        for (size_t t = 0; t < nt; t++)
            at = make_table_token(&x[t], m, &r, t0 + t, at, wide);
        for (size_t i = 0; i < n_pairs(m); i++) {
            size_t block[MAX_BLOCKS];
            pair_at(block, m, i);
            const struct tile tile[MAX_BLOCKS] = {{m, &r, block[0], t0, nt},
                                                  {m, &r, block[1], t0, nt}};
            table_tile(tile, x, wide);
        }
    }
}

static void wide_tables(const struct matmul *m)
{
    by_tables(m, true);
}

static void narrow_tables(const struct matmul *m)
{
    by_tables(m, false);
}

static void binary_i8(const struct matmul *m)
{
    if (m->x->kind == ACT_I8)
        wide_tables(m);
    else
        narrow_tables(m);
}

/* The patterns of one line. B1: bit f of the bytes of vector j is column 4f+j. T2: bits 2f and
 * 2f+1 of byte i of each dword are column 4f+i. A sign has one plane: +1 or not. */
static void make_patterns(uint8_t *to, const int8_t *q, int n_planes, bool sign, bool ternary)
{
    for (int p = 0; p < n_planes; p++, to += LINE_BYTES) {
        uint32_t bits = 0; /* a byte for each j or i */
        for (int f = 0; f < (ternary ? 4 : 8); f++) {
            uint32_t four;
            memcpy(&four, q + 4 * f, 4);
            if (sign) /* of +1, -1 and the padding's 0, only +1 has bit 0 without bit 7 */
                four &= ~(four >> 7);
            four = four >> p & 0x01010101;
            bits |= ternary ? 3 * four << 2 * f : four << f;
        }
        for (int j = 0; j < 4; j++)
            vst1q_u8(to + 16 * j, ternary ? vreinterpretq_u8_u32(vdupq_n_u32(bits))
                                          : vdupq_n_u8((uint8_t)(bits >> 8 * j)));
    }
}

static uint8_t *make_plane_token(struct token *x, const struct matmul *m, const struct runs *r,
                                 size_t t, uint8_t *at, int n_planes, bool sign)
{
    const size_t line_bytes = (size_t)n_planes * LINE_BYTES, n_lines = all_lines(r);
    const int8_t *q = m->x->q + t * m->x->q_stride;
    int32_t *start;
    uint8_t *end = place_token(x, r, at, n_lines * line_bytes, &start);
    if (is_prepared(m, PLANE_TOK))
        return end;
    for (size_t i = 0; i < n_lines; i++)
        make_patterns(at + i * line_bytes, q + i * r->line_cols, n_planes, sign,
                      m->w->encoding == ENC_T2);
    for (size_t i = 0; i < r->n; i++) {
        const size_t left = r->n_cols - i * r->cols;
        start[i] = sign ? (int32_t)(left < r->cols ? left : r->cols) : -run_sum(r, m->x, t, i);
    }
    return end;
}

/* Counts the bits of n lines against the patterns of one plane; T2's high bits twice. */
INLINE void count_lines(uint8x16_t count[4], const uint8_t *line, const uint8_t *pattern,
                               size_t n, size_t pattern_step, bool sign, bool ternary)
{
    count[0] = count[1] = count[2] = count[3] = vdupq_n_u8(0);
    for (; n > 0; n--, line += LINE_BYTES, pattern += pattern_step)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            const uint8x16_t w = vld1q_u8(line + 16 * j), x = vld1q_u8(pattern + 16 * j);
            const uint8x16_t hits = sign ? veorq_u8(w, x) : vandq_u8(w, x);
            count[j] = vaddq_u8(count[j], vcntq_u8(hits));
            if (ternary)
                count[j] = vaddq_u8(count[j], vcntq_u8(vandq_u8(hits, vdupq_n_u8(0xaa))));
        }
}

/* isum += the counts times 2^shift, or minus. */
INLINE void weigh(struct totals *to, const uint8x16_t c[4], int shift, bool minus,
                         bool ternary)
{
    uint32x4_t r[4];
    if (ternary) {
        for (int i = 0; i < 4; i++)
            r[i] = vpaddlq_u16(vpaddlq_u8(c[i]));
    } else {
        const uint16x8_t r0 = vaddq_u16(vaddl_u8(vget_low_u8(c[0]), vget_low_u8(c[1])),
                                        vaddl_u8(vget_low_u8(c[2]), vget_low_u8(c[3])));
        const uint16x8_t r8 = vaddq_u16(vaddl_high_u8(c[0], c[1]), vaddl_high_u8(c[2], c[3]));
        r[0] = vmovl_u16(vget_low_u16(r0)), r[1] = vmovl_u16(vget_high_u16(r0));
        r[2] = vmovl_u16(vget_low_u16(r8)), r[3] = vmovl_u16(vget_high_u16(r8));
    }
    for (int i = 0; i < 4; i++) {
        const int32x4_t part = vreinterpretq_s32_u32(vshlq_u32(r[i], vdupq_n_s32(shift)));
        to->isum[i] = minus ? vsubq_s32(to->isum[i], part) : vaddq_s32(to->isum[i], part);
    }
}

/* One block times the tile's tokens, plane by plane. */
INLINE void plane_block(const struct tile *tile, const struct token *x, int n_planes, bool sign,
                        bool ternary)
{
    const size_t segment = ternary ? 20 : 31, pattern_step = (size_t)n_planes * LINE_BYTES;
    const struct runs *r = tile->r;
    const struct matmul *m = tile->m;
    const uint8_t *block = tile_lines(tile);
    struct totals totals[PLANE_TOK];
    memset(totals, 0, sizeof totals);
    for (size_t i = 0; i < r->n; i++) {
        const uint8_t *p = block + run_offset(r, i);
        float32x4_t d[4];
        size_t line = i * r->n_lines, end = line + run_lines(r, i);
        for (size_t n; line < end; line += n, p += n * LINE_BYTES) {
            n = end - line < segment ? end - line : segment;
            for (size_t t = 0; t < tile->n_tok; t++)
                for (int j = 0; j < n_planes; j++) {
                    const uint8_t *at = x[t].tables + line * pattern_step + (size_t)j * LINE_BYTES;
                    uint8x16_t count[4];
                    count_lines(count, p, at, n, pattern_step, sign, ternary);
                    weigh(&totals[t], count, j + !ternary, j + 1 == n_planes, ternary);
                }
        }
        run_d(d, tile, block, i);
        for (size_t t = 0; t < tile->n_tok; t++)
            end_run(&totals[t], d, x[t].start[i], run_act_scale(r, m->x, tile->t0 + t, i));
    }
    for (size_t t = 0; t < tile->n_tok; t++)
        finish(m, tile->block, tile->t0 + t, &totals[t]);
}

INLINE void by_planes(const struct matmul *m, int n_planes, bool sign, bool ternary)
{
    const struct runs r = runs_of(m);
    struct token x[PLANE_TOK];
    for (size_t t0 = 0, nt; t0 < m->x->n_tok; t0 += nt) {
        uint8_t *at = m->scratch;
        nt = m->x->n_tok - t0 < PLANE_TOK ? m->x->n_tok - t0 : PLANE_TOK;
        for (size_t t = 0; t < nt; t++)
            at = make_plane_token(&x[t], m, &r, t0 + t, at, n_planes, sign);
        for (size_t b = m->block_begin; b < m->block_end; b++) {
            const struct tile tile = {m, &r, b, t0, nt};
            plane_block(&tile, x, n_planes, sign, ternary);
        }
    }
}

static int n_planes_of(const struct matmul *m)
{
    return m->x->kind == ACT_I8 ? 8 : m->x->kind == ACT_I4 ? 4 : 2;
}

static void binary_sign(const struct matmul *m)
{
    by_planes(m, 1, true, false);
}

static void binary_planes(const struct matmul *m)
{
    by_planes(m, n_planes_of(m), false, false);
}

static void ternary_planes(const struct matmul *m)
{
    by_planes(m, n_planes_of(m), false, true);
}

void fill_neon_binary(struct matrix_kernels *m)
{
    m->b1_i8 = binary_i8;
    m->b1_sign = binary_sign;
    m->b1_planes = binary_planes;
    m->t2_planes = ternary_planes;
}
