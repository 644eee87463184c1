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
 * group of 32 columns at a time. For few tokens two streams of blocks, one from each half of the
 * range, keep the memory busy; where blocks run out the last one is repeated, with the same bits.
 */
#include <immintrin.h>
#include <string.h>

#include "kernels/kernels.h"
#include "kernels/unroll.h"

INLINE __m256i broadcast4(const int8_t *q)
{
    int32_t dword;
    memcpy(&dword, q, sizeof dword);
    return _mm256_set1_epi32(dword);
}

INLINE __m256i load(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

INLINE void prefetch(const uint8_t *line)
{
    _mm_prefetch((const char *)line + 8192, _MM_HINT_T1);
    _mm_prefetch((const char *)line + 1536, _MM_HINT_T0);
}

/* The matrix's scale of 8 rows, h = 0 or 1. */
INLINE __m256 matrix_scale(const struct matrix *w, size_t block, int h)
{
    switch (w->scale_kind) {
    case SCALE_TENSOR: return _mm256_set1_ps(w->scale[0]);
    case SCALE_ROW: return _mm256_loadu_ps(w->scale + block * BLOCK_ROWS + 8 * h);
    default: return _mm256_set1_ps(1.0f);
    }
}

/* Lines [first, first + n) of nb blocks times nt tokens, added to acc[block][half][token]. */
INLINE void i8_lines(__m256i acc[2][2][4], const uint8_t *const *w, const int8_t *const *q,
                     size_t first, size_t n, const int nb, const int nt)
{
    const __m256i ones = _mm256_set1_epi16(1), sign = _mm256_set1_epi8(-128);
    for (size_t i = first; i < first + n; i++) {
        UNROLL for (int b = 0; b < nb; b++)
        {
            prefetch(w[b] + 64 * i);
            UNROLL for (int h = 0; h < 2; h++)
            {
                __m256i value = _mm256_xor_si256(load(w[b] + 64 * i + 32 * h), sign);
                __m256i abs = _mm256_abs_epi8(value); /* 128 stays 128, read as unsigned */
                UNROLL for (int t = 0; t < nt; t++)
                {
                    __m256i dword = _mm256_sign_epi8(broadcast4(q[t] + 4 * i), value);
                    __m256i pairs = _mm256_maddubs_epi16(abs, dword);
                    __m256i sums = _mm256_madd_epi16(pairs, ones);
                    acc[b][h][t] = _mm256_add_epi32(acc[b][h][t], sums);
                }
            }
        }
    }
}

INLINE void i8_tile(const struct matmul *m, const size_t *block, size_t t0, const int nb,
                    const int nt)
{
    const struct activations *x = m->x;
    size_t n_lines = (m->w->n_cols + 3) / 4;
    size_t run_lines = x->group ? x->group / 4 : n_lines;
    const uint8_t *w[2];
    const int8_t *q[4];
    __m256 total[2][2][4];
    UNROLL for (int b = 0; b < nb; b++)
    {
        w[b] = m->w->lines + block[b] * n_lines * LINE_BYTES;
        UNROLL for (int t = 0; t < nt; t++)
        {
            total[b][0][t] = total[b][1][t] = _mm256_setzero_ps();
        }
    }
    UNROLL for (int t = 0; t < nt; t++) { q[t] = x->q + (t0 + (size_t)t) * x->q_stride; }
    for (size_t first = 0, s = 0; first < n_lines; first += run_lines, s++) {
        size_t n = n_lines - first < run_lines ? n_lines - first : run_lines;
        __m256i acc[2][2][4];
        UNROLL for (int i = 0; i < nb * 2; i++)
        {
            UNROLL for (int t = 0; t < nt; t++) { acc[i / 2][i % 2][t] = _mm256_setzero_si256(); }
        }
        i8_lines(acc, w, q, first, n, nb, nt);
        UNROLL for (int t = 0; t < nt; t++)
        {
            __m256 a = _mm256_set1_ps(x->group ? x->scale[(t0 + (size_t)t) * x->n_groups + s] : 1);
            UNROLL for (int i = 0; i < nb * 2; i++)
            {
                __m256 f = _mm256_mul_ps(_mm256_cvtepi32_ps(acc[i / 2][i % 2][t]), a);
                total[i / 2][i % 2][t] = _mm256_add_ps(total[i / 2][i % 2][t], f);
            }
        }
    }
    UNROLL for (int t = 0; t < nt; t++)
    {
        size_t token = t0 + (size_t)t;
        __m256 a = _mm256_set1_ps(x->group ? 1.0f : x->scale[token]);
        UNROLL for (int i = 0; i < nb * 2; i++)
        {
            __m256 scale = _mm256_mul_ps(matrix_scale(m->w, block[i / 2], i % 2), a);
            float *y = m->y + token * m->y_stride + block[i / 2] * BLOCK_ROWS + 8 * (i % 2);
            _mm256_storeu_ps(y, _mm256_mul_ps(total[i / 2][i % 2][t], scale));
        }
    }
}

/* Codes of columns 0..3 and 4..7 of 8 rows of line c = 0..3 of a group; for i6 with two more bits
 * out of the group's line of high ones, whose fields are 4 columns each. */
INLINE void nibbles(__m256i code[2], const uint8_t *low, const uint8_t *high, const int c,
                    const bool six)
{
    const __m256i mask = _mm256_set1_epi8(15), two = _mm256_set1_epi8(0x30);
    __m256i line = load(low + 64 * c);
    code[0] = _mm256_and_si256(line, mask);
    code[1] = _mm256_and_si256(_mm256_srli_epi16(line, 4), mask);
    if (six) {
        __m256i bits = load(high + 64 * (c / 2));
        __m256i even = c % 2 ? bits : _mm256_slli_epi16(bits, 4);
        __m256i odd = c % 2 ? _mm256_srli_epi16(bits, 2) : _mm256_slli_epi16(bits, 2);
        code[0] = _mm256_or_si256(code[0], _mm256_and_si256(even, two));
        code[1] = _mm256_or_si256(code[1], _mm256_and_si256(odd, two));
    }
}

/* One group of 32 columns of 8 rows times nt tokens. */
INLINE void nibble_group(__m256i acc[4], const uint8_t *low, const uint8_t *high,
                         const struct activations *x, size_t t0, size_t s, const int nt,
                         const bool six)
{
    const __m256i ones = _mm256_set1_epi16(1);
    UNROLL for (int t = 0; t < nt; t++)
    {
        int32_t sum = x->sum32[(t0 + (size_t)t) * (x->q_stride / 32) + s];
        acc[t] = _mm256_set1_epi32((six ? -32 : -8) * sum);
    }
    UNROLL for (int c = 0; c < 4; c++)
    {
        __m256i code[2];
        nibbles(code, low, high, c, six);
        UNROLL for (int t = 0; t < nt; t++)
        {
            const int8_t *q = x->q + (t0 + (size_t)t) * x->q_stride + 32 * s + 8 * c;
            __m256i pairs = _mm256_add_epi16(_mm256_maddubs_epi16(code[0], broadcast4(q)),
                                             _mm256_maddubs_epi16(code[1], broadcast4(q + 4)));
            acc[t] = _mm256_add_epi32(acc[t], _mm256_madd_epi16(pairs, ones));
        }
    }
}

/* i4 and i6: groups of 32 columns, each with an f16 scale, so every run is one group. */
INLINE void nibble_tile(const struct matmul *m, const size_t *block, size_t t0, const int nb,
                        const int nt, const bool six)
{
    const struct activations *x = m->x;
    size_t chunk_bytes = six ? 13 * 64 : 9 * 64, n_groups = (m->w->n_cols + 31) / 32;
    size_t block_bytes = (n_groups + 1) / 2 * chunk_bytes;
    __m256 total[4][4];
    UNROLL for (int i = 0; i < nb * 2; i++)
    {
        UNROLL for (int t = 0; t < nt; t++) { total[i][t] = _mm256_setzero_ps(); }
    }
    for (size_t s = 0; s < n_groups; s++) {
        UNROLL for (int i = 0; i < nb * 2; i++)
        {
            const uint8_t *chunk = m->w->lines + block[i / 2] * block_bytes + s / 2 * chunk_bytes;
            const uint8_t *low = chunk + 64 + s % 2 * 256, *high = chunk + 9 * 64 + s % 2 * 128;
            __m256i acc[4];
            prefetch(low + 128 * (i % 2));
            prefetch(low + 128 * (i % 2) + 64);
            prefetch(six ? high + 64 * (i % 2) : chunk);
            nibble_group(acc, low + 32 * (i % 2), high + 32 * (i % 2), x, t0, s, nt, six);
            const uint8_t *halves = chunk + s % 2 * 32 + 16 * (i % 2);
            __m256 d = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)halves));
            UNROLL for (int t = 0; t < nt; t++)
            {
                size_t at = (t0 + (size_t)t) * x->n_groups;
                float a = x->group ? x->scale[at + 32 * s / x->group] : 1.0f;
                __m256 da = _mm256_mul_ps(d, _mm256_set1_ps(a));
                __m256 f = _mm256_mul_ps(_mm256_cvtepi32_ps(acc[t]), da);
                total[i][t] = _mm256_add_ps(total[i][t], f);
            }
        }
    }
    UNROLL for (int t = 0; t < nt; t++)
    {
        size_t token = t0 + (size_t)t;
        __m256 a = _mm256_set1_ps(x->group ? 1.0f : x->scale[token]);
        UNROLL for (int i = 0; i < nb * 2; i++)
        {
            float *y = m->y + token * m->y_stride + block[i / 2] * BLOCK_ROWS + 8 * (i % 2);
            _mm256_storeu_ps(y, _mm256_mul_ps(total[i][t], a));
        }
    }
}

static void i8_pair(const struct matmul *m, const size_t *block, size_t t0, size_t nt)
{
    switch (nt) {
    case 1: i8_tile(m, block, t0, 2, 1); return;
    case 2: i8_tile(m, block, t0, 2, 2); return;
    case 3: i8_tile(m, block, t0, 1, 3); i8_tile(m, block + 1, t0, 1, 3); return;
    default: i8_tile(m, block, t0, 1, 4); i8_tile(m, block + 1, t0, 1, 4); return;
    }
}

INLINE void nibble_pair(const struct matmul *m, const size_t *block, size_t t0, size_t nt,
                        const bool six)
{
    switch (nt) {
    case 1: nibble_tile(m, block, t0, 2, 1, six); return;
    case 2: nibble_tile(m, block, t0, 2, 2, six); return;
    case 3: nibble_tile(m, block, t0, 1, 3, six); nibble_tile(m, block + 1, t0, 1, 3, six); return;
    default: nibble_tile(m, block, t0, 1, 4, six); nibble_tile(m, block + 1, t0, 1, 4, six); return;
    }
}

static void i4_pair(const struct matmul *m, const size_t *block, size_t t0, size_t nt)
{
    nibble_pair(m, block, t0, nt, false);
}

static void i6_pair(const struct matmul *m, const size_t *block, size_t t0, size_t nt)
{
    nibble_pair(m, block, t0, nt, true);
}

/* All tokens, at most four at once, for pairs of blocks, one from each half of the range. */
INLINE void each_pair(const struct matmul *m,
                      void (*pair)(const struct matmul *, const size_t *, size_t, size_t))
{
    size_t half = (m->block_end - m->block_begin + 1) / 2;
    for (size_t i = 0; i < half; i++) {
        size_t second = m->block_begin + half + i;
        size_t block[2] = {m->block_begin + i, second < m->block_end ? second : m->block_end - 1};
        for (size_t t = 0; t < m->x->n_tok; t += 4) {
            pair(m, block, t, m->x->n_tok - t < 4 ? m->x->n_tok - t : 4);
        }
    }
}

static void i8_i8(const struct matmul *m)
{
    each_pair(m, i8_pair);
}

static void i4_i8(const struct matmul *m)
{
    each_pair(m, i4_pair);
}

static void i6_i8(const struct matmul *m)
{
    each_pair(m, i6_pair);
}

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
INLINE __m256 trit(__m256i byte, size_t j)
{
    static const int32_t over[] = {65536, 21846, 7282, 2428};
    const __m256i three = _mm256_set1_epi32(3);
    __m256i low = _mm256_and_si256(byte, _mm256_set1_epi32(63)), high = _mm256_srli_epi32(byte, 6);
    __m256i escaped = _mm256_cmpeq_epi32(high, three);
    __m256i t17 = _mm256_srli_epi32(_mm256_mullo_epi32(low, _mm256_set1_epi32(241)), 12);
    if (j == 4) {
        __m256i t4 = _mm256_blendv_epi8(high, t17, escaped);
        return _mm256_sub_ps(_mm256_cvtepi32_ps(t4), _mm256_set1_ps(1.0f));
    }
    __m256i rest = _mm256_sub_epi32(_mm256_add_epi32(low, _mm256_set1_epi32(64)),
                                    _mm256_mullo_epi32(t17, _mm256_set1_epi32(17)));
    rest = _mm256_blendv_epi8(low, rest, escaped);
    rest = _mm256_srli_epi32(_mm256_mullo_epi32(rest, _mm256_set1_epi32(over[j])), 16);
    __m256i third = _mm256_srli_epi32(_mm256_mullo_epi32(rest, _mm256_set1_epi32(over[1])), 16);
    rest = _mm256_sub_epi32(rest, _mm256_mullo_epi32(third, three));
    return _mm256_sub_ps(_mm256_cvtepi32_ps(rest), _mm256_set1_ps(1.0f));
}

/* 8 entries, of which vpermps sees three index bits: what lies above them needs no mask. */
INLINE __m256 table(const enum encoding e)
{
    return e == ENC_T2 ? _mm256_setr_ps(-1, 0, 1, 2, -1, 0, 1, 2)
                       : _mm256_setr_ps(-1, 1, -1, 1, -1, 1, -1, 1);
}

/* Every dword shifted right by n. */
INLINE __m256i shift_right(__m256i v, size_t n)
{
    return _mm256_srl_epi32(v, _mm_cvtsi32_si128((int)n));
}

/* Columns 4c .. 4c+3 as floats, of rows 8h .. 8h+7. */
INLINE void quad(__m256 w[4], const struct span *s, size_t c, size_t h, const enum encoding e)
{
    const uint8_t *line = s->lines + 4 * c / cols_per_line[e] * 64;
    if (e == ENC_F16) {
        bool half_quad = 4 * c + 2 >= s->n_cols; /* the last line may be the first of a pair */
        UNROLL for (size_t j = 0; j < 4; j++)
        {
            const __m128i *at = (const __m128i *)(s->lines + 128 * c + 32 * j + 16 * h);
            w[j] = j >= 2 && half_quad ? _mm256_setzero_ps()
                                       : _mm256_cvtph_ps(_mm_loadu_si128(at));
        }
        return;
    }
    if (e == ENC_B1) {
        UNROLL for (size_t j = 0; j < 4; j++)
        {
            __m128i bytes = _mm_loadl_epi64((const __m128i *)(line + 16 * j + 8 * h));
            __m256i bits = shift_right(_mm256_cvtepu8_epi32(bytes), c % 8);
            w[j] = _mm256_permutevar8x32_ps(table(e), bits);
        }
        return;
    }
    const __m256i byte = _mm256_set1_epi32(255);
    __m256i v = load(line + 32 * h);
    size_t field = e == ENC_T2 ? 2 * (c % 4) : 4 * (c % 2);
    __m256i codes = e == ENC_I8 || e == ENC_T1_6 ? v : shift_right(v, field);
    if (e == ENC_I6 || e == ENC_I4) {
        codes = _mm256_and_si256(codes, _mm256_set1_epi8(15));
    }
    if (e == ENC_I6) {
        __m256i high = shift_right(load(s->high + c / 4 * 64 + 32 * h), 2 * (c % 4));
        high = _mm256_and_si256(high, _mm256_set1_epi8(3));
        codes = _mm256_or_si256(codes, _mm256_slli_epi32(high, 4));
    }
    UNROLL for (size_t j = 0; j < 4; j++)
    {
        __m256i code = _mm256_srli_epi32(codes, 8 * (int)j);
        if (e == ENC_T2) {
            w[j] = _mm256_permutevar8x32_ps(table(e), code);
        } else if (e == ENC_T1_6) {
            w[j] = trit(_mm256_and_si256(code, byte), c % 5);
        } else {
            float offset = e == ENC_I8 ? 128.0f : e == ENC_I6 ? 32.0f : 8.0f;
            __m256 f = _mm256_cvtepi32_ps(_mm256_and_si256(code, byte));
            w[j] = _mm256_sub_ps(f, _mm256_set1_ps(offset));
        }
    }
}

/* nh halves (of 8 rows, from h on) of one block times nt tokens, nh * nt = 2. */
INLINE void float_tile(const struct matmul *m, size_t b, size_t h, size_t t0, const int nh,
                       const int nt, const enum encoding e)
{
    const struct matrix *w = m->w;
    const uint8_t *block = w->lines + b * layout_block_bytes(e, w->group, w->n_cols);
    size_t n_groups = w->group ? (w->n_cols + w->group - 1) / w->group : 1;
    __m256 total[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    for (size_t s = 0; s < n_groups; s++) {
        const struct span span = span_of(w, block, s, e);
        const float *f = m->x->f + t0 * m->x->q_stride + s * w->group;
        __m256 acc[2][4];
        UNROLL for (int i = 0; i < 4; i++) { acc[0][i] = acc[1][i] = _mm256_setzero_ps(); }
        for (size_t c = 0; 4 * c < span.n_cols; c++) {
            prefetch(span.lines + 4 * c / cols_per_line[e] * 64);
            if (e == ENC_F16) { /* two lines */
                prefetch(span.lines + 128 * c + 64);
            }
            UNROLL for (int j = 0; j < nh; j++)
            {
                __m256 value[4];
                quad(value, &span, c, h + (size_t)j, e);
                UNROLL for (size_t i = 0; i < 4; i++)
                {
                    UNROLL for (int t = 0; t < nt; t++)
                    {
                        __m256 x = _mm256_set1_ps(f[(size_t)t * m->x->q_stride + 4 * c + i]);
                        __m256 *sum = &acc[j * nt + t][i];
                        *sum = _mm256_add_ps(*sum, _mm256_mul_ps(value[i], x));
                    }
                }
            }
        }
        UNROLL for (int u = 0; u < 2; u++)
        {
            size_t half = h + (size_t)(u / nt);
            __m256 g = _mm256_add_ps(_mm256_add_ps(acc[u][0], acc[u][2]),
                                     _mm256_add_ps(acc[u][1], acc[u][3]));
            if (span.scales) {
                __m128i halves = _mm_loadu_si128((const __m128i *)(span.scales + 16 * half));
                total[u] = _mm256_add_ps(total[u], _mm256_mul_ps(g, _mm256_cvtph_ps(halves)));
            } else {
                total[u] = _mm256_mul_ps(g, matrix_scale(w, b, (int)half));
            }
        }
    }
    UNROLL for (int u = 0; u < 2; u++)
    {
        size_t row = b * BLOCK_ROWS + 8 * (h + (size_t)(u / nt));
        _mm256_storeu_ps(m->y + (t0 + (size_t)(u % nt)) * m->y_stride + row, total[u]);
    }
}

/* Eight blocks at a time meet all tokens, so that many tokens do not stream through the caches once
 * for each block. */
INLINE void times_float(const struct matmul *m, const enum encoding e)
{
    for (size_t first = m->block_begin; first < m->block_end; first += 8) {
        size_t end = m->block_end - first < 8 ? m->block_end : first + 8, t = 0;
        for (; t + 2 <= m->x->n_tok; t += 2) {
            for (size_t b = 2 * first; b < 2 * end; b++) {
                float_tile(m, b / 2, b % 2, t, 1, 2, e);
            }
        }
        for (size_t b = first; b < end && t < m->x->n_tok; b++) {
            float_tile(m, b, 0, t, 2, 1, e);
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

void fill_avx2_head(struct matrix_kernels *m)
{
    m->i8_i8 = i8_i8;
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
