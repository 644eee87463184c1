/* avx2_binary.c: binary weights x integer activations with AVX2: sums of four activations are
 * looked up in tables, for one token and for many.
 *
 * Four weights of one row are a nibble, and four activations have only 16 sums of a subset. A
 * line (layout.h) holds in 16-byte lane j the bytes of all 16 rows for columns j, j+4, ..., j+28,
 * so one vpshufb with one table per lane looks up 32 nibbles: 128 weights without a
 * multiplication, where vpmaddubsw after its masks and shifts takes 32.
 *
 *     code 0 or 1:  value = 2*code - 1,  so  sum = 2 * sum(code*q) - sum(q)
 *     T(n) = sum over set bits f of q[f]  minus  sum of negative q[f]     0 <= T <= sum |q|
 *     sum over the nibbles of T = sum(code*q) + sum(negative parts)
 *     sum = 2 * sum(T) - sum|q|           start every accumulator at -sum|q|: no correction
 *
 * |q| <= 127: T <= 508 is kept as 16*high + low, low <= 15, high <= 31, in two tables, and both
 * are added up as bytes. |q| <= 7: T <= 28 fits one table. Signs: T counts the equal bits of four,
 * so one lookup is xnor and popcount in one (Mula's popcount by vpshufb, with the xnor inside).
 *
 * range: lane by lane a line adds two nibbles to a byte. Wide: low goes over both halves of a
 * line, 4 lines * 4 * 15 = 240; high has a byte for each half, 4 * 2 * 31 = 248. Narrow: two bytes
 * too, int4 4 * 2 * 28 = 224, int2 and sign 16 * 2 * 4 = 128. A segment of four lines sums up to
 * 128 * 127 = 16256 in a row, so four of them fit 16 bits, sixteen bits go to 32 then. */
#include "kernels/avx2_rows.h"

enum { BATCH_TOK = 8, MAX_BLOCKS = 4, CUT_LINES = 16 };

/* One token: its tables, or (bit planes) the patterns of its bits. */
struct token {
    const uint8_t *tables; /* [n_lines][2 nibbles][low, high][64]; narrow: [n_lines][2][64] */
    const int32_t *start;  /* [runs] minus sum |q|, planes: minus the sum of q */
    const float *scale;    /* as act_scales */
};

/* As assembly, because gcc would reassociate the sums and run out of registers. */
INLINE __m256i add8(__m256i acc, __m256i x)
{
    __asm__("vpaddb %1, %0, %0" : "+x"(acc) : "x"(x));
    return acc;
}

/* T of four activations: pair01 and pair23 hold q[0..3] in all words, lift minus the negatives. */
INLINE __m256i subset_sums(int16_t pair01, int16_t pair23, int32_t lift)
{
    const __m256i bits01 = _mm256_setr_epi16(0x000, 0x001, 0x100, 0x101, 0x000, 0x001, 0x100,
                                             0x101, 0x000, 0x001, 0x100, 0x101, 0x000, 0x001,
                                             0x100, 0x101);
    const __m256i bits23 = _mm256_setr_epi16(0x000, 0x000, 0x000, 0x000, 0x001, 0x001, 0x001,
                                             0x001, 0x100, 0x100, 0x100, 0x100, 0x101, 0x101,
                                             0x101, 0x101);
    const __m256i a = _mm256_maddubs_epi16(bits01, _mm256_set1_epi16(pair01));
    const __m256i b = _mm256_maddubs_epi16(bits23, _mm256_set1_epi16(pair23));
    return _mm256_add_epi16(_mm256_add_epi16(a, b), _mm256_set1_epi16((int16_t)lift));
}

/* Words of two tables -> bytes, one table per lane. */
INLINE __m256i join(__m256i a, __m256i b)
{
    return _mm256_permute4x64_epi64(_mm256_packus_epi16(a, b), 0xd8);
}

/* The tables of one line; returns sum of max(-q, 0), in parts. */
INLINE __m256i make_tables(uint8_t *table, const int8_t *q, bool wide)
{
    /* column 4f+j comes fourth by fourth; the table of lane j wants its q[f] side by side */
    const __m256i sides = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    const __m256i zero = _mm256_setzero_si256(), ones = _mm256_set1_epi8(1);
    const __m256i x = _mm256_shuffle_epi8(_mm256_loadu_si256((const __m256i *)q), sides);
    const __m256i negative = _mm256_max_epi8(_mm256_sub_epi8(zero, x), zero);
    const __m256i lift =
        _mm256_madd_epi16(_mm256_maddubs_epi16(negative, ones), _mm256_set1_epi16(1));
    int32_t lifts[8];
    int16_t pairs[16];
    _mm256_storeu_si256((__m256i *)lifts, lift);
    _mm256_storeu_si256((__m256i *)pairs, x);
    for (int i = 0; i < 4; i++) { /* nibble i / 2, lanes of half i % 2 */
        const int n = 2 * i;
        const __m256i a = subset_sums(pairs[2 * n], pairs[2 * n + 1], lifts[n]);
        const __m256i b = subset_sums(pairs[2 * n + 2], pairs[2 * n + 3], lifts[n + 1]);
        uint8_t *to = table + (wide ? 128 : 64) * (i / 2) + 32 * (i % 2);
        if (!wide) {
            _mm256_store_si256((__m256i *)to, join(a, b));
            continue;
        }
        const __m256i low = _mm256_set1_epi16(15);
        _mm256_store_si256((__m256i *)to,
                           join(_mm256_and_si256(a, low), _mm256_and_si256(b, low)));
        _mm256_store_si256((__m256i *)(to + 64),
                           join(_mm256_srli_epi16(a, 4), _mm256_srli_epi16(b, 4)));
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
    if (is_prepared(m, BATCH_TOK))
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

/* A few lines of up to four blocks, cut into nibbles, for all tokens of a batch. */
struct nibbles {
    _Alignas(32) uint8_t even[CUT_LINES][2][MAX_BLOCKS][32], odd[CUT_LINES][2][MAX_BLOCKS][32];
};

INLINE void cut_nibbles(struct nibbles *to, const uint8_t *const p[MAX_BLOCKS], size_t n,
                               int nb)
{
    const __m256i nibble = _mm256_set1_epi8(15);
    for (size_t i = 0; i < n; i++)
#pragma GCC unroll 4
        for (int b = 0; b < MAX_BLOCKS; b++)
            if (b < nb) {
                const uint8_t *from = p[b] + LINE_BYTES * i;
                prefetch(from);
#pragma GCC unroll 2
                for (int h = 0; h < 2; h++) {
                    const __m256i w = _mm256_loadu_si256((const __m256i *)(from + 32 * h));
                    const __m256i odd = _mm256_srli_epi16(w, 4);
                    _mm256_store_si256((__m256i *)to->even[i][h][b], _mm256_and_si256(w, nibble));
                    _mm256_store_si256((__m256i *)to->odd[i][h][b], _mm256_and_si256(odd, nibble));
                }
            }
}

/* Keeps x in a register. gcc would rather load it again for each use, and these loops have more
 * loads than the machine does in a cycle: without this b1g128 is a tenth slower. */
INLINE void keep(__m256i *x)
{
    __asm__("" : "+x"(*x));
}

/* Sums of nb blocks in bytes: of the low tables, over both halves of a line, and of the high (or
 * only) tables, by half. */
struct byte_sums {
    __m256i low[MAX_BLOCKS], high[MAX_BLOCKS][2];
};

/* Adds n lines times one token, from the nibbles w or, where w is NULL, straight from memory.
 * Loops over blocks have a fixed end and an `if`, so that both gcc and clang unroll them
 * completely and keep the sums in registers. */
INLINE void look_up(struct byte_sums *sum, const struct nibbles *w,
                           const uint8_t *p[MAX_BLOCKS], const uint8_t *table, size_t n, int nb,
                           bool wide)
{
    const __m256i nibble = _mm256_set1_epi8(15);
    for (size_t i = 0; i < n; i++, table += wide ? 256 : 128)
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
            const uint8_t *at = table + 32 * h, *high = at + (wide ? 64 : 0);
            __m256i low0 = load(at), low1 = load(at + 128);
            __m256i high0 = load(high), high1 = load(high + (wide ? 128 : 64));
            if (wide && !w)
                keep(&low0), keep(&low1), keep(&high0), keep(&high1);
#pragma GCC unroll 4
            for (int b = 0; b < MAX_BLOCKS; b++)
                if (b < nb) {
                    __m256i even, odd;
                    if (w) {
                        even = load(w->even[i][h][b]), odd = load(w->odd[i][h][b]);
                    } else {
                        const uint8_t *from = p[b] + LINE_BYTES * i + 32 * h;
                        __m256i both = _mm256_loadu_si256((const __m256i *)from);
                        keep(&both);
                        even = _mm256_and_si256(both, nibble);
                        odd = _mm256_and_si256(_mm256_srli_epi16(both, 4), nibble);
                        if (h == 0)
                            prefetch(from);
                    }
                    if (wide) {
                        sum->low[b] = add8(sum->low[b], _mm256_shuffle_epi8(low0, even));
                        sum->low[b] = add8(sum->low[b], _mm256_shuffle_epi8(low1, odd));
                    }
                    sum->high[b][h] = add8(sum->high[b][h], _mm256_shuffle_epi8(high0, even));
                    sum->high[b][h] = add8(sum->high[b][h], _mm256_shuffle_epi8(high1, odd));
                }
        }
}

/* The bytes of block b as 16 sums of 16 bits, one for each row. */
INLINE __m256i by_rows(const struct byte_sums *sum, int b, bool wide)
{
    const __m256i weight = _mm256_set1_epi8(wide ? 16 : 1), zero = _mm256_setzero_si256();
    const __m256i *high = sum->high[b];
    __m256i r0 = _mm256_maddubs_epi16(_mm256_unpacklo_epi8(high[0], high[1]), weight);
    __m256i r8 = _mm256_maddubs_epi16(_mm256_unpackhi_epi8(high[0], high[1]), weight);
    if (wide) {
        r0 = _mm256_add_epi16(r0, _mm256_unpacklo_epi8(sum->low[b], zero));
        r8 = _mm256_add_epi16(r8, _mm256_unpackhi_epi8(sum->low[b], zero));
    }
    return _mm256_add_epi16(_mm256_permute2x128_si256(r0, r8, 0x20),
                            _mm256_permute2x128_si256(r0, r8, 0x31));
}

/* Sums of runs: [block][token][half]. */
typedef __m256i run_sums[MAX_BLOCKS][BATCH_TOK][2];

/* isum += twice the sums of T over the segment's lines, for token t. */
INLINE void add_segment(run_sums isum, size_t t, const struct nibbles *w,
                        const uint8_t *p[MAX_BLOCKS], const uint8_t *table, size_t n, int nb,
                        bool wide)
{
    struct byte_sums sum;
#pragma GCC unroll 4
    for (int b = 0; b < MAX_BLOCKS; b++)
        sum.low[b] = sum.high[b][0] = sum.high[b][1] = _mm256_setzero_si256();
    look_up(&sum, w, p, table, n, nb, wide);
#pragma GCC unroll 4
    for (int b = 0; b < MAX_BLOCKS; b++)
        if (b < nb) {
            const __m256i rows = by_rows(&sum, b, wide);
            const __m256i r0 = _mm256_cvtepu16_epi32(_mm256_castsi256_si128(rows));
            const __m256i r8 = _mm256_cvtepu16_epi32(_mm256_extracti128_si256(rows, 1));
            isum[b][t][0] = _mm256_add_epi32(isum[b][t][0], _mm256_slli_epi32(r0, 1));
            isum[b][t][1] = _mm256_add_epi32(isum[b][t][1], _mm256_slli_epi32(r8, 1));
        }
}

/* nb blocks times the tile's tokens, x[0] being the first; bytes are flushed every `segment`
 * lines. A token alone does not need its nibbles written down. */
INLINE void table_tile(const struct tile *tile, const struct token *x, size_t segment, int nb,
                       bool wide, bool alone)
{
    const struct runs r = *tile->r; /* a copy: no store of a vector can change it */
    const size_t nt = alone ? 1 : tile->n_tok;
    const size_t group_runs = (size_t)1 << r.group_log;
    const uint8_t *block[MAX_BLOCKS], *p[MAX_BLOCKS];
    __m256 total[MAX_BLOCKS][BATCH_TOK][2], d[MAX_BLOCKS][2];
    run_sums isum;
    struct nibbles w;
    for (int b = 0; b < nb; b++) {
        block[b] = tile_lines(&tile[b]);
        zero_floats(total[b], nt);
        d[b][0] = d[b][1] = _mm256_setzero_ps(); /* gcc -O3 cannot see that run 0 sets them */
    }
    for (size_t i = 0; i < r.n; i++) {
        const size_t at = run_offset(&r, i);
        for (int b = 0; b < nb; b++) {
            p[b] = block[b] + at;
            if (i % group_runs == 0) {
                run_d(d[b], &r, block[b], i);
                prefetch_scales(&r, block[b], i);
            }
        }
        for (size_t t = 0; t < nt; t++) {
            const __m256i start = _mm256_set1_epi32(x[t].start[i]);
            UNROLL for (int b = 0; b < nb; b++) { isum[b][t][0] = isum[b][t][1] = start; }
        }
        size_t line = i * r.n_lines, end = line + run_lines(&r, i);
        for (size_t n; line < end; line += n) {
            const size_t table = line * (wide ? 256 : 128);
            n = end - line < segment ? end - line : segment;
            if (!alone)
                cut_nibbles(&w, p, n, nb);
            for (size_t t = 0; t < nt; t++)
                add_segment(isum, t, alone ? NULL : &w, p, x[t].tables + table, n, nb, wide);
            for (int b = 0; b < nb; b++)
                p[b] += n * LINE_BYTES;
        }
        for (size_t t = 0; t < nt; t++) {
            const __m256 a = _mm256_set1_ps(x[t].scale[i >> r.act_log]);
            UNROLL for (int b = 0; b < nb; b++) { end_run(total[b][t], isum[b][t], d[b], a); }
        }
    }
    for (int b = 0; b < nb; b++)
        store_tile(&tile[b], total[b]);
}

/* A block that is left over. */
static void table_block(const struct tile *tile, const struct token *x, size_t segment)
{
    if (tile->m->x->kind == ACT_I8)
        table_tile(tile, x, segment, 1, true, false);
    else
        table_tile(tile, x, segment, 1, false, false);
}

/* All tokens, a batch at a time. The blocks come in nb streams, each of which reads memory
 * straight on: that is faster than one. */
INLINE void by_tables(const struct matmul *m, size_t segment, int nb, bool wide, bool alone)
{
    const struct runs r = runs_of(m);
    const size_t part = (m->block_end - m->block_begin) / (size_t)nb;
    struct token x[BATCH_TOK];
    struct tile tile[MAX_BLOCKS];
    for (size_t t0 = 0, nt; t0 < m->x->n_tok; t0 += nt) {
        uint8_t *at = m->scratch;
        nt = m->x->n_tok - t0 < BATCH_TOK ? m->x->n_tok - t0 : BATCH_TOK;
        for (size_t t = 0; t < nt; t++)
            at = make_token(&x[t], m, &r, t0 + t, at, wide);
        for (size_t i = 0; i < part; i++) {
            for (size_t b = 0; b < (size_t)nb; b++)
                tile[b] = (struct tile){m, &r, m->block_begin + b * part + i, t0, nt};
            table_tile(tile, x, segment, nb, wide, alone);
        }
        for (size_t b = m->block_begin + (size_t)nb * part; b < m->block_end; b++) {
            tile[0] = (struct tile){m, &r, b, t0, nt};
            table_block(tile, x, segment);
        }
    }
}

static void wide_tables_alone(const struct matmul *m)
{
    by_tables(m, 4, 2, true, true);
}

static void wide_tables(const struct matmul *m)
{
    by_tables(m, 4, 4, true, false);
}

static void narrow_tables_alone(const struct matmul *m, size_t segment)
{
    by_tables(m, segment, 4, false, true);
}

static void narrow_tables(const struct matmul *m, size_t segment)
{
    by_tables(m, segment, 4, false, false);
}

static void binary_i8(const struct matmul *m)
{
    const size_t segment = m->x->kind == ACT_I4 ? 4 : CUT_LINES;
    if (m->x->kind == ACT_I8)
        (m->x->n_tok == 1 ? wide_tables_alone : wide_tables)(m);
    else
        (m->x->n_tok == 1 ? narrow_tables_alone : narrow_tables)(m, segment);
}

/* Bit planes: and + popcount, plane by plane. Here for completeness and comparison: the tables
 * above do the same in a fraction of the work, and there is no popcount instruction for vectors.
 *
 * q = sum of 2^p * plane_p, the top plane counting -2^p. B1: sum = 2 * sum(code*q) - sum(q); T2:
 * sum(code*q) - sum(q), where one lookup of a nibble counts both bits of two codes by value.
 * range: in a byte B1 31 lines * 8 = 248, T2 20 lines * 12 = 240. */
enum { PLANE_TOK = 2 }; /* T2 takes 32 bytes a column for each: half of scratch */

/* The patterns of one line. B1: bit f of lane j's bytes is column 4f+j. T2: bits 2f and 2f+1 of
 * byte i of each dword are column 4f+i. */
static void make_patterns(uint8_t *to, const int8_t *q, int n_planes, bool ternary)
{
    const __m256i order = ternary ? _mm256_setr_epi8(0, -1, 4, -1, 8, -1, 12, -1, 1, -1, 5, -1, 9,
                                                     -1, 13, -1, 2, -1, 6, -1, 10, -1, 14, -1, 3,
                                                     -1, 7, -1, 11, -1, 15, -1)
                                  : _mm256_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7,
                                                     11, 15, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10,
                                                     14, 3, 7, 11, 15);
    __m256i x = _mm256_loadu_si256((const __m256i *)q);
    if (ternary)
        x = _mm256_shuffle_epi8(_mm256_permute2x128_si256(x, x, 0), order);
    else
        x = _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(x, order),
                                        _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    for (int p = 0; p < n_planes; p++, to += LINE_BYTES) {
        const __m256i top = _mm256_sll_epi16(x, _mm_cvtsi32_si128(7 - p));
        uint32_t bits = (uint32_t)_mm256_movemask_epi8(top);
        if (ternary)
            bits |= bits << 1;
        for (uint32_t h = 0; h < 2; h++) {
            const __m256i lanes = _mm256_setr_m128i(_mm_set1_epi8((int8_t)(2 * h)),
                                                    _mm_set1_epi8((int8_t)(2 * h + 1)));
            __m256i pattern = _mm256_set1_epi32((int32_t)bits);
            if (!ternary)
                pattern = _mm256_shuffle_epi8(pattern, lanes);
            _mm256_store_si256((__m256i *)(to + 32 * h), pattern);
        }
    }
}

/* Patterns, [n_lines][n_planes][64], and starts of token t, at `at`; returns the end. */
static uint8_t *make_plane_token(struct token *x, const struct matmul *m, const struct runs *r,
                                 size_t t, uint8_t *at, int n_planes)
{
    const int8_t *q = m->x->q + t * m->x->q_stride;
    const size_t line_bytes = (size_t)n_planes * LINE_BYTES, n_lines = all_lines(r);
    int32_t *start = (int32_t *)(at + n_lines * line_bytes);
    uint8_t *end = at + (n_lines * line_bytes + r->n * sizeof *start + 63) / 64 * 64;
    *x = (struct token){at, start, act_scales(m->x, t)};
    if (is_prepared(m, PLANE_TOK))
        return end;
    for (size_t i = 0; i < n_lines; i++)
        make_patterns(at + i * line_bytes, q + i * r->line_cols, n_planes,
                      m->w->encoding == ENC_T2);
    for (size_t i = 0; i < r->n; i++)
        start[i] = -run_sum(r, m->x, t, i);
    return end;
}

/* The bits that n lines share with a pattern, counted in bytes; the patterns lie n_planes lines
 * apart. */
INLINE void count_lines(__m256i count[2], const uint8_t *line, const uint8_t *pattern,
                               size_t n, size_t n_planes, __m256i table)
{
    const __m256i nibble = _mm256_set1_epi8(15);
    count[0] = count[1] = _mm256_setzero_si256();
    for (; n > 0; n--, line += LINE_BYTES, pattern += n_planes * LINE_BYTES)
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
            const __m256i w = _mm256_loadu_si256((const __m256i *)(line + 32 * h));
            const __m256i hits = _mm256_and_si256(w, load(pattern + 32 * h));
            const __m256i even = _mm256_and_si256(hits, nibble);
            const __m256i odd = _mm256_and_si256(_mm256_srli_epi16(hits, 4), nibble);
            count[h] = add8(count[h], _mm256_shuffle_epi8(table, even));
            count[h] = add8(count[h], _mm256_shuffle_epi8(table, odd));
        }
}

/* isum += n lines times one token, plane by plane. */
static void add_planes(__m256i isum[2], const uint8_t *line, const uint8_t *patterns, size_t n,
                       int n_planes, bool ternary)
{
    const __m256i ones = _mm256_set1_epi8(1);
    const __m256i table = _mm256_broadcastsi128_si256(
        ternary ? _mm_setr_epi8(0, 1, 2, 3, 1, 2, 3, 4, 2, 3, 4, 5, 3, 4, 5, 6)
                : _mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    for (int p = 0; p < n_planes; p++) {
        struct byte_sums sum;
        __m256i r[2];
        count_lines(sum.high[0], line, patterns + p * LINE_BYTES, n, (size_t)n_planes, table);
        if (ternary) { /* rows 0..7 and 8..15 in dwords already */
            for (int h = 0; h < 2; h++)
                r[h] = _mm256_madd_epi16(_mm256_maddubs_epi16(sum.high[0][h], ones),
                                         _mm256_set1_epi16(1));
        } else {
            const __m256i rows = by_rows(&sum, 0, false);
            r[0] = _mm256_cvtepu16_epi32(_mm256_castsi256_si128(rows));
            r[1] = _mm256_cvtepu16_epi32(_mm256_extracti128_si256(rows, 1));
        }
        for (int h = 0; h < 2; h++) {
            const __m256i part = _mm256_sll_epi32(r[h], _mm_cvtsi32_si128(p + !ternary));
            isum[h] = p + 1 < n_planes ? _mm256_add_epi32(isum[h], part)
                                       : _mm256_sub_epi32(isum[h], part);
        }
    }
}

static void plane_block(const struct tile *tile, const struct token *x, int n_planes)
{
    const bool ternary = tile->m->w->encoding == ENC_T2;
    const size_t segment = ternary ? 20 : 31, pattern_bytes = (size_t)n_planes * LINE_BYTES;
    const struct runs *r = tile->r;
    __m256 total[PLANE_TOK][2], d[2];
    __m256i isum[PLANE_TOK][2];
    zero_floats(total, tile->n_tok);
    for (size_t i = 0; i < r->n; i++) {
        const uint8_t *p = tile_lines(tile) + run_offset(r, i);
        for (size_t t = 0; t < tile->n_tok; t++)
            isum[t][0] = isum[t][1] = _mm256_set1_epi32(x[t].start[i]);
        size_t line = i * r->n_lines, end = line + run_lines(r, i);
        for (size_t n; line < end; line += n, p += n * LINE_BYTES) {
            n = end - line < segment ? end - line : segment;
            for (size_t t = 0; t < tile->n_tok; t++)
                add_planes(isum[t], p, x[t].tables + line * pattern_bytes, n, n_planes, ternary);
        }
        run_d(d, r, tile_lines(tile), i);
        for (size_t t = 0; t < tile->n_tok; t++)
            end_run(total[t], isum[t], d, run_a(tile, i, t));
    }
    store_tile(tile, total);
}

static void bit_planes(const struct matmul *m)
{
    const struct runs r = runs_of(m);
    const int n_planes = m->x->kind == ACT_I8 ? 8 : m->x->kind == ACT_I4 ? 4 : 2;
    struct token x[PLANE_TOK];
    for (size_t t0 = 0, nt; t0 < m->x->n_tok; t0 += nt) {
        uint8_t *at = m->scratch;
        nt = m->x->n_tok - t0 < PLANE_TOK ? m->x->n_tok - t0 : PLANE_TOK;
        for (size_t t = 0; t < nt; t++)
            at = make_plane_token(&x[t], m, &r, t0 + t, at, n_planes);
        for (size_t b = m->block_begin; b < m->block_end; b++) {
            const struct tile tile = {m, &r, b, t0, nt};
            plane_block(&tile, x, n_planes);
        }
    }
}

void fill_avx2_binary(struct matrix_kernels *m)
{
    m->b1_i8 = binary_i8;
    m->b1_sign = binary_i8; /* the same tables count equal bits */
    m->b1_planes = bit_planes;
    m->t2_planes = bit_planes;
}
