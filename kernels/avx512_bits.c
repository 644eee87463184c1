/* avx512_bits.c: products by counting bits (vpopcntb, BITALG): xnor for sign activations, and
 * with bit planes for small integers.
 *
 * A line meets a pattern of activation bits that lies as its own bits do; one popcount then counts
 * 512 products by rows and columns mod 4, in bytes that are added up until they could overflow:
 *
 *     sign       value * x = +1 where the bits are equal:  sum = n - 2 * count(w ^ x)
 *     planes     q = sum of weight_p * plane_p, weight_p = 2^p, the top one -2^p;
 *                B1: value = 2*code - 1:  sum = 2 * sum(weight_p * count(w & plane_p)) - sum(q)
 *                T2: value = low + 2*high - 1: one count of both bits and one of the high bit
 *
 * All are 2*T + start (T2: T + start) with a start for each run; sign has one plane of weight -1
 * and starts at n.
 *
 * range: a byte grows by at most 8 in a B1 line, 8 + 4 in a T2 line; 31 and 20 lines stay below
 * 256. vpdpbusd adds a row's four bytes times weight_p, -128..64, to int32: |T| <= n_cols * 255. */
#include <immintrin.h>
#include <string.h>

#include "kernels/runs.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

enum method { XNOR, AND_B1, AND_T2 };
enum { PREFETCH = 4096, MAX_PLANES = 8 }; /* bytes ahead */
enum { SIGN_TOKENS = 32, PLANE_TOKENS = 4 }; /* patterns of a panel: 64 bytes a column at most */

struct token {
    const uint8_t *pattern; /* [n_lines][n_planes], 64 bytes each; AND_T2: dwords both, high */
    const int32_t *start;   /* [n_runs] */
    const float *scale;     /* [n_runs] */
};

ALWAYS_INLINE size_t pattern_bytes(enum method method)
{
    return method == AND_T2 ? 8 : 64;
}

/* Byte 4r+j <- byte 16j+r: a row's four bytes of a B1 line side by side. */
ALWAYS_INLINE __m512i row_order(void)
{
    const __m512i row = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i spread = _mm512_mullo_epi32(row, _mm512_set1_epi32(0x01010101));
    return _mm512_add_epi32(spread, _mm512_set1_epi32(0x30201000));
}

/* The patterns of one B1 line: bit f of byte j is column 4f+j, the same for all 16 rows. */
ALWAYS_INLINE void make_patterns_b1(uint8_t *to, const int8_t *q, int np, bool sign)
{
    const __m256i columns = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    const __m256i gather = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    const __m512i rows = _mm512_setr_epi32(0, 0, 0, 0, 0x01010101, 0x01010101, 0x01010101,
                                           0x01010101, 0x02020202, 0x02020202, 0x02020202,
                                           0x02020202, 0x03030303, 0x03030303, 0x03030303,
                                           0x03030303);
    const __m256i fours = _mm256_shuffle_epi8(_mm256_loadu_si256((const __m256i *)q), columns);
    const __m256i x = _mm256_permutevar8x32_epi32(fours, gather); /* byte 8j+f is column 4f+j */
    for (int p = 0; p < np; p++) {
        const __m256i top = _mm256_sll_epi16(x, _mm_cvtsi32_si128(7 - p));
        __mmask32 bits = sign ? _mm256_cmpgt_epi8_mask(x, _mm256_setzero_si256())
                              : _mm256_movepi8_mask(top);
        _mm512_store_si512(to + 64 * p,
                           _mm512_shuffle_epi8(_mm512_set1_epi32((int32_t)bits), rows));
    }
}

/* Of one T2 line: bits 2f and 2f+1 of byte i are column 4f+i. */
ALWAYS_INLINE void make_patterns_t2(uint8_t *to, const int8_t *q, int np)
{
    const __m256i columns = _mm256_setr_epi8(
        0, -1, 4, -1, 8, -1, 12, -1, 1, -1, 5, -1, 9, -1, 13, -1,
        2, -1, 6, -1, 10, -1, 14, -1, 3, -1, 7, -1, 11, -1, 15, -1);
    const __m256i line = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)q));
    const __m256i x = _mm256_shuffle_epi8(line, columns);
    for (int p = 0; p < np; p++) {
        const __m256i top = _mm256_sll_epi16(x, _mm_cvtsi32_si128(7 - p));
        const uint32_t low = (uint32_t)_mm256_movepi8_mask(top);
        const uint32_t bits[2] = {low | low << 1, low << 1};
        memcpy(to + 8 * p, bits, sizeof bits);
    }
}

static uint8_t *make_token(struct token *x, const struct matmul *m, const struct runs *u, size_t t,
                           uint8_t *at, enum method method, int np)
{
    const int8_t *q = m->x->q + t * m->x->q_stride;
    const size_t line_bytes = (size_t)np * pattern_bytes(method);
    const size_t n_cols = m->w->n_cols;
    int32_t *start = (int32_t *)(at + u->n_lines * line_bytes);
    float *scale = (float *)(start + u->n_runs);
    *x = (struct token){at, start, scale};
    for (size_t i = 0; i < u->n_lines; i++)
        if (method == AND_T2)
            make_patterns_t2(at + i * line_bytes, q + 16 * i, np);
        else
            make_patterns_b1(at + i * line_bytes, q + 32 * i, np, method == XNOR);
    for (size_t i = 0; i < u->n_runs; i++) {
        const size_t left = n_cols - i * u->run_cols;
        start[i] = method == XNOR ? (int32_t)(left < u->run_cols ? left : u->run_cols)
                                  : -run_sum(m, u, t, i);
        scale[i] = run_scale(m, u, t, i);
    }
    size_t n_bytes = u->n_lines * line_bytes + u->n_runs * 8;
    return at + (n_bytes + 63) / 64 * 64;
}

/* Counts n lines of ns blocks against nt tokens of np planes. The loops have fixed ends and an
 * `if`, so that compilers unroll them completely and keep the counts in registers. */
ALWAYS_INLINE void count_lines(__m512i count[4][MAX_PLANES], const uint8_t *p[4],
                               const struct token *x, size_t line, size_t n, enum method method,
                               int ns, int nt, int np)
{
    const size_t step = pattern_bytes(method);
    for (; n > 0; n--, line++) {
        __m512i w[4];
#pragma GCC unroll 4
        for (int s = 0; s < 4; s++)
            if (s < ns) {
                _mm_prefetch((const char *)p[s] + PREFETCH, _MM_HINT_T0);
                w[s] = _mm512_loadu_si512(p[s]);
                p[s] += LINE_BYTES;
            }
#pragma GCC unroll 32
        for (int i = 0; i < 4 * MAX_PLANES; i++)
            if (i % 4 < ns && i / 4 < nt * np) {
                const int s = i % 4, j = i / 4;
                const uint8_t *pattern =
                    x[j / np].pattern + (line * (size_t)np + (size_t)(j % np)) * step;
                __m512i c = count[s][j];
                if (method == AND_T2) {
                    int32_t bits[2];
                    memcpy(bits, pattern, sizeof bits);
                    const __m512i both = _mm512_and_si512(w[s], _mm512_set1_epi32(bits[0]));
                    const __m512i high = _mm512_and_si512(w[s], _mm512_set1_epi32(bits[1]));
                    c = _mm512_add_epi8(c, _mm512_popcnt_epi8(both));
                    c = _mm512_add_epi8(c, _mm512_popcnt_epi8(high));
                } else {
                    const __m512i bits = _mm512_load_si512(pattern);
                    const __m512i hits = method == XNOR ? _mm512_xor_si512(w[s], bits)
                                                        : _mm512_and_si512(w[s], bits);
                    c = _mm512_add_epi8(c, _mm512_popcnt_epi8(hits));
                }
                count[s][j] = c;
            }
    }
}

/* sum += the counts of each token's planes by their weights. */
ALWAYS_INLINE void weigh(__m512i sum[4][4], __m512i count[4][MAX_PLANES], enum method method,
                         int ns, int nt, int np)
{
    const __m512i order = row_order();
#pragma GCC unroll 32
    for (int i = 0; i < 4 * MAX_PLANES; i++)
        if (i % 4 < ns && i / 4 < nt * np) {
            const int s = i % 4, j = i / 4, p = j % np;
            const int8_t weight = (int8_t)(p + 1 < np ? 1 << p : -(1 << p));
            __m512i c = count[s][j];
            if (method != AND_T2)
                c = _mm512_permutexvar_epi8(order, c);
            sum[s][j / np] = _mm512_dpbusd_epi32(sum[s][j / np], c, _mm512_set1_epi8(weight));
        }
}

/* The 16 scales of group g; every other group begins with a line of them, which *p stands at. */
ALWAYS_INLINE __m512 group_scale(const uint8_t **p, const uint8_t **scales, size_t g)
{
    if (g % 2 == 0)
        *scales = *p, *p += LINE_BYTES;
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(*scales + 32 * (g % 2))));
}

/* y of block b and token t, given the sum of its runs. */
ALWAYS_INLINE void finish(const struct matmul *m, size_t b, size_t t, __m512 acc)
{
    const struct matrix *w = m->w;
    __m512 scale = _mm512_set1_ps(w->scale_kind == SCALE_TENSOR ? w->scale[0] : 1.0f);
    if (w->scale_kind == SCALE_ROW)
        scale = _mm512_loadu_ps(w->scale + b * BLOCK_ROWS);
    scale = _mm512_mul_ps(scale, _mm512_set1_ps(token_scale(m, t)));
    _mm512_storeu_ps(m->y + t * m->y_stride + b * BLOCK_ROWS, _mm512_mul_ps(acc, scale));
}

/* ns blocks, a stride apart from block b on, times nt tokens, x[0] being token t0. */
ALWAYS_INLINE void count_blocks(const struct matmul *m, const struct runs *u,
                                const struct token *x, size_t t0, size_t block, size_t stride,
                                enum method method, int ns, int nt, int np)
{
    const size_t segment = method == AND_T2 ? 20 : 31;
    const uint8_t *p[4], *scales[4];
    __m512 acc[4][4], d[4];
#pragma GCC unroll 4
    for (int s = 0; s < 4; s++) {
        const size_t b = block + (s < ns ? (size_t)s * stride : 0);
        scales[s] = p[s] = m->w->lines + b * u->block_bytes;
        d[s] = _mm512_set1_ps(1.0f);
        acc[s][0] = acc[s][1] = acc[s][2] = acc[s][3] = _mm512_setzero_ps();
    }
    size_t line = 0;
    for (size_t run = 0; run < u->n_runs; run++) {
        if (u->grouped && run % u->group_runs == 0)
#pragma GCC unroll 4
            for (int s = 0; s < 4; s++)
                if (s < ns)
                    d[s] = group_scale(&p[s], &scales[s], run / u->group_runs);
        __m512i sum[4][4], count[4][MAX_PLANES];
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
            sum[i / 4][i % 4] = _mm512_setzero_si512();
        size_t end = line + u->run_lines < u->n_lines ? line + u->run_lines : u->n_lines;
        while (line < end) {
            size_t n = end - line < segment ? end - line : segment;
#pragma GCC unroll 32
            for (int i = 0; i < 4 * MAX_PLANES; i++)
                count[i % 4][i / 4] = _mm512_setzero_si512();
            count_lines(count, p, x, line, n, method, ns, nt, np);
            weigh(sum, count, method, ns, nt, np);
            line += n;
        }
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
            if (i / 4 < ns && i % 4 < nt) {
                const int s = i / 4, t = i % 4;
                __m512i total = _mm512_slli_epi32(sum[s][t], method == AND_T2 ? 0 : 1);
                total = _mm512_add_epi32(total, _mm512_set1_epi32(x[t].start[run]));
                __m512 scale = _mm512_mul_ps(d[s], _mm512_set1_ps(x[t].scale[run]));
                acc[s][t] = _mm512_add_ps(acc[s][t],
                                          _mm512_mul_ps(_mm512_cvtepi32_ps(total), scale));
            }
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        if (i / 4 < ns && i % 4 < nt)
            finish(m, block + (size_t)(i / 4) * stride, t0 + (size_t)(i % 4), acc[i / 4][i % 4]);
}

/* ns blocks times n_tok tokens, four at a time. */
ALWAYS_INLINE void sign_blocks(const struct matmul *m, const struct runs *u, const struct token *x,
                               size_t t0, size_t n_tok, size_t block, size_t stride, int ns)
{
    for (size_t t = 0; t < n_tok; t += 4)
        switch (n_tok - t) {
        case 1: count_blocks(m, u, x + t, t0 + t, block, stride, XNOR, ns, 1, 1); break;
        case 2: count_blocks(m, u, x + t, t0 + t, block, stride, XNOR, ns, 2, 1); break;
        case 3: count_blocks(m, u, x + t, t0 + t, block, stride, XNOR, ns, 3, 1); break;
        default: count_blocks(m, u, x + t, t0 + t, block, stride, XNOR, ns, 4, 1); break;
        }
}

/* Four streams, each of which reads memory straight on. */
static void binary_sign(const struct matmul *m)
{
    const struct runs u = runs_of(m);
    const size_t part = (m->block_end - m->block_begin) / 4, four = m->block_begin + part;
    struct token x[SIGN_TOKENS];
    for (size_t t = 0, nt; t < m->x->n_tok; t += nt) {
        uint8_t *at = m->scratch;
        nt = m->x->n_tok - t < SIGN_TOKENS ? m->x->n_tok - t : SIGN_TOKENS;
        for (size_t i = 0; i < nt; i++)
            at = make_token(&x[i], m, &u, t + i, at, XNOR, 1);
        for (size_t b = m->block_begin; b < four; b++)
            sign_blocks(m, &u, x, t, nt, b, part, 4);
        for (size_t b = m->block_begin + 4 * part; b < m->block_end; b++)
            sign_blocks(m, &u, x, t, nt, b, 0, 1);
    }
}

/* Two streams, one token at a time while their lines are near. */
ALWAYS_INLINE void plane_products(const struct matmul *m, enum method method, int np)
{
    const struct runs u = runs_of(m);
    const size_t half = (m->block_end - m->block_begin) / 2;
    struct token x[PLANE_TOKENS];
    for (size_t t0 = 0, nt; t0 < m->x->n_tok; t0 += nt) {
        uint8_t *at = m->scratch;
        nt = m->x->n_tok - t0 < PLANE_TOKENS ? m->x->n_tok - t0 : PLANE_TOKENS;
        for (size_t t = 0; t < nt; t++)
            at = make_token(&x[t], m, &u, t0 + t, at, method, np);
        for (size_t b = m->block_begin; b < m->block_begin + half; b++)
            for (size_t t = 0; t < nt; t++)
                count_blocks(m, &u, x + t, t0 + t, b, half, method, 2, 1, np);
        for (size_t b = m->block_begin + 2 * half; b < m->block_end; b++)
            for (size_t t = 0; t < nt; t++)
                count_blocks(m, &u, x + t, t0 + t, b, 0, method, 1, 1, np);
    }
}

static void binary_planes(const struct matmul *m)
{
    if (m->x->kind == ACT_I8)
        plane_products(m, AND_B1, 8);
    else if (m->x->kind == ACT_I4)
        plane_products(m, AND_B1, 4);
    else
        plane_products(m, AND_B1, 2);
}

static void ternary_planes(const struct matmul *m)
{
    if (m->x->kind == ACT_I8)
        plane_products(m, AND_T2, 8);
    else if (m->x->kind == ACT_I4)
        plane_products(m, AND_T2, 4);
    else
        plane_products(m, AND_T2, 2);
}

void fill_avx512_bits(struct matrix_kernels *m)
{
    m->b1_sign = binary_sign;
    m->b1_planes = binary_planes;
    m->t2_planes = ternary_planes;
}
