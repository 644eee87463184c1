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
#include "kernels/avx512_rows.h"

enum method { XNOR, AND_B1, AND_T2 };
enum { SIGN_TOK = 32, PLANE_TOK = 4 }; /* patterns of a panel: 64 bytes a column at most */

struct token {
    const uint8_t *pattern; /* [n_lines][n_planes], 64 bytes each; AND_T2: dwords both, high */
    const int32_t *start;   /* [runs] */
};

INLINE size_t pattern_bytes(enum method method)
{
    return method == AND_T2 ? 8 : 64;
}

/* The patterns of one B1 line: bit f of byte j is column 4f+j, the same for all 16 rows. */
INLINE void make_patterns_b1(uint8_t *to, const int8_t *q, int np, bool sign)
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
INLINE void make_patterns_t2(uint8_t *to, const int8_t *q, int np)
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

static uint8_t *make_token(struct token *x, const struct matmul *m, const struct runs *r, size_t t,
                           uint8_t *at, enum method method, int np)
{
    const int8_t *q = m->x->q + t * m->x->q_stride;
    const size_t line_bytes = (size_t)np * pattern_bytes(method), n_lines = all_lines(r);
    int32_t *start = (int32_t *)(at + n_lines * line_bytes);
    uint8_t *end = at + (n_lines * line_bytes + r->n * sizeof *start + 63) / 64 * 64;
    *x = (struct token){at, start};
    if (is_prepared(m, method == XNOR ? SIGN_TOK : PLANE_TOK))
        return end;
    for (size_t i = 0; i < n_lines; i++)
        if (method == AND_T2)
            make_patterns_t2(at + i * line_bytes, q + 16 * i, np);
        else
            make_patterns_b1(at + i * line_bytes, q + 32 * i, np, method == XNOR);
    for (size_t i = 0; i < r->n; i++) {
        const size_t left = r->n_cols - i * r->cols;
        start[i] = method == XNOR ? (int32_t)(left < r->cols ? left : r->cols)
                                  : -run_sum(r, m->x, t, i);
    }
    return end;
}

/* Counts n lines of ns blocks against planes p0 .. p0+np-1 of n_planes of nt tokens, nt * np <= 4.
 * The loops have fixed ends and an `if`, so that compilers unroll them completely and keep the
 * counts in registers. */
INLINE void count_lines(__m512i count[4][4], const uint8_t *const p[4], const struct token *x,
                        size_t line, size_t n, size_t p0, size_t n_planes, enum method method,
                        int ns, int nt, int np)
{
    const size_t step = pattern_bytes(method);
    for (size_t k = 0; k < n; k++) {
        __m512i w[4];
#pragma GCC unroll 4
        for (int s = 0; s < 4; s++)
            if (s < ns) {
                prefetch(p[s] + LINE_BYTES * k);
                w[s] = _mm512_loadu_si512(p[s] + LINE_BYTES * k);
            }
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
            if (i % 4 < ns && i / 4 < nt * np) {
                const int s = i % 4, j = i / 4;
                const uint8_t *pattern =
                    x[j / np].pattern + ((line + k) * n_planes + p0 + (size_t)(j % np)) * step;
                __m512i c = count[s][j];
                if (method == AND_T2) {
                    int32_t bits[2];
                    memcpy(bits, pattern, sizeof bits);
                    const __m512i both = _mm512_and_si512(w[s], _mm512_set1_epi32(bits[0]));
                    const __m512i high = _mm512_and_si512(w[s], _mm512_set1_epi32(bits[1]));
                    c = add8(c, _mm512_popcnt_epi8(both));
                    c = add8(c, _mm512_popcnt_epi8(high));
                } else {
                    const __m512i bits = _mm512_load_si512(pattern);
                    const __m512i hits = method == XNOR ? _mm512_xor_si512(w[s], bits)
                                                        : _mm512_and_si512(w[s], bits);
                    c = add8(c, _mm512_popcnt_epi8(hits));
                }
                count[s][j] = c;
            }
    }
}

/* sum += the counts of each token's planes by their weights. */
INLINE void weigh(__m512i sum[4][4], __m512i count[4][4], size_t p0, size_t n_planes,
                  enum method method, int ns, int nt, int np)
{
    const __m512i order = row_order();
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        if (i % 4 < ns && i / 4 < nt * np) {
            const int s = i % 4, j = i / 4;
            const size_t plane = p0 + (size_t)(j % np);
            const int weight = plane + 1 < n_planes ? 1 << plane : -(1 << plane);
            __m512i c = count[s][j];
            if (method != AND_T2)
                c = _mm512_permutexvar_epi8(order, c);
            sum[s][j / np] = dot_add(sum[s][j / np], c, _mm512_set1_epi8((char)weight));
        }
}

/* ns blocks times nt tokens, of which x[0] is the first. */
INLINE void count_tile(const struct tile *tile, const struct token *x, size_t n_planes,
                       enum method method, int ns, int nt, int np)
{
    const size_t segment = method == AND_T2 ? 20 : 31;
    const struct runs *r = tile->r;
    const uint8_t *p[4];
    __m512 total[4][4];
    __m512i sum[4][4], count[4][4];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        total[i / 4][i % 4] = _mm512_setzero_ps();
    for (size_t run = 0; run < r->n; run++) {
        for (int s = 0; s < ns; s++) {
            p[s] = tile_lines(&tile[s]) + run_offset(r, run);
            prefetch_scales(&tile[s], run);
        }
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
            sum[i / 4][i % 4] = _mm512_setzero_si512();
        size_t line = run * r->n_lines, end = line + run_lines(r, run);
        for (size_t n; line < end; line += n) {
            n = end - line < segment ? end - line : segment;
            for (size_t p0 = 0; p0 < n_planes; p0 += (size_t)np) {
#pragma GCC unroll 16
                for (int i = 0; i < 16; i++)
                    count[i / 4][i % 4] = _mm512_setzero_si512();
                count_lines(count, p, x, line, n, p0, n_planes, method, ns, nt, np);
                weigh(sum, count, p0, n_planes, method, ns, nt, np);
            }
            for (int s = 0; s < ns; s++)
                p[s] += n * LINE_BYTES;
        }
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
            if (i / 4 < nt && i % 4 < ns) {
                const int s = i % 4, t = i / 4;
                __m512i isum = _mm512_slli_epi32(sum[s][t], method == AND_T2 ? 0 : 1);
                isum = _mm512_add_epi32(isum, _mm512_set1_epi32(x[t].start[run]));
                total[s][t] = end_run(total[s][t], isum, run_d(&tile[s], run),
                                      run_a(tile, run, (size_t)t));
            }
    }
    for (int s = 0; s < ns; s++)
        store_tile(&tile[s], total[s]);
}

/* Four blocks times all tokens of a panel, four at a time. */
static void sign_blocks(struct tile tile[4], const struct token *x, size_t n_tok)
{
    for (size_t t = 0; t < n_tok; t += 4) {
        for (int s = 0; s < 4; s++)
            tile[s].n_tok = n_tok - t < 4 ? n_tok - t : 4;
        switch (n_tok - t) {
        case 1: count_tile(tile, x + t, 1, XNOR, 4, 1, 1); break;
        case 2: count_tile(tile, x + t, 1, XNOR, 4, 2, 1); break;
        case 3: count_tile(tile, x + t, 1, XNOR, 4, 3, 1); break;
        default: count_tile(tile, x + t, 1, XNOR, 4, 4, 1); break;
        }
        for (int s = 0; s < 4; s++)
            tile[s].t0 += 4;
    }
}

/* A block that is left over times all tokens of a panel. */
static void sign_block(struct tile tile, const struct token *x, size_t n_tok)
{
    tile.n_tok = 1;
    for (size_t t = 0; t < n_tok; t++, tile.t0++)
        count_tile(&tile, x + t, 1, XNOR, 1, 1, 1);
}

/* Four streams, each of which reads memory straight on. */
static void binary_sign(const struct matmul *m)
{
    const struct runs r = runs_of(m);
    const size_t part = (m->block_end - m->block_begin) / 4;
    struct token x[SIGN_TOK];
    for (size_t t = 0, nt; t < m->x->n_tok; t += nt) {
        uint8_t *at = m->scratch;
        nt = m->x->n_tok - t < SIGN_TOK ? m->x->n_tok - t : SIGN_TOK;
        for (size_t i = 0; i < nt; i++)
            at = make_token(&x[i], m, &r, t + i, at, XNOR, 1);
        for (size_t b = m->block_begin; b < m->block_begin + part; b++) {
            struct tile tile[4];
            for (size_t s = 0; s < 4; s++)
                tile[s] = (struct tile){m, &r, b + s * part, t, 0};
            sign_blocks(tile, x, nt);
        }
        for (size_t b = m->block_begin + 4 * part; b < m->block_end; b++)
            sign_block((struct tile){m, &r, b, t, 0}, x, nt);
    }
}

/* Pairs of blocks, one token at a time while their lines are near. */
INLINE void plane_products(const struct matmul *m, enum method method)
{
    const struct runs r = runs_of(m);
    const int n_planes = m->x->kind == ACT_I8 ? 8 : m->x->kind == ACT_I4 ? 4 : 2;
    struct token x[PLANE_TOK];
    for (size_t t0 = 0, nt; t0 < m->x->n_tok; t0 += nt) {
        uint8_t *at = m->scratch;
        nt = m->x->n_tok - t0 < PLANE_TOK ? m->x->n_tok - t0 : PLANE_TOK;
        for (size_t t = 0; t < nt; t++)
            at = make_token(&x[t], m, &r, t0 + t, at, method, n_planes);
        for (size_t i = 0; i < n_pairs(m); i++) {
            size_t block[2];
            pair_at(block, m, i);
            for (size_t t = 0; t < nt; t++) {
                const struct tile tile[2] = {{m, &r, block[0], t0 + t, 1},
                                             {m, &r, block[1], t0 + t, 1}};
                if (n_planes == 2)
                    count_tile(tile, x + t, 2, method, 2, 1, 2);
                else
                    count_tile(tile, x + t, (size_t)n_planes, method, 2, 1, 4);
            }
        }
    }
}

static void binary_planes(const struct matmul *m)
{
    plane_products(m, AND_B1);
}

static void ternary_planes(const struct matmul *m)
{
    plane_products(m, AND_T2);
}

void fill_avx512_bits(struct matrix_kernels *m)
{
    m->b1_sign = binary_sign;
    m->b1_planes = binary_planes;
    m->t2_planes = ternary_planes;
}
