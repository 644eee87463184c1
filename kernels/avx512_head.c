/* avx512_head.c: i8, i6 and i4 times integers with vpdpbusd, every encoding times floats.
 *
 * A line holds 16 rows in dword lanes, so one line times one broadcast dword of activations is one
 * vpdpbusd and no sum ever crosses lanes. Weights are stored with their offset (w + 128, + 8, + 32)
 * and are the unsigned operand; accumulators start at minus offset * sum(q). vpdpbusd wraps and
 * never saturates, so what counts is that the true sum fits: |isum| <= 2^17 * 128 * 127 < 2^31.
 *
 * A tile is nb blocks times nt tokens, both constants. For few tokens two streams of blocks, one
 * from each half of the range, keep the memory busy; for many, four blocks stay in L2 while the
 * tokens pass by in sixes. Meanwhile the next blocks are fetched: 16 % faster with 16 tokens, 11 %
 * with 32. Where blocks run out a tile repeats the last one, with the same bits.
 *
 * Floats are the yardstick, and one way serves all encodings: some lines are turned into floats,
 * which stay in L1 while each token meets them.
 */
#include "kernels/avx512_rows.h"

enum {
    PAIR_TOK = 8, NIBBLE_TOK = 4, TILE_TOK = 6, TILE_BLOCKS = 4,
    CHUNK_TOK = 512, /* tokens whose sums of activations are kept */
    FLOAT_TOK = 16,  /* tokens that share the floats of FLOAT_COLS columns */
    FLOAT_COLS = 128,
};

/* n lines. Each chain of vpdpbusd waits five cycles on itself, so tiles of few accumulators
 * alternate between two sets. */
INLINE void i8_lines(__m512i acc[4][8][2], const uint8_t *w[4], const int8_t *q, size_t q_stride,
                     size_t n, size_t far, const int nb, const int nt, const int n_sets)
{
    size_t i = 0;
    for (; n_sets == 2 && i + 1 < n; i += 2) {
        UNROLL for (int b = 0; b < nb; b++)
        {
            prefetch_far(w[b] + 64 * i, far);
            prefetch_far(w[b] + 64 * i + 64, far);
            __m512i line0 = _mm512_loadu_si512(w[b] + 64 * i);
            __m512i line1 = _mm512_loadu_si512(w[b] + 64 * i + 64);
            UNROLL for (int t = 0; t < nt; t++)
            {
                const int8_t *at = q + (size_t)t * q_stride + 4 * i;
                acc[b][t][0] = dot_add(acc[b][t][0], line0, broadcast4(at));
                acc[b][t][1] = dot_add(acc[b][t][1], line1, broadcast4(at + 4));
            }
        }
    }
    for (; i < n; i++) {
        __m512i line[4];
        UNROLL for (int b = 0; b < nb; b++)
        {
            prefetch_far(w[b] + 64 * i, far);
            line[b] = _mm512_loadu_si512(w[b] + 64 * i);
        }
        UNROLL for (int t = 0; t < nt; t++)
        {
            __m512i dword = broadcast4(q + (size_t)t * q_stride + 4 * i);
            UNROLL for (int b = 0; b < nb; b++)
            {
                acc[b][t][0] = dot_add(acc[b][t][0], line[b], dword);
            }
        }
    }
}

INLINE void i8_tile(const struct tile *tile, const int32_t *start, const int nb, const int nt)
{
    const int n_sets = nb * nt <= 8 ? 2 : 1;
    const struct runs *r = tile->r;
    const struct activations *x = tile->m->x;
    /* Tokens after the first find these blocks in the cache, and fetch those behind them. */
    const size_t behind = (nb == 2 ? 1 : TILE_BLOCKS) * r->block_bytes;
    const size_t far = tile->t0 == 0 ? FAR : behind;
    __m512 total[4][8];
    for (int j = 0; j < nb * nt; j++) { total[j / nt][j % nt] = _mm512_setzero_ps(); }
    for (size_t i = 0; i < r->n; i++) {
        const uint8_t *w[4];
        const int8_t *q = x->q + tile->t0 * x->q_stride + i * r->cols;
        __m512i acc[4][8][2];
        UNROLL for (int b = 0; b < nb; b++) { w[b] = tile_lines(&tile[b]) + run_offset(r, i); }
        UNROLL for (int t = 0; t < nt; t++)
        {
            __m512i from = _mm512_set1_epi32(128 * start[(size_t)t * r->n + i]);
            UNROLL for (int b = 0; b < nb; b++)
            {
                acc[b][t][0] = from;
                acc[b][t][1] = _mm512_setzero_si512();
            }
        }
        i8_lines(acc, w, q, x->q_stride, run_lines(r, i), far, nb, nt, n_sets);
        __m512i sum[4][8];
        UNROLL for (int b = 0; b < nb; b++)
        {
            UNROLL for (int t = 0; t < nt; t++)
            {
                sum[b][t] = acc[b][t][0];
                if (n_sets == 2)
                    sum[b][t] = _mm512_add_epi32(sum[b][t], acc[b][t][1]);
            }
        }
        for (int b = 0; b < nb; b++) { end_tile(total[b], sum[b], &tile[b], i); }
    }
    for (int b = 0; b < nb; b++) { store_tile(&tile[b], total[b]); }
}

/* Codes of columns 0..3 and 4..7 of a line; for i6 with two more bits out of its pair's line of
 * high ones, whose fields are 4 columns each. odd: the second line of the pair. */
INLINE void nibbles(__m512i code[2], const uint8_t *low, const uint8_t *high, const bool odd,
                    const bool six)
{
    const __m512i mask = _mm512_set1_epi8(15), two = _mm512_set1_epi8(0x30);
    __m512i line = _mm512_loadu_si512(low);
    code[0] = _mm512_and_si512(line, mask);
    code[1] = _mm512_and_si512(_mm512_srli_epi16(line, 4), mask);
    if (six) {
        __m512i bits = _mm512_loadu_si512(high);
        __m512i bits0 = odd ? bits : _mm512_slli_epi16(bits, 4);
        __m512i bits1 = odd ? _mm512_srli_epi16(bits, 2) : _mm512_slli_epi16(bits, 2);
        code[0] = _mm512_or_si512(code[0], _mm512_and_si512(bits0, two));
        code[1] = _mm512_or_si512(code[1], _mm512_and_si512(bits1, two));
    }
}

/* A group of 32 columns times nt tokens. */
INLINE void nibble_group(__m512i acc[NIBBLE_TOK], const uint8_t *low, const uint8_t *high,
                         const int8_t *q, size_t q_stride, const int nt, const bool six)
{
    UNROLL for (int c = 0; c < 4; c++)
    {
        __m512i code[2];
        nibbles(code, low + LINE_BYTES * c, high + c / 2 * LINE_BYTES, c % 2, six);
        UNROLL for (int t = 0; t < nt; t++)
        {
            const int8_t *at = q + (size_t)t * q_stride + 8 * c;
            acc[t] = dot_add(acc[t], code[0], broadcast4(at));
            acc[t] = dot_add(acc[t], code[1], broadcast4(at + 4));
        }
    }
}

/* i4 and i6: groups of 32 columns, each with an f16 scale, so every run is one group. A chunk is
 * the scales of two groups, four lines of low bits for each, two of high ones. */
INLINE void nibble_tile(const struct tile tile[2], const int nt, const bool six)
{
    const struct runs *r = tile->r;
    const struct activations *x = tile->m->x;
    const int8_t *q = x->q + tile->t0 * x->q_stride;
    const int32_t *sum32 = x->sum32 + tile->t0 * (x->q_stride / 32);
    __m512 total[2][NIBBLE_TOK];
    UNROLL for (int i = 0; i < 2 * nt; i++) { total[i / nt][i % nt] = _mm512_setzero_ps(); }
    for (size_t i = 0; i < r->n; i++) {
        __m512 a[NIBBLE_TOK];
        __m512i from[NIBBLE_TOK];
        UNROLL for (int t = 0; t < nt; t++)
        {
            int32_t sum = sum32[(size_t)t * (x->q_stride / 32) + i];
            from[t] = _mm512_set1_epi32((six ? -32 : -8) * sum);
            a[t] = run_a(tile, i, (size_t)t);
        }
        UNROLL for (int b = 0; b < 2; b++)
        {
            const uint8_t *chunk = tile_lines(&tile[b]) + i / 2 * (six ? 13 : 9) * LINE_BYTES;
            const uint8_t *low = chunk + 64 + i % 2 * 256, *high = chunk + 9 * 64 + i % 2 * 128;
            __m512i acc[NIBBLE_TOK];
            UNROLL for (int c = 0; c < 4; c++) { prefetch(low + LINE_BYTES * c); }
            prefetch(six ? high : chunk);
            prefetch(six ? high + 64 : chunk);
            UNROLL for (int t = 0; t < nt; t++) { acc[t] = from[t]; }
            nibble_group(acc, low, high, q + 32 * i, x->q_stride, nt, six);
            __m512 d = halves(chunk + i % 2 * 32);
            UNROLL for (int t = 0; t < nt; t++)
            {
                total[b][t] = end_run(total[b][t], acc[t], d, a[t]);
            }
        }
    }
    store_tile(&tile[0], total[0]);
    store_tile(&tile[1], total[1]);
}

/* Two blocks times at most PAIR_TOK tokens. */
static void i8_pair(const struct tile tile[2], const int32_t *start)
{
    switch (tile->n_tok) {
    case 1: i8_tile(tile, start, 2, 1); return;
    case 2: i8_tile(tile, start, 2, 2); return;
    case 3: i8_tile(tile, start, 2, 3); return;
    case 4: i8_tile(tile, start, 2, 4); return;
    case 5: i8_tile(tile, start, 2, 5); return;
    case 6: i8_tile(tile, start, 2, 6); return;
    case 7: i8_tile(tile, start, 2, 7); return;
    default: i8_tile(tile, start, 2, 8); return;
    }
}

static void nibble_pair(const struct tile tile[2])
{
    switch (2 * tile->n_tok + (tile->m->w->encoding == ENC_I6)) {
    case 2: nibble_tile(tile, 1, false); return;
    case 3: nibble_tile(tile, 1, true); return;
    case 4: nibble_tile(tile, 2, false); return;
    case 5: nibble_tile(tile, 2, true); return;
    case 6: nibble_tile(tile, 3, false); return;
    case 7: nibble_tile(tile, 3, true); return;
    case 8: nibble_tile(tile, 4, false); return;
    default: nibble_tile(tile, 4, true); return;
    }
}

/* Four blocks times n_tok tokens, whose start values begin at start. */
static void i8_blocks(struct tile tile[TILE_BLOCKS], const int32_t *start, size_t n_tok)
{
    for (size_t n; n_tok > 0; n_tok -= n) {
        n = n_tok < TILE_TOK ? n_tok : TILE_TOK;
        for (int b = 0; b < TILE_BLOCKS; b++) { tile[b].n_tok = n; }
        if (n == TILE_TOK) {
            i8_tile(tile, start, 4, 6);
        } else {
            i8_pair(tile, start);
            i8_pair(tile + 2, start);
        }
        for (int b = 0; b < TILE_BLOCKS; b++) { tile[b].t0 += n; }
        start += n * tile->r->n;
    }
}

static void i8_i8(const struct matmul *m)
{
    const struct runs r = runs_of(m);
    int32_t *start = m->scratch;
    if (m->x->n_tok <= 2 * PAIR_TOK) {
        const size_t n_tok = m->x->n_tok, most = n_tok <= PAIR_TOK ? n_tok : (n_tok + 1) / 2;
        runs_start(start, &r, m, 0, n_tok);
        for (size_t i = 0; i < n_pairs(m); i++) {
            size_t block[2];
            pair_at(block, m, i);
            for (size_t t = 0, nt; t < n_tok; t += nt) {
                nt = n_tok - t < most ? n_tok - t : most;
                const struct tile tile[2] = {{m, &r, block[0], t, nt}, {m, &r, block[1], t, nt}};
                i8_pair(tile, start + t * r.n);
            }
        }
        return;
    }
    for (size_t t0 = 0; t0 < m->x->n_tok; t0 += CHUNK_TOK) {
        size_t n_tok = m->x->n_tok - t0 < CHUNK_TOK ? m->x->n_tok - t0 : CHUNK_TOK;
        runs_start(start, &r, m, t0, n_tok);
        for (size_t first = m->block_begin; first < m->block_end; first += TILE_BLOCKS) {
            struct tile tile[TILE_BLOCKS];
            for (size_t b = 0; b < TILE_BLOCKS; b++) {
                size_t block = first + b < m->block_end ? first + b : m->block_end - 1;
                tile[b] = (struct tile){m, &r, block, t0, 0};
            }
            i8_blocks(tile, start, n_tok);
        }
    }
}

/* All tokens, at most most_tok at once, for pairs of blocks. */
static void each_pair(const struct matmul *m, size_t most_tok,
                      void (*times_pair)(const struct tile tile[2]))
{
    const struct runs r = runs_of(m);
    for (size_t i = 0; i < n_pairs(m); i++) {
        size_t block[2];
        pair_at(block, m, i);
        for (size_t t = 0; t < m->x->n_tok; t += most_tok) {
            size_t n_tok = m->x->n_tok - t < most_tok ? m->x->n_tok - t : most_tok;
            const struct tile tile[2] = {{m, &r, block[0], t, n_tok}, {m, &r, block[1], t, n_tok}};
            times_pair(tile);
        }
    }
}

static void nibbles_i8(const struct matmul *m)
{
    each_pair(m, NIBBLE_TOK, nibble_pair);
}

/* Column j of four in each dword of signed bytes. */
INLINE __m512 byte_as_float(__m512i bytes, const int j)
{
    __m512i value = _mm512_slli_epi32(bytes, (unsigned)(24 - 8 * j));
    return _mm512_cvtepi32_ps(_mm512_srai_epi32(value, 24));
}

/* What vpermps finds for the four bits of codes from `shift` on: what lies above them needs no
 * mask. */
INLINE __m512 code_as_float(__m512 table, __m512i codes, const int shift)
{
    return _mm512_permutexvar_ps(_mm512_srli_epi32(codes, (unsigned)shift), table);
}

INLINE __m512 float_table(const int low, const int mask, const int step)
{
    const __m512i i = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i value = _mm512_mullo_epi32(_mm512_and_si512(i, _mm512_set1_epi32(mask)),
                                       _mm512_set1_epi32(step));
    return _mm512_cvtepi32_ps(_mm512_add_epi32(value, _mm512_set1_epi32(low)));
}

/* Digit j of the five trits in each dword, less one. Division by 3, 9, 27 is a
 * multiplication: exact for what is below 81. */
INLINE __m512 trit(__m512i byte, size_t j)
{
    static const int32_t over[] = {65536, 21846, 7282, 2428};
    const __m512i three = _mm512_set1_epi32(3);
    __m512i low = _mm512_and_si512(byte, _mm512_set1_epi32(63)), high = _mm512_srli_epi32(byte, 6);
    __mmask16 escaped = _mm512_cmpeq_epi32_mask(high, three);
    __m512i t17 = _mm512_srli_epi32(_mm512_mullo_epi32(low, _mm512_set1_epi32(241)), 12);
    __m512i t4 = _mm512_mask_mov_epi32(high, escaped, t17);
    if (j == 4) {
        return _mm512_sub_ps(_mm512_cvtepi32_ps(t4), _mm512_set1_ps(1.0f));
    }
    __m512i rest = _mm512_sub_epi32(_mm512_add_epi32(low, _mm512_set1_epi32(64)),
                                    _mm512_mullo_epi32(t17, _mm512_set1_epi32(17)));
    rest = _mm512_mask_mov_epi32(low, escaped, rest);
    rest = _mm512_srli_epi32(_mm512_mullo_epi32(rest, _mm512_set1_epi32(over[j])), 16);
    __m512i third = _mm512_srli_epi32(_mm512_mullo_epi32(rest, _mm512_set1_epi32(over[1])), 16);
    rest = _mm512_sub_epi32(rest, _mm512_mullo_epi32(third, three));
    return _mm512_sub_ps(_mm512_cvtepi32_ps(rest), _mm512_set1_ps(1.0f));
}

/* A line as floats, to[column][16 rows]; so for the rest below. */
INLINE void t2_floats(float *to, const uint8_t *line)
{
    const __m512 table = float_table(-1, 3, 1);
    const __m512i v = _mm512_loadu_si512(line);
    for (int f = 0; f < 4; f++, to += 4 * BLOCK_ROWS) {
        const __m512i field = _mm512_srl_epi32(v, _mm_cvtsi32_si128(2 * f));
        UNROLL for (int j = 0; j < 4; j++)
        {
            _mm512_store_ps(to + BLOCK_ROWS * j, code_as_float(table, field, 8 * j));
        }
    }
}

INLINE void t1_6_floats(float *to, const uint8_t *line)
{
    for (size_t k = 0; k < 20; k++) {
        __m512i byte = _mm512_srl_epi32(_mm512_loadu_si512(line), _mm_cvtsi32_si128(k % 4 * 8));
        byte = _mm512_and_si512(byte, _mm512_set1_epi32(255));
        _mm512_store_ps(to + BLOCK_ROWS * k, trit(byte, k / 4));
    }
}

INLINE void b1_floats(float *to, const uint8_t *line)
{
    const __m512 table = float_table(-1, 1, 2);
    for (int j = 0; j < 4; j++) {
        const __m128i bytes = _mm_loadu_si128((const __m128i *)(line + 16 * j));
        const __m512i v = _mm512_cvtepu8_epi32(bytes);
        UNROLL for (int f = 0; f < 8; f++)
        {
            _mm512_store_ps(to + BLOCK_ROWS * (4 * f + j), code_as_float(table, v, f));
        }
    }
}

INLINE void bytes_to_floats(float *to, __m512i bytes)
{
    UNROLL for (int j = 0; j < 4; j++)
    {
        _mm512_store_ps(to + BLOCK_ROWS * j, byte_as_float(bytes, j));
    }
}

/* Four lines, a group. */
INLINE void i6_floats(float *to, const uint8_t *low, const uint8_t *high)
{
    const __m512i offset = _mm512_set1_epi8(32);
    UNROLL for (int c = 0; c < 4; c++)
    {
        __m512i code[2];
        nibbles(code, low + LINE_BYTES * c, high + c / 2 * LINE_BYTES, c % 2, true);
        bytes_to_floats(to + 8 * BLOCK_ROWS * c, _mm512_sub_epi8(code[0], offset));
        bytes_to_floats(to + 8 * BLOCK_ROWS * c + 64, _mm512_sub_epi8(code[1], offset));
    }
}

INLINE void i4_floats(float *to, const uint8_t *line)
{
    const __m512 table = float_table(-8, 15, 1);
    const __m512i v = _mm512_loadu_si512(line);
    UNROLL for (int i = 0; i < 8; i++)
    {
        _mm512_store_ps(to + BLOCK_ROWS * i, code_as_float(table, v, 4 * (i / 4) + 8 * (i % 4)));
    }
}

/* n lines of run i. */
static void to_floats(float *to, const uint8_t *line, size_t n, size_t i, enum encoding e)
{
    const __m512i sign = _mm512_set1_epi8(-128);
    const uint8_t *end = line + n * LINE_BYTES;
    switch (e) {
    case ENC_T2:
        for (; line < end; line += 64, to += 16 * BLOCK_ROWS) { t2_floats(to, line); }
        break;
    case ENC_T1_6:
        for (; line < end; line += 64, to += 20 * BLOCK_ROWS) { t1_6_floats(to, line); }
        break;
    case ENC_B1:
        for (; line < end; line += 64, to += 32 * BLOCK_ROWS) { b1_floats(to, line); }
        break;
    case ENC_I8:
        for (; line < end; line += 64, to += 4 * BLOCK_ROWS) {
            bytes_to_floats(to, _mm512_xor_si512(_mm512_loadu_si512(line), sign));
        }
        break;
    case ENC_I6: i6_floats(to, line, line + (i % 2 ? 6 : 8) * LINE_BYTES); break;
    case ENC_I4:
        for (; line < end; line += 64, to += 8 * BLOCK_ROWS) { i4_floats(to, line); }
        break;
    default: /* ENC_F16; half a quad of columns may come last */
        for (; line < end; line += 64, to += 2 * BLOCK_ROWS) {
            _mm512_store_ps(to, halves(line));
            _mm512_store_ps(to + BLOCK_ROWS, halves(line + 32));
        }
        memset(to, 0, 2 * BLOCK_ROWS * sizeof *to);
    }
}

/* n times four columns of nt tokens: acc[token][column % 4]. */
INLINE void add_quads(__m512 acc[][4], const float *w, const float *f, size_t stride, size_t n,
                      const int nt)
{
    __m512 sum[2][4];
    UNROLL for (int i = 0; i < 4 * nt; i++) { sum[i / 4][i % 4] = acc[i / 4][i % 4]; }
    for (; n > 0; n--, f += 4, w += 4 * BLOCK_ROWS) {
        UNROLL for (size_t j = 0; j < 4; j++)
        {
            const __m512 value = _mm512_load_ps(w + BLOCK_ROWS * j);
            UNROLL for (size_t t = 0; t < (size_t)nt; t++)
            {
                __m512 part = _mm512_mul_ps(value, _mm512_set1_ps(f[t * stride + j]));
                sum[t][j] = _mm512_add_ps(sum[t][j], part);
            }
        }
    }
    UNROLL for (int i = 0; i < 4 * nt; i++) { acc[i / 4][i % 4] = sum[i / 4][i % 4]; }
}

/* For few tokens the detour over L1 costs more than it saves: lines go straight into the sums. */
static size_t straight_tokens(enum encoding e)
{
    return e == ENC_F16 ? 4 : e == ENC_I8 || e == ENC_I4 ? 1 : 0;
}

/* n lines of two blocks times one token: acc[block][column % 4]. */
INLINE void straight(__m512 *const acc[2], const uint8_t *const lines[2], const float *f, size_t n,
                     const enum encoding e)
{
    const size_t step = e == ENC_F16 ? 2 : 1, n_cols = e == ENC_I4 ? 8 : 4; /* of one round */
    const __m512 table = float_table(-8, 15, 1);
    __m512 sum[2][4];
    UNROLL for (int i = 0; i < 8; i++) { sum[i / 4][i % 4] = acc[i / 4][i % 4]; }
    for (size_t i = 0; i < n; i += step, f += n_cols) {
        UNROLL for (int b = 0; b < 2; b++)
        {
            const uint8_t *line = lines[b] + i * LINE_BYTES;
            const __m512i v = _mm512_loadu_si512(line);
            const __m512i bytes = _mm512_xor_si512(v, _mm512_set1_epi8(-128));
            prefetch(line);
            if (step == 2)
                prefetch(line + LINE_BYTES);
            UNROLL for (int k = 0; k < (int)n_cols; k++)
            {
                if (e == ENC_F16 && k >= 2 && i + 1 == n)
                    break; /* the last line may be the first of a pair */
                __m512 w = e == ENC_F16  ? halves(line + 32 * k)
                           : e == ENC_I4 ? code_as_float(table, v, 4 * (k / 4) + 8 * (k % 4))
                                         : byte_as_float(bytes, k % 4);
                __m512 part = _mm512_mul_ps(w, _mm512_set1_ps(f[k]));
                sum[b][k % 4] = _mm512_add_ps(sum[b][k % 4], part);
            }
        }
    }
    UNROLL for (int i = 0; i < 8; i++) { acc[i / 4][i % 4] = sum[i / 4][i % 4]; }
}

static void add_lines(__m512 *const acc[2], const uint8_t *const lines[2], const float *f,
                      size_t n, enum encoding e)
{
    switch (e) {
    case ENC_I8: straight(acc, lines, f, n, ENC_I8); break;
    case ENC_I4: straight(acc, lines, f, n, ENC_I4); break;
    default: straight(acc, lines, f, n, ENC_F16); break;
    }
}

/* acc[block][token] for run i of two blocks. */
static void float_run(__m512 acc[2][FLOAT_TOK][4], const struct tile tile[2], size_t i)
{
    const struct runs *r = tile->r;
    const struct activations *x = tile->m->x;
    const enum encoding e = (enum encoding)tile->m->w->encoding;
    const size_t most = FLOAT_COLS / r->line_cols, n_tok = tile->n_tok, stride = x->q_stride;
    const uint8_t *lines[2] = {tile_lines(&tile[0]) + run_offset(r, i),
                               tile_lines(&tile[1]) + run_offset(r, i)};
    const float *f = x->f + tile->t0 * stride + i * r->cols;
    _Alignas(64) float w[(FLOAT_COLS + 2) * BLOCK_ROWS];
    for (size_t left = run_lines(r, i), n; left > 0; left -= n, f += n * r->line_cols) {
        n = left < most ? left : most;
        for (size_t t = 0; t < n_tok && n_tok <= straight_tokens(e); t++) {
            __m512 *const to[2] = {acc[0][t], acc[1][t]};
            add_lines(to, lines, f + t * stride, n, e);
        }
        for (int b = 0; b < 2 && n_tok > straight_tokens(e); b++) {
            const size_t n_quads = (n * r->line_cols + 3) / 4;
            size_t t = 0;
            for (size_t j = 0; j < n; j++) { prefetch(lines[b] + j * LINE_BYTES); }
            to_floats(w, lines[b], n, i, e);
            for (; t + 2 <= n_tok; t += 2) {
                add_quads(acc[b] + t, w, f + t * stride, stride, n_quads, 2);
            }
            if (t < n_tok)
                add_quads(acc[b] + t, w, f + t * stride, stride, n_quads, 1);
        }
        lines[0] += n * LINE_BYTES, lines[1] += n * LINE_BYTES;
    }
}

static void float_pair(const struct tile tile[2])
{
    const struct matmul *m = tile->m;
    const size_t n_tok = tile->n_tok;
    __m512 acc[2][FLOAT_TOK][4], total[2][FLOAT_TOK];
    for (size_t t = 0; t < n_tok; t++) { total[0][t] = total[1][t] = _mm512_setzero_ps(); }
    for (size_t i = 0; i < tile->r->n; i++) {
        for (int b = 0; b < 2; b++) { memset(acc[b], 0, n_tok * sizeof acc[b][0]); }
        float_run(acc, tile, i);
        for (size_t j = 0; j < 2 * n_tok; j++) {
            const __m512 *a = acc[j % 2][j / 2];
            __m512 g = _mm512_add_ps(_mm512_add_ps(a[0], a[2]), _mm512_add_ps(a[1], a[3]));
            if (tile->r->grouped)
                g = _mm512_add_ps(total[j % 2][j / 2], _mm512_mul_ps(g, run_d(&tile[j % 2], i)));
            total[j % 2][j / 2] = g;
        }
    }
    for (size_t j = 0; j < 2 * n_tok; j++) { /* a grouped matrix has no scale here but 1 */
        size_t block = tile[j % 2].block;
        __m512 y = _mm512_mul_ps(total[j % 2][j / 2], matrix_scale(m->w, block));
        _mm512_storeu_ps(m->y + (tile->t0 + j / 2) * m->y_stride + block * BLOCK_ROWS, y);
    }
}

static void times_floats(const struct matmul *m)
{
    each_pair(m, FLOAT_TOK, float_pair);
}

void fill_avx512_head(struct matrix_kernels *m)
{
    m->i8_i8 = i8_i8;
    m->i6_i8 = m->i4_i8 = nibbles_i8;
    m->t2_f32 = m->t1_6_f32 = m->b1_f32 = times_floats;
    m->i8_f32 = m->i6_f32 = m->i4_f32 = m->f16_f32 = times_floats;
}
