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
#include <immintrin.h>
#include <string.h>

#include "kernels/runs.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

enum { TABLE_TOKENS = 8, DOTS_FROM = 33, SEGMENT_LINES = 4 };
/* Bytes ahead, prefetcht0. A second prefetch to L2, farther on, cost a fifth of the speed of xnor
 * in cache and won nothing from memory. */
enum { PREFETCH = 4096 };

/* One token as the tables' loop wants it. */
struct token {
    const uint8_t *tables; /* [n_lines][2 nibbles][low, high][64]; narrow: without high */
    const int32_t *start;  /* [n_runs] minus sum |q| */
    const float *scale;    /* [n_runs] */
};

/* acc += u8 x s8 over the four bytes of each dword. As assembly because gcc 12 copies the
 * accumulators of the intrinsic around in loops. */
ALWAYS_INLINE __m512i dot4(__m512i acc, __m512i u8, __m512i s8)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(u8), "v"(s8));
    return acc;
}

/* Likewise: gcc would reassociate the sums, and run out of registers. */
ALWAYS_INLINE __m512i add8(__m512i acc, __m512i x)
{
    __asm__("vpaddb %1, %0, %0" : "+v"(acc) : "v"(x));
    return acc;
}

/* Byte 4r+j <- byte 16j+r: a row's four bytes of a line side by side. */
ALWAYS_INLINE __m512i row_order(void)
{
    const __m512i row = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i spread = _mm512_mullo_epi32(row, _mm512_set1_epi32(0x01010101));
    return _mm512_add_epi32(spread, _mm512_set1_epi32(0x30201000));
}

/* Packs four vectors of 16 small dwords, one for each lane j, into bytes 16j+n. */
ALWAYS_INLINE __m512i join(__m512i words01, __m512i words23)
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_permutexvar_epi32(order, _mm512_packus_epi16(words01, words23));
}

/* The tables of one line; returns sum of max(-q, 0) in parts. */
ALWAYS_INLINE __m256i make_tables(uint8_t *table, const int8_t *q, bool wide)
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
            t[j] = dot4(t[j], bits, _mm512_set1_epi32(fours[4 * nibble + j]));
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

/* Tables, starts and scales of token t, at `at`; returns the end. */
static uint8_t *make_token(struct token *x, const struct matmul *m, const struct runs *u, size_t t,
                           uint8_t *at, bool wide)
{
    const size_t line_bytes = wide ? 256 : 128;
    const int8_t *q = m->x->q + t * m->x->q_stride;
    int32_t *start = (int32_t *)(at + u->n_lines * line_bytes);
    float *scale = (float *)(start + u->n_runs);
    *x = (struct token){at, start, scale};
    for (size_t i = 0, line = 0; i < u->n_runs; i++) {
        __m256i lift = _mm256_setzero_si256();
        for (size_t end = line + u->run_lines; line < end && line < u->n_lines; line++)
            lift = _mm256_add_epi32(lift,
                                    make_tables(at + line * line_bytes, q + 32 * line, wide));
        __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(lift),
                                    _mm256_extracti128_si256(lift, 1));
        sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
        sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1));
        start[i] = -(run_sum(m, u, t, i) + 2 * _mm_cvtsi128_si32(sum)); /* sum |q| */
        scale[i] = run_scale(m, u, t, i);
    }
    size_t n_bytes = u->n_lines * line_bytes + u->n_runs * 8;
    return at + (n_bytes + 63) / 64 * 64;
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

/* The 16 scales of group g; every other group begins with a line of them, which *p stands at. */
ALWAYS_INLINE __m512 group_scale(const uint8_t **p, const uint8_t **scales, size_t g)
{
    if (g % 2 == 0)
        *scales = *p, *p += LINE_BYTES;
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(*scales + 32 * (g % 2))));
}

/* Adds up to four lines of ns blocks times nt tokens to isum. Here and below, loops over blocks
 * and tokens have fixed ends and an `if`, so that both gcc and clang unroll them completely and
 * keep the arrays in registers. */
ALWAYS_INLINE void look_up(__m512i isum[2][2], const uint8_t *p[2], const struct token *x,
                           size_t line, size_t n, int ns, int nt, bool wide)
{
    const size_t line_bytes = wide ? 256 : 128;
    const __m512i nibble = _mm512_set1_epi8(15), order = row_order();
    __m512i low[4], high[4], even[2], odd[2];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        low[i] = high[i] = _mm512_setzero_si512();
    for (; n > 0; n--, line++) {
#pragma GCC unroll 2
        for (int s = 0; s < 2; s++)
            if (s < ns) {
                _mm_prefetch((const char *)p[s] + PREFETCH, _MM_HINT_T0);
                const __m512i w = _mm512_loadu_si512(p[s]);
                p[s] += LINE_BYTES;
                even[s] = _mm512_and_si512(w, nibble);
                odd[s] = _mm512_and_si512(_mm512_srli_epi16(w, 4), nibble);
            }
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            if (i / 2 < ns && i % 2 < nt) {
                const uint8_t *at = x[i % 2].tables + line * line_bytes;
                const __m512i low0 = _mm512_load_si512(at);
                const __m512i low1 = _mm512_load_si512(at + line_bytes / 2);
                low[i] = add8(low[i], _mm512_shuffle_epi8(low0, even[i / 2]));
                low[i] = add8(low[i], _mm512_shuffle_epi8(low1, odd[i / 2]));
                if (wide) {
                    const __m512i high0 = _mm512_load_si512(at + 64);
                    const __m512i high1 = _mm512_load_si512(at + 192);
                    high[i] = add8(high[i], _mm512_shuffle_epi8(high0, even[i / 2]));
                    high[i] = add8(high[i], _mm512_shuffle_epi8(high1, odd[i / 2]));
                }
            }
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        if (i / 2 < ns && i % 2 < nt) {
            __m512i sum = isum[i / 2][i % 2];
            sum = dot4(sum, _mm512_permutexvar_epi8(order, low[i]), _mm512_set1_epi8(2));
            if (wide)
                sum = dot4(sum, _mm512_permutexvar_epi8(order, high[i]), _mm512_set1_epi8(32));
            isum[i / 2][i % 2] = sum;
        }
}

/* ns blocks, a stride apart from `block` on, times nt tokens, x[0] being token t0. */
ALWAYS_INLINE void table_blocks(const struct matmul *m, const struct runs *u,
                                const struct token *x, size_t t0, size_t block, size_t stride,
                                int ns, int nt, bool wide)
{
    const uint8_t *p[2], *scales[2];
    __m512 acc[4], d[2];
    __m512i isum[2][2];
#pragma GCC unroll 2
    for (int s = 0; s < 2; s++) {
        const size_t b = block + (s < ns ? (size_t)s * stride : 0);
        scales[s] = p[s] = m->w->lines + b * u->block_bytes;
        d[s] = _mm512_set1_ps(1.0f);
        acc[s] = acc[2 + s] = _mm512_setzero_ps();
    }
    size_t line = 0;
    for (size_t run = 0; run < u->n_runs; run++) {
        if (u->grouped && run % u->group_runs == 0)
#pragma GCC unroll 2
            for (int s = 0; s < 2; s++)
                d[s] = group_scale(&p[s], &scales[s], run / u->group_runs);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            isum[i / 2][i % 2] = _mm512_set1_epi32(x[i % 2 < nt ? i % 2 : 0].start[run]);
        size_t end = line + u->run_lines < u->n_lines ? line + u->run_lines : u->n_lines;
        for (; line + SEGMENT_LINES <= end; line += SEGMENT_LINES)
            look_up(isum, p, x, line, SEGMENT_LINES, ns, nt, wide);
        if (line < end)
            look_up(isum, p, x, line, end - line, ns, nt, wide);
        line = end;
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            if (i / 2 < ns && i % 2 < nt) {
                __m512 scale = _mm512_mul_ps(d[i / 2], _mm512_set1_ps(x[i % 2].scale[run]));
                __m512 sum = _mm512_mul_ps(_mm512_cvtepi32_ps(isum[i / 2][i % 2]), scale);
                acc[i] = _mm512_add_ps(acc[i], sum);
            }
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        if (i / 2 < ns && i % 2 < nt)
            finish(m, block + (size_t)(i / 2) * stride, t0 + (size_t)(i % 2), acc[i]);
}

/* A batch of tokens [t0, t0 + n_tok), two at a time while their blocks are near. Two streams, from
 * the first block and from the middle one: each reads memory straight on, and two of them faster
 * than one. */
ALWAYS_INLINE void table_batch(const struct matmul *m, const struct runs *u, size_t t0,
                               size_t n_tok, bool wide)
{
    struct token x[TABLE_TOKENS];
    const size_t half = (m->block_end - m->block_begin) / 2;
    uint8_t *at = m->scratch;
    for (size_t t = 0; t < n_tok; t++)
        at = make_token(&x[t], m, u, t0 + t, at, wide);
    for (size_t b = m->block_begin; b < m->block_begin + half; b++) {
        for (size_t t = 0; t + 2 <= n_tok; t += 2)
            table_blocks(m, u, x + t, t0 + t, b, half, 2, 2, wide);
        if (n_tok % 2)
            table_blocks(m, u, x + n_tok - 1, t0 + n_tok - 1, b, half, 2, 1, wide);
    }
    for (size_t b = m->block_begin + 2 * half; b < m->block_end; b++)
        for (size_t t = 0; t < n_tok; t++)
            table_blocks(m, u, x + t, t0 + t, b, 0, 1, 1, wide);
}

ALWAYS_INLINE void by_tables(const struct matmul *m, const struct runs *u, bool wide)
{
    for (size_t t = 0; t < m->x->n_tok; t += TABLE_TOKENS) {
        const size_t left = m->x->n_tok - t;
        table_batch(m, u, t, left < TABLE_TOKENS ? left : TABLE_TOKENS, wide);
    }
}

static void wide_tables(const struct matmul *m, const struct runs *u)
{
    by_tables(m, u, true);
}

static void narrow_tables(const struct matmul *m, const struct runs *u)
{
    by_tables(m, u, false);
}

/* The second method: up to four blocks are spread to bytes over all columns, and token after
 * token runs over them; the second cache holds them meanwhile. */
enum { TILE_BLOCKS = 4, TILE_TOKENS = 6, PANEL_TOKENS = 192 };

struct tile {
    uint8_t (*code)[TILE_BLOCKS][64];  /* [8 * n_lines]: 0 or 2; a row's 4 columns in a dword */
    float (*scale)[TILE_BLOCKS][16];   /* [n_runs] */
    int32_t *start;                    /* [n_tok][n_runs] minus the sum of q, for codes 0 and 2 */
    float *a;                          /* [n_tok][n_runs] scales of the activations */
    size_t block;                      /* the first one; they follow one another */
    size_t t0, n_tok;                  /* tokens that share the spreading: a panel */
};

/* Lays the tile out in scratch (72 bytes a column and 48 for a full panel) and fills in what
 * belongs to the tokens of the panel that begins at t0. */
static struct tile make_tile(const struct matmul *m, const struct runs *u, size_t t0)
{
    const size_t left = m->x->n_tok - t0;
    struct tile w = {.code = m->scratch, .t0 = t0};
    w.n_tok = left < PANEL_TOKENS ? left : PANEL_TOKENS;
    w.scale = (float(*)[TILE_BLOCKS][16])(w.code + 8 * u->n_lines);
    w.start = (int32_t *)(w.scale + u->n_runs);
    w.a = (float *)(w.start + w.n_tok * u->n_runs);
    for (size_t t = 0; t < w.n_tok; t++)
        for (size_t i = 0; i < u->n_runs; i++) {
            w.start[t * u->n_runs + i] = -run_sum(m, u, t0 + t, i);
            w.a[t * u->n_runs + i] = run_scale(m, u, t0 + t, i);
        }
    return w;
}

/* Spreads nb blocks. The next tile follows nb blocks on: that far ahead the second cache is
 * filled. */
ALWAYS_INLINE void spread(const struct tile *w, const struct matrix *matrix, const struct runs *u,
                          int nb)
{
    const __m512i two = _mm512_set1_epi8(2), order = row_order();
    for (int b = 0; b < nb; b++) {
        const uint8_t *p = matrix->lines + (w->block + (size_t)b) * u->block_bytes, *scales = p;
        __m512 d = _mm512_set1_ps(1.0f);
        for (size_t run = 0, line = 0; run < u->n_runs; run++) {
            if (u->grouped && run % u->group_runs == 0)
                d = group_scale(&p, &scales, run / u->group_runs);
            _mm512_store_ps(w->scale[run][b], d);
            const size_t end = line + u->run_lines < u->n_lines ? line + u->run_lines : u->n_lines;
            for (; line < end; line++, p += LINE_BYTES) {
                _mm_prefetch((const char *)p + (size_t)nb * u->block_bytes, _MM_HINT_T1);
                __m512i x = _mm512_permutexvar_epi8(order, _mm512_loadu_si512(p));
                uint8_t(*to)[TILE_BLOCKS][64] = w->code + 8 * line;
                _mm512_store_si512(to[0][b], _mm512_and_si512(_mm512_add_epi8(x, x), two));
#pragma GCC unroll 7
                for (int f = 1; f < 8; f++, x = _mm512_srli_epi32(x, 1))
                    _mm512_store_si512(to[f][b], _mm512_and_si512(x, two));
            }
        }
    }
}

/* Lines [begin, end) times nt tokens. */
ALWAYS_INLINE void dot_lines(__m512i sum[TILE_TOKENS][TILE_BLOCKS],
                             const uint8_t (*from)[TILE_BLOCKS][64], const int8_t *q,
                             size_t q_stride, size_t begin, size_t end, int nb, int nt)
{
    for (size_t k = 8 * begin; k < 8 * end; k++) {
        __m512i code[TILE_BLOCKS];
#pragma GCC unroll 4
        for (int b = 0; b < TILE_BLOCKS; b++)
            if (b < nb)
                code[b] = _mm512_load_si512(from[k][b]);
#pragma GCC unroll 24
        for (int i = 0; i < TILE_TOKENS * TILE_BLOCKS; i++)
            if (i / TILE_BLOCKS < nt && i % TILE_BLOCKS < nb) {
                const int t = i / TILE_BLOCKS, b = i % TILE_BLOCKS;
                int32_t four;
                memcpy(&four, q + (size_t)t * q_stride + 4 * k, 4);
                sum[t][b] = dot4(sum[t][b], code[b], _mm512_set1_epi32(four));
            }
    }
}

/* The tile times nt tokens from panel token t0 on. */
ALWAYS_INLINE void dot_tile(const struct matmul *m, const struct runs *u, const struct tile *w,
                            size_t t0, int nb, int nt)
{
    const size_t q_stride = m->x->q_stride, n_runs = u->n_runs, n_lines = u->n_lines;
    const int8_t *q = m->x->q + (w->t0 + t0) * q_stride;
    __m512 acc[TILE_TOKENS][TILE_BLOCKS];
#pragma GCC unroll 24
    for (int i = 0; i < TILE_TOKENS * TILE_BLOCKS; i++)
        acc[i / TILE_BLOCKS][i % TILE_BLOCKS] = _mm512_setzero_ps();
    for (size_t run = 0, line = 0; run < n_runs; run++) {
        const int32_t *start = w->start + t0 * n_runs + run;
        const float *a = w->a + t0 * n_runs + run;
        const size_t end = line + u->run_lines < n_lines ? line + u->run_lines : n_lines;
        __m512i sum[TILE_TOKENS][TILE_BLOCKS];
#pragma GCC unroll 24
        for (int i = 0; i < TILE_TOKENS * TILE_BLOCKS; i++)
            if (i / TILE_BLOCKS < nt)
                sum[i / TILE_BLOCKS][i % TILE_BLOCKS] =
                    _mm512_set1_epi32(start[(size_t)(i / TILE_BLOCKS) * n_runs]);
        dot_lines(sum, w->code, q, q_stride, line, end, nb, nt);
        line = end;
#pragma GCC unroll 24
        for (int i = 0; i < TILE_TOKENS * TILE_BLOCKS; i++)
            if (i / TILE_BLOCKS < nt && i % TILE_BLOCKS < nb) {
                const int t = i / TILE_BLOCKS, b = i % TILE_BLOCKS;
                const __m512 scale = _mm512_mul_ps(_mm512_load_ps(w->scale[run][b]),
                                                   _mm512_set1_ps(a[(size_t)t * n_runs]));
                acc[t][b] = _mm512_add_ps(acc[t][b],
                                          _mm512_mul_ps(_mm512_cvtepi32_ps(sum[t][b]), scale));
            }
    }
    for (int i = 0; i < TILE_TOKENS * TILE_BLOCKS; i++)
        if (i / TILE_BLOCKS < nt && i % TILE_BLOCKS < nb)
            finish(m, w->block + (size_t)(i % TILE_BLOCKS), w->t0 + t0 + (size_t)(i / TILE_BLOCKS),
                   acc[i / TILE_BLOCKS][i % TILE_BLOCKS]);
}

/* nb blocks, from w->block on, times the panel. */
ALWAYS_INLINE void dot_blocks(const struct matmul *m, const struct runs *u, const struct tile *w,
                              int nb)
{
    spread(w, m->w, u, nb);
    for (size_t t = 0, nt; t < w->n_tok; t += nt) {
        const size_t left = w->n_tok - t;
        nt = left <= TILE_TOKENS ? left : left < 2 * TILE_TOKENS ? (left + 1) / 2 : TILE_TOKENS;
        switch (nt) {
        case 1: dot_tile(m, u, w, t, nb, 1); break;
        case 2: dot_tile(m, u, w, t, nb, 2); break;
        case 3: dot_tile(m, u, w, t, nb, 3); break;
        case 4: dot_tile(m, u, w, t, nb, 4); break;
        case 5: dot_tile(m, u, w, t, nb, 5); break;
        default: dot_tile(m, u, w, t, nb, 6); break;
        }
    }
}

static void dot_four_blocks(const struct matmul *m, const struct runs *u, const struct tile *w)
{
    dot_blocks(m, u, w, 4);
}

static void dot_one_block(const struct matmul *m, const struct runs *u, const struct tile *w)
{
    dot_blocks(m, u, w, 1);
}

static void by_dots(const struct matmul *m, const struct runs *u)
{
    for (size_t t = 0; t < m->x->n_tok; t += PANEL_TOKENS) {
        struct tile w = make_tile(m, u, t);
        for (w.block = m->block_begin; w.block + 4 <= m->block_end; w.block += 4)
            dot_four_blocks(m, u, &w);
        for (; w.block < m->block_end; w.block++)
            dot_one_block(m, u, &w);
    }
}

static void binary_i8(const struct matmul *m)
{
    const struct runs u = runs_of(m);
    if (m->x->kind != ACT_I8)
        narrow_tables(m, &u);
    else if (m->x->n_tok < DOTS_FROM)
        wide_tables(m, &u);
    else
        by_dots(m, &u);
}

void fill_avx512_binary(struct matrix_kernels *m)
{
    m->b1_i8 = binary_i8;
}
