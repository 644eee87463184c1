/* avx512_binary.c: binary weights x integer activations with AVX-512 VNNI and VBMI. Two methods.
 *
 * Tables, for int8 up to 32 tokens and for smaller integers always. Four weights of one row are a
 * nibble, and four activations have only 16 sums of a subset: a table. A line (layout.h) holds in
 * each 128-bit lane j the bytes of all 16 rows for columns j, j+4, ..., j+28, so one vpshufb with
 * one table per lane looks up 64 nibbles: 256 weights, with no multiplication.
 *
 *     code 0 or 1:  value = 2*code - 1,  so  sum = 2 * sum(code*q) - sum(q)
 *     T(n) = sum over set bits f of q[f]  minus  sum of negative q[f]     0 <= T <= sum |q|
 *     sum over the nibbles of T = sum(code*q) + sum(negative parts)
 *     sum = 2 * sum(T) - sum|q|           start every accumulator at -sum|q|: no correction
 *
 * T needs 9 bits (4 * 127 = 508): it is kept as 16*high + low with low <= 15, high <= 31, in two
 * tables, and both are added up as bytes. range: a line adds two nibbles to each byte, a segment
 * of four lines at most 8 * 31 = 248. Then one vpermb brings a row's four bytes into one dword and
 * vpdpbusd adds them times 2 or 32. |q| <= 7 makes T <= 28: one table, 8 * 28 = 224.
 *
 * Dot products, for more tokens. The bits of a tile are spread to bytes once, 0 or 2, and every
 * token then costs a vpdpbusd for 64 weights, the most that the machine can do. range: vpdpbusd
 * does not saturate, and |start| + 2 * 127 * 2^17 < 2^31.
 *
 * Weights/ns in cache, K = 2560, group 128 (none), tables against dot products: 12 tokens 233
 * against 178 (261, 191), 24 tokens 233 against 220 (261, 252), 48 tokens 248 against 259 (269,
 * 291). int4 and int2 with their one table: 400 at any number of tokens. */
#include "kernels/avx512_gemm.h"
#include "kernels/avx512_rows.h"

enum { TABLE_TOK = 8, SEGMENT_LINES = 4 };
enum { DOTS_FROM = 33, DOTS_TOK = 192 }; /* tokens: the fewest, and the most at once */

/* One token as the tables' loop wants it. */
struct token {
    const uint8_t *tables; /* [n_lines][2 nibbles][low, high][64]; narrow: without high */
    const int32_t *start;  /* [runs] minus sum |q| */
    const float *scale;    /* see act_scales */
};

/* Packs four vectors of 16 small dwords, one for each lane j, into bytes 16j+n. */
INLINE __m512i join(__m512i words01, __m512i words23)
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_permutexvar_epi32(order, _mm512_packus_epi16(words01, words23));
}

/* The tables of one line; returns sum of max(-q, 0) in parts. */
INLINE __m256i make_tables(uint8_t *table, const int8_t *q, bool wide)
{
    /* dword n, byte f: bit f of n */
    const __m512i n = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i bits = _mm512_and_si512(
        _mm512_multishift_epi64_epi8(_mm512_set1_epi64(0x2322212003020100), n),
        _mm512_set1_epi8(1));
    /* column 4f+j comes fourth by fourth; the table of lane j wants its q[f] side by side */
    const __m256i sides = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    const __m256i x = _mm256_shuffle_epi8(_mm256_loadu_si256((const __m256i *)q), sides);
    const __m256i negative = _mm256_max_epi8(_mm256_sub_epi8(_mm256_setzero_si256(), x),
                                             _mm256_setzero_si256());
    const __m256i lift =
        _mm256_dpbusd_epi32(_mm256_setzero_si256(), negative, _mm256_set1_epi8(1));
    int32_t lifts[8], fours[8];
    _mm256_storeu_si256((__m256i *)lifts, lift);
    _mm256_storeu_si256((__m256i *)fours, x);
    for (int nibble = 0; nibble < 2; nibble++) {
        __m512i t[4];
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            t[j] = _mm512_set1_epi32(lifts[4 * nibble + j]);
            t[j] = dot_add(t[j], bits, _mm512_set1_epi32(fours[4 * nibble + j]));
        }
        const __m512i a = _mm512_packus_epi32(t[0], t[1]), b = _mm512_packus_epi32(t[2], t[3]);
        if (!wide) {
            _mm512_store_si512(table + 64 * nibble, join(a, b));
            continue;
        }
        const __m512i low = _mm512_set1_epi16(15);
        _mm512_store_si512(table + 128 * nibble,
                           join(_mm512_and_si512(a, low), _mm512_and_si512(b, low)));
        _mm512_store_si512(table + 128 * nibble + 64,
                           join(_mm512_srli_epi16(a, 4), _mm512_srli_epi16(b, 4)));
    }
    return lift;
}

/* Tables and starts of token t, at `at`; returns the end. */
static uint8_t *make_token(struct token *x, const struct matmul *m, const struct runs *r, size_t t,
                           uint8_t *at, bool wide)
{
    const size_t line_bytes = wide ? 256 : 128;
    const int8_t *q = m->x->q + t * m->x->q_stride;
    uint8_t *table = at;
    int32_t *start = (int32_t *)(at + all_lines(r) * line_bytes);
    uint8_t *end = at + (all_lines(r) * line_bytes + r->n * sizeof *start + 63) / 64 * 64;
    *x = (struct token){at, start, act_scales(m->x, t)};
    if (is_prepared(m, TABLE_TOK))
        return end;
    for (size_t i = 0; i < r->n; i++) {
        __m256i lift = _mm256_setzero_si256();
        for (size_t n = run_lines(r, i); n > 0; n--, table += line_bytes, q += 32)
            lift = _mm256_add_epi32(lift, make_tables(table, q, wide));
        __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(lift),
                                    _mm256_extracti128_si256(lift, 1));
        sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
        sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1));
        start[i] = -(run_sum(r, m->x, t, i) + 2 * _mm_cvtsi128_si32(sum)); /* sum |q| */
    }
    return end;
}

/* Adds up to four lines of two blocks times nt tokens to isum[block][token]. */
INLINE void look_up(__m512i isum[2][2], const uint8_t *const p[2], const struct token *x,
                    size_t line, size_t n, const int nt, const bool wide)
{
    const size_t line_bytes = wide ? 256 : 128;
    const __m512i nibble = _mm512_set1_epi8(15), order = row_order();
    __m512i low[2][2], high[2][2], even[2], odd[2];
    UNROLL for (int i = 0; i < 4; i++)
    {
        low[i / 2][i % 2] = high[i / 2][i % 2] = _mm512_setzero_si512();
    }
    for (size_t i = 0; i < n; i++) {
        UNROLL for (int b = 0; b < 2; b++)
        {
            prefetch(p[b] + LINE_BYTES * i);
            const __m512i w = _mm512_loadu_si512(p[b] + LINE_BYTES * i);
            even[b] = _mm512_and_si512(w, nibble);
            odd[b] = _mm512_and_si512(_mm512_srli_epi16(w, 4), nibble);
        }
        UNROLL for (int j = 0; j < 2 * nt; j++)
        {
            const int b = j / nt, t = j % nt;
            const uint8_t *at = x[t].tables + (line + i) * line_bytes;
            const __m512i low0 = _mm512_load_si512(at);
            const __m512i low1 = _mm512_load_si512(at + line_bytes / 2);
            low[b][t] = add8(low[b][t], _mm512_shuffle_epi8(low0, even[b]));
            low[b][t] = add8(low[b][t], _mm512_shuffle_epi8(low1, odd[b]));
            if (wide) {
                const __m512i high0 = _mm512_load_si512(at + 64);
                const __m512i high1 = _mm512_load_si512(at + 192);
                high[b][t] = add8(high[b][t], _mm512_shuffle_epi8(high0, even[b]));
                high[b][t] = add8(high[b][t], _mm512_shuffle_epi8(high1, odd[b]));
            }
        }
    }
    UNROLL for (int j = 0; j < 2 * nt; j++)
    {
        const int b = j / nt, t = j % nt;
        __m512i sum = isum[b][t];
        sum = dot_add(sum, _mm512_permutexvar_epi8(order, low[b][t]), _mm512_set1_epi8(2));
        if (wide)
            sum = dot_add(sum, _mm512_permutexvar_epi8(order, high[b][t]), _mm512_set1_epi8(32));
        isum[b][t] = sum;
    }
}

/* Two blocks times nt tokens, of which x[0] is the first. */
INLINE void table_tile(const struct tile tile[2], const struct token *x, const int nt,
                       const bool wide)
{
    const struct runs r = *tile->r; /* a copy: no store of a vector can change it */
    const size_t together = r.grouped ? (size_t)1 << r.group_log : r.n;
    __m512 total[2][2];
    UNROLL for (int j = 0; j < 4; j++) { total[j / 2][j % 2] = _mm512_setzero_ps(); }
    for (size_t i = 0; i < r.n;) { /* a group of weights: its lines follow one another */
        const uint8_t *p[2] = {tile_lines(&tile[0]) + run_offset(&r, i),
                               tile_lines(&tile[1]) + run_offset(&r, i)};
        const __m512 d[2] = {run_d(&tile[0], i), run_d(&tile[1], i)};
        prefetch_scales(&tile[0], i);
        prefetch_scales(&tile[1], i);
        for (size_t end = r.n - i < together ? r.n : i + together; i < end; i++) {
            __m512i isum[2][2];
            UNROLL for (int t = 0; t < nt; t++)
            {
                isum[0][t] = isum[1][t] = _mm512_set1_epi32(x[t].start[i]);
            }
            size_t line = i * r.n_lines, last = line + run_lines(&r, i);
            for (size_t n; line < last; line += n) {
                n = last - line < SEGMENT_LINES ? last - line : SEGMENT_LINES;
                look_up(isum, p, x, line, n, nt, wide);
                p[0] += n * LINE_BYTES, p[1] += n * LINE_BYTES;
            }
            UNROLL for (int j = 0; j < 2 * nt; j++)
            {
                const int b = j / nt, t = j % nt;
                const __m512 a = _mm512_set1_ps(x[t].scale[i >> r.act_log]);
                total[b][t] = end_run(total[b][t], isum[b][t], d[b], a);
            }
        }
    }
    store_tile(&tile[0], total[0]);
    store_tile(&tile[1], total[1]);
}

/* A batch of tokens [t0, t0 + n_tok), two at a time while their blocks are near. */
INLINE void table_batch(const struct matmul *m, const struct runs *r, size_t t0, size_t n_tok,
                        const bool wide)
{
    struct token x[TABLE_TOK];
    uint8_t *at = m->scratch;
    for (size_t t = 0; t < n_tok; t++)
        at = make_token(&x[t], m, r, t0 + t, at, wide);
    for (size_t i = 0; i < n_pairs(m); i++) {
        size_t block[2];
        pair_at(block, m, i);
        for (size_t t = 0, nt; t < n_tok; t += nt) {
            nt = n_tok - t < 2 ? 1 : 2;
            const struct tile tile[2] = {{m, r, block[0], t0 + t, nt},
                                         {m, r, block[1], t0 + t, nt}};
            if (nt == 2)
                table_tile(tile, x + t, 2, wide);
            else
                table_tile(tile, x + t, 1, wide);
        }
    }
}

static void by_tables(const struct matmul *m, const struct runs *r)
{
    for (size_t t = 0; t < m->x->n_tok; t += TABLE_TOK) {
        size_t n_tok = m->x->n_tok - t < TABLE_TOK ? m->x->n_tok - t : TABLE_TOK;
        if (m->x->kind == ACT_I8)
            table_batch(m, r, t, n_tok, true);
        else
            table_batch(m, r, t, n_tok, false);
    }
}

/* As unpack_fn of avx512_gemm.h: bits to bytes of 0 or 2. The next four blocks follow these: that
 * far ahead the second cache is filled. */
static void spread(uint8_t *codes, const uint8_t *lines, size_t n, const void *context)
{
    const struct runs *r = context;
    const __m512i two = _mm512_set1_epi8(2), order = row_order();
    for (const uint8_t *end = lines + n * LINE_BYTES; lines < end; lines += LINE_BYTES) {
        _mm_prefetch((const char *)lines + TILE_BLOCKS * r->block_bytes, _MM_HINT_T1);
        __m512i x = _mm512_permutexvar_epi8(order, _mm512_loadu_si512(lines));
        _mm512_store_si512(codes, _mm512_and_si512(_mm512_add_epi8(x, x), two));
        UNROLL for (int f = 1; f < 8; f++)
        {
            _mm512_store_si512(codes + TILE_BLOCKS * LINE_BYTES * f, _mm512_and_si512(x, two));
            x = _mm512_srli_epi32(x, 1);
        }
        codes += 8 * TILE_BLOCKS * LINE_BYTES;
    }
}

static void binary_i8(const struct matmul *m)
{
    const struct runs r = runs_of(m);
    if (m->x->kind != ACT_I8 || m->x->n_tok < DOTS_FROM)
        by_tables(m, &r);
    else
        avx512_gemm(m, &r, DOTS_TOK, spread, &r);
}

void fill_avx512_binary(struct matrix_kernels *m)
{
    m->b1_i8 = binary_i8;
}
