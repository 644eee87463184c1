/* avx2_head.c: i8, i6 and i4 times integers, every encoding times floats, in 256 bits.
 *
 * A line is two registers of 8 rows, each row a dword of 4 columns; one broadcast dword of
 * activations meets both. maddubs takes unsigned times signed and saturates at int16, so:
 *
 *   i8     |w| times q with w's sign. |w| <= 128, |q| <= 127: a pair is at most 2*128*127 = 32512.
 *   i6, i4 code times q, code <= 63: a pair is at most 2*63*127 = 16002; two such pairs are added
 *          before widening, at most 32004. Sums start at minus offset * sum(q).
 *
 * Then madd by ones widens to int32, where |isum| <= 2^17 * 128 * 127 < 2^31. i6 and i4 sum one
 * group of 32 columns at a time.
 *
 * Floats are the yardstick, and one way serves all encodings: some lines are turned into floats,
 * which stay in L1 while each token meets them.
 */
#include "kernels/avx2_rows.h"

enum {
    TILE_TOK = 4,
    FLOAT_TOK = 16, /* tokens that share the floats of FLOAT_COLS columns */
    FLOAT_COLS = 128,
};

/* n lines of nb blocks times nt tokens: isum[block][token][half]. */
INLINE void i8_tile(__m256i isum[2][TILE_TOK][2], const uint8_t *const lines[2], const int8_t *q,
                    size_t q_stride, size_t n, const int nb, const int nt)
{
    const __m256i ones = _mm256_set1_epi16(1), sign = _mm256_set1_epi8(-128);
    __m256i acc[2][TILE_TOK][2];
    UNROLL for (int i = 0; i < nb * nt; i++)
    {
        acc[i / nt][i % nt][0] = acc[i / nt][i % nt][1] = _mm256_setzero_si256();
    }
    for (size_t i = 0; i < n; i++) {
        UNROLL for (int b = 0; b < nb; b++)
        {
            prefetch(lines[b] + 64 * i);
            UNROLL for (int s = 0; s < 2; s++)
            {
                __m256i value = _mm256_xor_si256(load(lines[b] + 64 * i + 32 * s), sign);
                __m256i abs = _mm256_abs_epi8(value); /* 128 stays 128, read as unsigned */
                UNROLL for (int t = 0; t < nt; t++)
                {
                    __m256i dword = broadcast4(q + (size_t)t * q_stride + 4 * i);
                    __m256i pairs = _mm256_maddubs_epi16(abs, _mm256_sign_epi8(dword, value));
                    __m256i sums = _mm256_madd_epi16(pairs, ones);
                    acc[b][t][s] = _mm256_add_epi32(acc[b][t][s], sums);
                }
            }
        }
    }
    UNROLL for (int i = 0; i < nb * nt; i++)
    {
        isum[i / nt][i % nt][0] = acc[i / nt][i % nt][0];
        isum[i / nt][i % nt][1] = acc[i / nt][i % nt][1];
    }
}

INLINE void i8_blocks(const struct tile *tile, const int nb, const int nt)
{
    const struct runs *r = tile->r;
    const struct activations *x = tile->m->x;
    __m256 total[2][TILE_TOK][2];
    zero_floats(total[0], 2 * TILE_TOK);
    for (size_t i = 0; i < r->n; i++) {
        const size_t at = run_offset(r, i);
        const uint8_t *const lines[2] = {tile_lines(&tile[0]) + at, tile_lines(&tile[nb - 1]) + at};
        const int8_t *q = x->q + tile->t0 * x->q_stride + i * r->cols;
        const __m256 one[2] = {_mm256_set1_ps(1.0f), _mm256_set1_ps(1.0f)};
        __m256i isum[2][TILE_TOK][2];
        i8_tile(isum, lines, q, x->q_stride, run_lines(r, i), nb, nt);
        UNROLL for (int j = 0; j < nb * nt; j++)
        {
            const int b = j % nb, t = j / nb;
            end_run(total[b][t], isum[b][t], one, run_a(tile, i, (size_t)t));
        }
    }
    for (int b = 0; b < nb; b++) { store_tile(&tile[b], total[b]); }
}

static void i8_pair(const struct tile tile[2])
{
    switch (tile->n_tok) {
    case 1: i8_blocks(tile, 2, 1); return;
    case 2: i8_blocks(tile, 2, 2); return;
    }
    for (int b = 0; b < 2; b++) { /* the sums of both would not fit the registers */
        if (tile->n_tok == 3)
            i8_blocks(&tile[b], 1, 3);
        else
            i8_blocks(&tile[b], 1, 4);
    }
}

/* Codes of columns 0..3 and 4..7 of 8 rows of a line; for i6 with two more bits out of its pair's
 * line of high ones, whose fields are 4 columns each. odd: the second line of the pair. */
INLINE void nibbles(__m256i code[2], const uint8_t *low, const uint8_t *high, const bool odd,
                    const bool six)
{
    const __m256i mask = _mm256_set1_epi8(15), two = _mm256_set1_epi8(0x30);
    __m256i line = load(low);
    code[0] = _mm256_and_si256(line, mask);
    code[1] = _mm256_and_si256(_mm256_srli_epi16(line, 4), mask);
    if (six) {
        __m256i bits = load(high);
        __m256i bits0 = odd ? bits : _mm256_slli_epi16(bits, 4);
        __m256i bits1 = odd ? _mm256_srli_epi16(bits, 2) : _mm256_slli_epi16(bits, 2);
        code[0] = _mm256_or_si256(code[0], _mm256_and_si256(bits0, two));
        code[1] = _mm256_or_si256(code[1], _mm256_and_si256(bits1, two));
    }
}

/* A pair of lines, 16 columns, of 8 rows times nt tokens. */
INLINE void nibble_lines(__m256i acc[TILE_TOK], const uint8_t *low, const uint8_t *high,
                         const int8_t *q, size_t q_stride, const int nt, const bool six)
{
    const __m256i ones = _mm256_set1_epi16(1);
    UNROLL for (int c = 0; c < 2; c++)
    {
        __m256i code[2];
        nibbles(code, low + LINE_BYTES * c, high, c, six);
        UNROLL for (int t = 0; t < nt; t++)
        {
            const int8_t *at = q + (size_t)t * q_stride + 8 * c;
            __m256i pairs = _mm256_add_epi16(_mm256_maddubs_epi16(code[0], broadcast4(at)),
                                             _mm256_maddubs_epi16(code[1], broadcast4(at + 4)));
            acc[t] = _mm256_add_epi32(acc[t], _mm256_madd_epi16(pairs, ones));
        }
    }
}

/* One group of 32 columns of 8 rows times nt tokens. A few tokens more, and the loop costs nothing
 * beside its body, which is long enough for a compiler as it is. */
INLINE void nibble_group(__m256i acc[TILE_TOK], const uint8_t *low, const uint8_t *high,
                         const int8_t *q, size_t q_stride, const int nt, const bool six)
{
    if (nt <= 2) {
        nibble_lines(acc, low, high, q, q_stride, nt, six);
        nibble_lines(acc, low + 2 * LINE_BYTES, high + LINE_BYTES, q + 16, q_stride, nt, six);
        return;
    }
    for (size_t i = 0; i < 2; i++) {
        nibble_lines(acc, low + i * 2 * LINE_BYTES, high + i * LINE_BYTES, q + 16 * i, q_stride, nt,
                     six);
    }
}

/* i4 and i6 of nb blocks: groups of 32 columns, each with an f16 scale, so every run is one group.
 * A chunk is the scales of two groups, four lines of low bits for each, two of high ones. */
INLINE void nibble_tile(const struct tile *tile, const int nb, const int nt, const bool six)
{
    const struct activations *x = tile->m->x;
    const int8_t *q = x->q + tile->t0 * x->q_stride;
    const int32_t *sum32 = x->sum32 + tile->t0 * (x->q_stride / 32);
    const uint8_t *const block[2] = {tile_lines(&tile[0]), tile_lines(&tile[nb - 1])};
    __m256 total[2][TILE_TOK][2];
    UNROLL for (int i = 0; i < nb * nt; i++)
    {
        total[i / nt][i % nt][0] = total[i / nt][i % nt][1] = _mm256_setzero_ps();
    }
    for (size_t i = 0, n = tile->r->n; i < n; i++) {
        UNROLL for (int u = 0; u < 2 * nb; u++)
        {
            const int b = u / 2, s = u % 2;
            const uint8_t *chunk = block[b] + i / 2 * (six ? 13 : 9) * LINE_BYTES;
            const uint8_t *low = chunk + 64 + i % 2 * 256, *high = chunk + 9 * 64 + i % 2 * 128;
            __m256i acc[TILE_TOK];
            prefetch(low + 128 * s);
            prefetch(low + 128 * s + 64);
            prefetch(six ? high + 64 * s : chunk);
            UNROLL for (int t = 0; t < nt; t++)
            {
                int32_t sum = sum32[(size_t)t * (x->q_stride / 32) + i];
                acc[t] = _mm256_set1_epi32((six ? -32 : -8) * sum);
            }
            nibble_group(acc, low + 32 * s, high + 32 * s, q + 32 * i, x->q_stride, nt, six);
            __m256 d = halves(chunk + i % 2 * 32 + 16 * (size_t)s);
            UNROLL for (int t = 0; t < nt; t++)
            {
                float a = run_act_scale(tile->r, x, tile->t0 + (size_t)t, i);
                __m256 da = _mm256_mul_ps(d, _mm256_set1_ps(a));
                __m256 f = _mm256_mul_ps(_mm256_cvtepi32_ps(acc[t]), da);
                total[b][t][s] = _mm256_add_ps(total[b][t][s], f);
            }
        }
    }
    for (int b = 0; b < nb; b++) { store_tile(&tile[b], total[b]); }
}

static void nibble_pair(const struct tile tile[2])
{
    const bool six = tile->m->w->encoding == ENC_I6;
    switch (2 * tile->n_tok + six) {
    case 2: nibble_tile(tile, 2, 1, false); return;
    case 3: nibble_tile(tile, 2, 1, true); return;
    case 4: nibble_tile(tile, 2, 2, false); return;
    case 5: nibble_tile(tile, 2, 2, true); return;
    }
    for (int b = 0; b < 2; b++) {
        switch (2 * tile->n_tok + six) {
        case 6: nibble_tile(&tile[b], 1, 3, false); break;
        case 7: nibble_tile(&tile[b], 1, 3, true); break;
        case 8: nibble_tile(&tile[b], 1, 4, false); break;
        default: nibble_tile(&tile[b], 1, 4, true); break;
        }
    }
}

/* All tokens, at most four at once, for pairs of blocks, which take turns. */
static void each_pair(const struct matmul *m, void (*times_pair)(const struct tile tile[2]))
{
    const struct runs r = runs_of(m);
    for (size_t i = 0; i < n_pairs(m); i++) {
        size_t block[2];
        pair_at(block, m, i);
        for (size_t t = 0; t < m->x->n_tok; t += TILE_TOK) {
            size_t n_tok = m->x->n_tok - t < TILE_TOK ? m->x->n_tok - t : TILE_TOK;
            const struct tile tile[2] = {{m, &r, block[0], t, n_tok}, {m, &r, block[1], t, n_tok}};
            times_pair(tile);
        }
    }
}

static void i8_i8(const struct matmul *m)
{
    each_pair(m, i8_pair);
}

static void nibbles_i8(const struct matmul *m)
{
    each_pair(m, nibble_pair);
}

/* Four columns of 8 rows of signed bytes, to[column][16 rows]. */
INLINE void bytes_to_floats(float *to, __m256i bytes)
{
    UNROLL for (int j = 0; j < 4; j++)
    {
        __m256i value = _mm256_srai_epi32(_mm256_slli_epi32(bytes, 24 - 8 * j), 24);
        _mm256_store_ps(to + BLOCK_ROWS * j, _mm256_cvtepi32_ps(value));
    }
}

/* A line as floats, as for the rest below. vpermps reads three bits of an index, so what lies above
 * them needs no mask. */
INLINE void t2_floats(float *to, const uint8_t *line)
{
    const __m256 table = _mm256_setr_ps(-1, 0, 1, 2, -1, 0, 1, 2);
    __m256i v[2] = {load(line), load(line + 32)};
    UNROLL for (int f = 0; f < 4; f++)
    {
        UNROLL for (int i = 0; i < 8; i++)
        {
            __m256i code = _mm256_srli_epi32(v[i % 2], 2 * f + 8 * (i / 2));
            _mm256_store_ps(to + 4 * BLOCK_ROWS * f + 8 * i, _mm256_permutevar8x32_ps(table, code));
        }
    }
}

INLINE void t1_6_floats(float *to, const uint8_t *line)
{
    for (int s = 0; s < 2; s++) {
        __m256i code[5];
        codes_of(code, line + 32 * s, true);
        for (int f = 0; f < 5; f++) {
            __m256i trit = _mm256_sub_epi8(code[f], _mm256_set1_epi8(1));
            bytes_to_floats(to + 4 * BLOCK_ROWS * f + 8 * s, trit);
        }
    }
}

INLINE void b1_floats(float *to, const uint8_t *line)
{
    const __m256 table = _mm256_setr_ps(-1, 1, -1, 1, -1, 1, -1, 1);
    for (int i = 0; i < 8; i++, to += 8) {
        __m256i v = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(line + 8 * i)));
        UNROLL for (int f = 0; f < 8; f++)
        {
            __m256i bit = _mm256_srli_epi32(v, f);
            _mm256_store_ps(to + 4 * BLOCK_ROWS * f, _mm256_permutevar8x32_ps(table, bit));
        }
    }
}

INLINE void i8_floats(float *to, const uint8_t *line)
{
    const __m256i sign = _mm256_set1_epi8(-128);
    bytes_to_floats(to, _mm256_xor_si256(load(line), sign));
    bytes_to_floats(to + 8, _mm256_xor_si256(load(line + 32), sign));
}

INLINE void f16_floats(float *to, const uint8_t *line)
{
    UNROLL for (int i = 0; i < 4; i++) { _mm256_store_ps(to + 8 * i, halves(line + 16 * i)); }
}

/* Four lines, a group. */
INLINE void nibble_floats(float *to, const uint8_t *low, const uint8_t *high, const bool six)
{
    const __m256i offset = _mm256_set1_epi8(six ? 32 : 8);
    for (int s = 0; s < 2; s++, to += 8) {
        UNROLL for (int c = 0; c < 4; c++)
        {
            __m256i code[2];
            nibbles(code, low + LINE_BYTES * c + 32 * s, high + c / 2 * LINE_BYTES + 32 * s,
                    c % 2, six);
            bytes_to_floats(to + 8 * BLOCK_ROWS * c, _mm256_sub_epi8(code[0], offset));
            bytes_to_floats(to + 8 * BLOCK_ROWS * c + 64, _mm256_sub_epi8(code[1], offset));
        }
    }
}

/* n lines of run i. */
static void to_floats(float *to, const uint8_t *line, size_t n, size_t i, enum encoding e)
{
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
        for (; line < end; line += 64, to += 4 * BLOCK_ROWS) { i8_floats(to, line); }
        break;
    case ENC_I6: nibble_floats(to, line, line + (i % 2 ? 6 : 8) * LINE_BYTES, true); break;
    case ENC_I4: nibble_floats(to, line, line, false); break;
    default: /* ENC_F16; half a quad of columns may come last */
        for (; line < end; line += 64, to += 2 * BLOCK_ROWS) { f16_floats(to, line); }
        memset(to, 0, 2 * BLOCK_ROWS * sizeof *to);
    }
}

/* n times four columns of one token: acc[column % 4][half]. */
static void add_quads(__m256 acc[4][2], const float *w, const float *f, size_t n)
{
    __m256 sum[4][2];
    UNROLL for (int i = 0; i < 8; i++) { sum[i / 2][i % 2] = acc[i / 2][i % 2]; }
    for (; n > 0; n--, f += 4, w += 4 * BLOCK_ROWS) {
        UNROLL for (int i = 0; i < 8; i++)
        {
            __m256 part = _mm256_mul_ps(_mm256_load_ps(w + 8 * i), _mm256_set1_ps(f[i / 2]));
            sum[i / 2][i % 2] = _mm256_add_ps(sum[i / 2][i % 2], part);
        }
    }
    UNROLL for (int i = 0; i < 8; i++) { acc[i / 2][i % 2] = sum[i / 2][i % 2]; }
}

/* For few tokens the detour over L1 costs more than it saves: lines go straight into the sums. */
static size_t straight_tokens(enum encoding e)
{
    return e == ENC_F16 ? 4 : e == ENC_I8 || e == ENC_I4 ? 1 : 0;
}

/* Half s of four columns of signed bytes. */
INLINE void add_bytes(__m256 sum[4][2], int s, __m256i bytes, const float *f)
{
    UNROLL for (int j = 0; j < 4; j++)
    {
        __m256i value = _mm256_srai_epi32(_mm256_slli_epi32(bytes, 24 - 8 * j), 24);
        __m256 part = _mm256_mul_ps(_mm256_cvtepi32_ps(value), _mm256_set1_ps(f[j]));
        sum[j][s] = _mm256_add_ps(sum[j][s], part);
    }
}

static void add_lines(__m256 acc[4][2], const uint8_t *line, const float *f, size_t n,
                      enum encoding e)
{
    const __m256i sign = _mm256_set1_epi8(-128);
    __m256 sum[4][2];
    UNROLL for (int i = 0; i < 8; i++) { sum[i / 2][i % 2] = acc[i / 2][i % 2]; }
    if (e == ENC_I8) {
        for (; n > 0; n--, line += LINE_BYTES, f += 4) {
            UNROLL for (int s = 0; s < 2; s++)
            {
                add_bytes(sum, s, _mm256_xor_si256(load(line + 32 * s), sign), f);
            }
        }
    } else if (e == ENC_I4) {
        const __m256i low = _mm256_set1_epi8(15), eight = _mm256_set1_epi8(8);
        for (size_t c = 0; c < 2 * n; c++, f += 4) {
            const __m128i field = _mm_cvtsi32_si128(c % 2 ? 4 : 0);
            UNROLL for (size_t s = 0; s < 2; s++)
            {
                __m256i v = _mm256_srl_epi16(load(line + c / 2 * LINE_BYTES + 32 * s), field);
                add_bytes(sum, (int)s, _mm256_sub_epi8(_mm256_and_si256(v, low), eight), f);
            }
        }
    } else { /* ENC_F16: two lines are four columns, a last one is two */
        for (; n > 0; n -= n < 2 ? n : 2, line += 2 * LINE_BYTES, f += 4) {
            UNROLL for (int i = 0; i < 8; i++)
            {
                if (i < 4 || n > 1) {
                    __m256 part = _mm256_mul_ps(halves(line + 16 * i), _mm256_set1_ps(f[i / 2]));
                    sum[i / 2][i % 2] = _mm256_add_ps(sum[i / 2][i % 2], part);
                }
            }
        }
    }
    UNROLL for (int i = 0; i < 8; i++) { acc[i / 2][i % 2] = sum[i / 2][i % 2]; }
}

/* acc of each token for run i of the tile's block. */
static void float_run(__m256 acc[][4][2], const struct tile *tile, size_t i)
{
    const struct runs *r = tile->r;
    const struct activations *x = tile->m->x;
    const enum encoding e = (enum encoding)tile->m->w->encoding;
    const bool straight = tile->n_tok <= straight_tokens(e);
    const size_t most = FLOAT_COLS / r->line_cols;
    const uint8_t *lines = tile_lines(tile) + run_offset(r, i);
    const float *f = x->f + tile->t0 * x->q_stride + i * r->cols;
    _Alignas(64) float w[(FLOAT_COLS + 2) * BLOCK_ROWS];
    for (size_t left = run_lines(r, i), n; left > 0; left -= n, lines += n * LINE_BYTES) {
        n = left < most ? left : most;
        for (size_t j = 0; j < n; j++) { prefetch(lines + j * LINE_BYTES); }
        if (!straight)
            to_floats(w, lines, n, i, e);
        for (size_t t = 0; t < tile->n_tok; t++) {
            if (straight)
                add_lines(acc[t], lines, f + t * x->q_stride, n, e);
            else
                add_quads(acc[t], w, f + t * x->q_stride, (n * r->line_cols + 3) / 4);
        }
        f += n * r->line_cols;
    }
}

static void float_block(const struct tile *tile)
{
    const struct matmul *m = tile->m;
    __m256 acc[FLOAT_TOK][4][2], total[FLOAT_TOK][2], d[2];
    zero_floats(total, tile->n_tok);
    for (size_t i = 0; i < tile->r->n; i++) {
        for (size_t t = 0; t < tile->n_tok; t++) {
            UNROLL for (int j = 0; j < 8; j++) { acc[t][j / 2][j % 2] = _mm256_setzero_ps(); }
        }
        float_run(acc, tile, i);
        run_d(d, tile->r, tile_lines(tile), i);
        for (size_t t = 0; t < tile->n_tok; t++) {
            UNROLL for (int s = 0; s < 2; s++)
            {
                __m256 g = _mm256_add_ps(_mm256_add_ps(acc[t][0][s], acc[t][2][s]),
                                         _mm256_add_ps(acc[t][1][s], acc[t][3][s]));
                if (tile->r->grouped)
                    g = _mm256_add_ps(total[t][s], _mm256_mul_ps(g, d[s]));
                total[t][s] = g;
            }
        }
    }
    for (size_t j = 0; j < 2 * tile->n_tok; j++) { /* a grouped matrix has no scale here but 1 */
        size_t row = tile->block * BLOCK_ROWS + j % 2 * 8;
        __m256 y = _mm256_mul_ps(total[j / 2][j % 2], matrix_scale(m->w, row));
        _mm256_storeu_ps(m->y + (tile->t0 + j / 2) * m->y_stride + row, y);
    }
}

static void times_floats(const struct matmul *m)
{
    const struct runs r = runs_of(m);
    for (size_t t = 0; t < m->x->n_tok; t += FLOAT_TOK) {
        size_t n_tok = m->x->n_tok - t < FLOAT_TOK ? m->x->n_tok - t : FLOAT_TOK;
        for (size_t b = m->block_begin; b < m->block_end; b++) {
            const struct tile tile = {m, &r, b, t, n_tok};
            float_block(&tile);
        }
    }
}

void fill_avx2_head(struct matrix_kernels *m)
{
    m->i8_i8 = i8_i8;
    m->i6_i8 = m->i4_i8 = nibbles_i8;
    m->t2_f32 = m->t1_6_f32 = m->b1_f32 = times_floats;
    m->i8_f32 = m->i6_f32 = m->i4_f32 = m->f16_f32 = times_floats;
}
