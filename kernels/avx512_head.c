/* avx512_head.c: i8, i6 and i4 times integers with vpdpbusd, every encoding times floats.
 *
 * A line holds 16 rows in dword lanes, so one line times one broadcast dword of activations is one
 * vpdpbusd and no sum ever crosses lanes. Weights are stored with their offset (w + 128, + 8, + 32)
 * and are the unsigned operand; accumulators start at minus offset * sum(q). vpdpbusd wraps and
 * never saturates, so what counts is that the true sum fits: |isum| <= 2^17 * 128 * 127 < 2^31.
 *
 * A tile is nb blocks times nt tokens, both constants. For few tokens two streams of blocks, one
 * from each half of the range, keep the memory busy; for many, four blocks stay in L2 while the
 * tokens pass by in sixes. Where blocks run out a tile repeats the last one, with the same bits.
 */
#include <immintrin.h>
#include <string.h>

#include "kernels/kernels.h"
#include "kernels/unroll.h"

/* Inline because gcc 12 otherwise copies accumulators around in the hot loop. */
INLINE __m512i dot_add(__m512i acc, __m512i w, __m512i q)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(w), "v"(q));
    return acc;
}

INLINE __m512i broadcast4(const int8_t *q)
{
    int32_t dword;
    memcpy(&dword, q, sizeof dword);
    return _mm512_set1_epi32(dword);
}

/* Two levels: into L2 well ahead, into L1 shortly before. Past the end it does nothing. */
INLINE void prefetch(const uint8_t *line)
{
    _mm_prefetch((const char *)line + 8192, _MM_HINT_T1);
    _mm_prefetch((const char *)line + 1536, _MM_HINT_T0);
}

INLINE __m512 matrix_scale(const struct matrix *w, size_t block)
{
    switch (w->scale_kind) {
    case SCALE_TENSOR: return _mm512_set1_ps(w->scale[0]);
    case SCALE_ROW: return _mm512_loadu_ps(w->scale + block * BLOCK_ROWS);
    default: return _mm512_set1_ps(1.0f);
    }
}

static int32_t sum_of(const int32_t *x, size_t n)
{
    __m512i sum = _mm512_setzero_si512();
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = n - i < 16 ? (__mmask16)((1u << (n - i)) - 1) : 0xffff;
        sum = _mm512_add_epi32(sum, _mm512_maskz_loadu_epi32(mask, x + i));
    }
    return _mm512_reduce_add_epi32(sum);
}

/* -offset * (sum of q over 32-column runs [first, first + n)) in every lane, modulo 2^32. */
INLINE __m512i start(const struct activations *x, size_t t, size_t first, size_t n, int offset)
{
    const int32_t *sum32 = x->sum32 + t * (x->q_stride / 32) + first;
    uint32_t sum = (uint32_t)(n == 1 ? *sum32 : sum_of(sum32, n));
    return _mm512_set1_epi32((int32_t)(0u - (uint32_t)offset * sum));
}

/* n lines from line `first` on. Each chain of vpdpbusd waits five cycles on itself, so tiles of few
 * accumulators alternate between two sets. */
INLINE void i8_lines(__m512i acc[4][8][2], const uint8_t *const w[4], const int8_t *const q[8],
                     size_t first, size_t n, const int nb, const int nt, const int n_sets)
{
    size_t i = first, end = first + n;
    for (; n_sets == 2 && i + 1 < end; i += 2) {
        UNROLL for (int b = 0; b < nb; b++)
        {
            prefetch(w[b] + 64 * i);
            prefetch(w[b] + 64 * i + 64);
            __m512i line0 = _mm512_loadu_si512(w[b] + 64 * i);
            __m512i line1 = _mm512_loadu_si512(w[b] + 64 * i + 64);
            UNROLL for (int t = 0; t < nt; t++)
            {
                acc[b][t][0] = dot_add(acc[b][t][0], line0, broadcast4(q[t] + 4 * i));
                acc[b][t][1] = dot_add(acc[b][t][1], line1, broadcast4(q[t] + 4 * i + 4));
            }
        }
    }
    for (; i < end; i++) {
        __m512i line[4];
        UNROLL for (int b = 0; b < nb; b++)
        {
            prefetch(w[b] + 64 * i);
            line[b] = _mm512_loadu_si512(w[b] + 64 * i);
        }
        UNROLL for (int t = 0; t < nt; t++)
        {
            __m512i dword = broadcast4(q[t] + 4 * i);
            UNROLL for (int b = 0; b < nb; b++)
            {
                acc[b][t][0] = dot_add(acc[b][t][0], line[b], dword);
            }
        }
    }
}

INLINE void i8_tile(const struct matmul *m, const size_t *block, size_t t0, const int nb,
                    const int nt)
{
    const int n_sets = nb * nt <= 8 ? 2 : 1;
    const struct activations *x = m->x;
    size_t n_lines = (m->w->n_cols + 3) / 4;
    size_t run_lines = x->group ? x->group / 4 : n_lines;
    const uint8_t *w[4];
    const int8_t *q[8];
    __m512 total[4][8];
    UNROLL for (int b = 0; b < nb; b++)
    {
        w[b] = m->w->lines + block[b] * n_lines * LINE_BYTES;
        UNROLL for (int t = 0; t < nt; t++) { total[b][t] = _mm512_setzero_ps(); }
    }
    UNROLL for (int t = 0; t < nt; t++) { q[t] = x->q + (t0 + (size_t)t) * x->q_stride; }
    for (size_t first = 0, s = 0; first < n_lines; first += run_lines, s++) {
        size_t n = n_lines - first < run_lines ? n_lines - first : run_lines;
        __m512i acc[4][8][2];
        UNROLL for (int t = 0; t < nt; t++)
        {
            __m512i from = start(x, t0 + (size_t)t, first / 8, (n + 7) / 8, 128);
            UNROLL for (int b = 0; b < nb; b++)
            {
                acc[b][t][0] = from;
                acc[b][t][1] = _mm512_setzero_si512();
            }
        }
        i8_lines(acc, w, q, first, n, nb, nt, n_sets);
        UNROLL for (int t = 0; t < nt; t++)
        {
            __m512 a = _mm512_set1_ps(x->group ? x->scale[(t0 + (size_t)t) * x->n_groups + s] : 1);
            UNROLL for (int b = 0; b < nb; b++)
            {
                __m512i sum = _mm512_add_epi32(acc[b][t][0], acc[b][t][1]);
                __m512 f = _mm512_cvtepi32_ps(sum); /* times 1 and plus 0: the same bits */
                total[b][t] = _mm512_add_ps(total[b][t], _mm512_mul_ps(f, a));
            }
        }
    }
    UNROLL for (int t = 0; t < nt; t++)
    {
        size_t token = t0 + (size_t)t;
        __m512 a = _mm512_set1_ps(x->group ? 1.0f : x->scale[token]);
        UNROLL for (int b = 0; b < nb; b++)
        {
            __m512 scale = _mm512_mul_ps(matrix_scale(m->w, block[b]), a);
            _mm512_storeu_ps(m->y + token * m->y_stride + block[b] * BLOCK_ROWS,
                             _mm512_mul_ps(total[b][t], scale));
        }
    }
}

/* The two lines of nibbles, for columns 0..3 and 4..7, of line c = 0..3 of a group; for i6 with two
 * more bits out of the group's line of high ones, whose fields are 4 columns each. */
INLINE void nibbles(__m512i code[2], const uint8_t *low, const uint8_t *high, const int c,
                    const bool six)
{
    const __m512i mask = _mm512_set1_epi8(15), two = _mm512_set1_epi8(0x30);
    __m512i line = _mm512_loadu_si512(low + 64 * c);
    code[0] = _mm512_and_si512(line, mask);
    code[1] = _mm512_and_si512(_mm512_srli_epi16(line, 4), mask);
    if (six) {
        __m512i bits = _mm512_loadu_si512(high + 64 * (c / 2));
        __m512i even = c % 2 ? bits : _mm512_slli_epi16(bits, 4);
        __m512i odd = c % 2 ? _mm512_srli_epi16(bits, 2) : _mm512_slli_epi16(bits, 2);
        code[0] = _mm512_or_si512(code[0], _mm512_and_si512(even, two));
        code[1] = _mm512_or_si512(code[1], _mm512_and_si512(odd, two));
    }
}

/* i4 and i6: groups of 32 columns, each with an f16 scale, so every run is one group. */
INLINE void nibble_tile(const struct matmul *m, const size_t *block, size_t t0, const int nb,
                        const int nt, const bool six)
{
    const struct activations *x = m->x;
    size_t chunk_bytes = six ? 13 * 64 : 9 * 64, n_groups = (m->w->n_cols + 31) / 32;
    size_t block_bytes = (n_groups + 1) / 2 * chunk_bytes;
    __m512 total[2][8];
    UNROLL for (int i = 0; i < nb * nt; i++) { total[i / nt][i % nt] = _mm512_setzero_ps(); }
    for (size_t s = 0; s < n_groups; s++) {
        __m512i acc[2][8];
        UNROLL for (int t = 0; t < nt; t++)
        {
            acc[0][t] = acc[1][t] = start(x, t0 + (size_t)t, s, 1, six ? 32 : 8);
        }
        UNROLL for (int b = 0; b < nb; b++)
        {
            const uint8_t *chunk = m->w->lines + block[b] * block_bytes + s / 2 * chunk_bytes;
            const uint8_t *low = chunk + 64 + s % 2 * 256, *high = chunk + 9 * 64 + s % 2 * 128;
            UNROLL for (int c = 0; c < 4; c++) { prefetch(low + 64 * c); }
            prefetch(six ? high : chunk);
            prefetch(six ? high + 64 : chunk);
            UNROLL for (int c = 0; c < 4; c++)
            {
                __m512i code[2];
                nibbles(code, low, high, c, six);
                UNROLL for (int t = 0; t < nt; t++)
                {
                    const int8_t *q = x->q + (t0 + (size_t)t) * x->q_stride + 32 * s + 8 * c;
                    acc[b][t] = dot_add(acc[b][t], code[0], broadcast4(q));
                    acc[b][t] = dot_add(acc[b][t], code[1], broadcast4(q + 4));
                }
            }
            __m256i halves = _mm256_loadu_si256((const __m256i *)(chunk + s % 2 * 32));
            __m512 d = _mm512_cvtph_ps(halves);
            UNROLL for (int t = 0; t < nt; t++)
            {
                size_t at = (t0 + (size_t)t) * x->n_groups;
                float a = x->group ? x->scale[at + 32 * s / x->group] : 1.0f;
                __m512 da = _mm512_mul_ps(d, _mm512_set1_ps(a));
                __m512 f = _mm512_mul_ps(_mm512_cvtepi32_ps(acc[b][t]), da);
                total[b][t] = _mm512_add_ps(total[b][t], f);
            }
        }
    }
    UNROLL for (int t = 0; t < nt; t++)
    {
        size_t token = t0 + (size_t)t;
        __m512 a = _mm512_set1_ps(x->group ? 1.0f : x->scale[token]);
        UNROLL for (int b = 0; b < nb; b++)
        {
            _mm512_storeu_ps(m->y + token * m->y_stride + block[b] * BLOCK_ROWS,
                             _mm512_mul_ps(total[b][t], a));
        }
    }
}

/* Two blocks times nt <= 8 tokens. */
static void i8_pair(const struct matmul *m, const size_t *block, size_t t0, size_t nt)
{
    switch (nt) {
    case 1: i8_tile(m, block, t0, 2, 1); return;
    case 2: i8_tile(m, block, t0, 2, 2); return;
    case 3: i8_tile(m, block, t0, 2, 3); return;
    case 4: i8_tile(m, block, t0, 2, 4); return;
    case 5: i8_tile(m, block, t0, 2, 5); return;
    case 6: i8_tile(m, block, t0, 2, 6); return;
    case 7: i8_tile(m, block, t0, 2, 7); return;
    default: i8_tile(m, block, t0, 2, 8); return;
    }
}

INLINE void nibble_pair(const struct matmul *m, const size_t *block, size_t t0, size_t nt,
                        const bool six)
{
    switch (nt) {
    case 1: nibble_tile(m, block, t0, 2, 1, six); return;
    case 2: nibble_tile(m, block, t0, 2, 2, six); return;
    case 3: nibble_tile(m, block, t0, 2, 3, six); return;
    default: nibble_tile(m, block, t0, 2, 4, six); return;
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

/* All tokens, at most max_nt at once, for pairs of blocks, one from each half of the range. */
INLINE void each_pair(const struct matmul *m, size_t max_nt,
                      void (*pair)(const struct matmul *, const size_t *, size_t, size_t))
{
    size_t half = (m->block_end - m->block_begin + 1) / 2;
    for (size_t i = 0; i < half; i++) {
        size_t second = m->block_begin + half + i;
        size_t block[4] = {m->block_begin + i, second < m->block_end ? second : m->block_end - 1};
        for (size_t t = 0; t < m->x->n_tok; t += max_nt) {
            size_t rest = m->x->n_tok - t;
            pair(m, block, t, rest < max_nt ? rest : max_nt);
        }
    }
}

static void i8_i8(const struct matmul *m)
{
    if (m->x->n_tok <= 8) {
        each_pair(m, 8, i8_pair);
        return;
    }
    for (size_t b = m->block_begin; b < m->block_end; b += 4) {
        size_t block[4], last = m->block_end - 1, t = 0;
        for (size_t i = 0; i < 4; i++) {
            block[i] = b + i < last ? b + i : last;
        }
        for (; t + 6 <= m->x->n_tok; t += 6) {
            i8_tile(m, block, t, 4, 6);
        }
        if (t < m->x->n_tok) {
            i8_pair(m, block, t, m->x->n_tok - t);
            i8_pair(m, block + 2, t, m->x->n_tok - t);
        }
    }
}

static void i4_i8(const struct matmul *m)
{
    each_pair(m, 4, i4_pair);
}

static void i6_i8(const struct matmul *m)
{
    each_pair(m, 4, i6_pair);
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

/* 16 entries, of which vpermps sees four index bits: what lies above them needs no mask. */
INLINE __m512 table(const enum encoding e)
{
    const __m512i i = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    if (e == ENC_I4) {
        return _mm512_cvtepi32_ps(_mm512_sub_epi32(i, _mm512_set1_epi32(8)));
    }
    if (e == ENC_T2) {
        return _mm512_cvtepi32_ps(
            _mm512_sub_epi32(_mm512_and_si512(i, _mm512_set1_epi32(3)), _mm512_set1_epi32(1)));
    }
    __m512i bit = _mm512_and_si512(i, _mm512_set1_epi32(1));
    return _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_add_epi32(bit, bit), _mm512_set1_epi32(1)));
}

/* Every dword shifted right by n. */
INLINE __m512i shift_right(__m512i v, size_t n)
{
    return _mm512_srl_epi32(v, _mm_cvtsi32_si128((int)n));
}

/* Columns 4c .. 4c+3 of the span's 16 rows as floats. */
INLINE void quad(__m512 w[4], const struct span *s, size_t c, const enum encoding e)
{
    const uint8_t *line = s->lines + 4 * c / cols_per_line[e] * 64;
    if (e == ENC_F16) {
        bool half_quad = 4 * c + 2 >= s->n_cols; /* the last line may be the first of a pair */
        UNROLL for (size_t j = 0; j < 4; j++)
        {
            const __m256i *at = (const __m256i *)(s->lines + 128 * c + 32 * j);
            w[j] = j >= 2 && half_quad ? _mm512_setzero_ps()
                                       : _mm512_cvtph_ps(_mm256_loadu_si256(at));
        }
        return;
    }
    if (e == ENC_B1) {
        UNROLL for (size_t j = 0; j < 4; j++)
        {
            __m128i bytes = _mm_loadu_si128((const __m128i *)(line + 16 * j));
            __m512i bits = shift_right(_mm512_cvtepu8_epi32(bytes), c % 8);
            w[j] = _mm512_permutexvar_ps(bits, table(e));
        }
        return;
    }
    const __m512i byte = _mm512_set1_epi32(255);
    __m512i v = _mm512_loadu_si512(line);
    size_t field = e == ENC_T2 ? 2 * (c % 4) : 4 * (c % 2);
    __m512i codes = e == ENC_I8 || e == ENC_T1_6 ? v : shift_right(v, field);
    if (e == ENC_I6) {
        __m512i high = shift_right(_mm512_loadu_si512(s->high + c / 4 * 64), 2 * (c % 4));
        high = _mm512_and_si512(high, _mm512_set1_epi8(3));
        codes = _mm512_and_si512(codes, _mm512_set1_epi8(15));
        codes = _mm512_or_si512(codes, _mm512_slli_epi32(high, 4));
    }
    UNROLL for (size_t j = 0; j < 4; j++)
    {
        __m512i code = _mm512_srli_epi32(codes, 8 * (unsigned)j);
        if (e == ENC_T2 || e == ENC_I4) {
            w[j] = _mm512_permutexvar_ps(code, table(e));
        } else if (e == ENC_T1_6) {
            w[j] = trit(_mm512_and_si512(code, byte), c % 5);
        } else {
            __m512 f = _mm512_cvtepi32_ps(_mm512_and_si512(code, byte));
            w[j] = _mm512_sub_ps(f, _mm512_set1_ps(e == ENC_I8 ? 128.0f : 32.0f));
        }
    }
}

/* nb blocks times nt tokens, nb * nt <= 4. */
INLINE void float_tile(const struct matmul *m, const size_t *block, size_t t0, const int nb,
                       const int nt, const enum encoding e)
{
    const struct matrix *w = m->w;
    size_t block_bytes = layout_block_bytes(e, w->group, w->n_cols);
    size_t n_groups = w->group ? (w->n_cols + w->group - 1) / w->group : 1;
    __m512 total[4];
    UNROLL for (int u = 0; u < nb * nt; u++) { total[u] = _mm512_setzero_ps(); }
    for (size_t s = 0; s < n_groups; s++) {
        struct span span[2];
        UNROLL for (int b = 0; b < nb; b++)
        {
            span[b] = span_of(w, w->lines + block[b] * block_bytes, s, e);
        }
        const float *f = m->x->f + t0 * m->x->q_stride + s * w->group;
        __m512 acc[4][4];
        UNROLL for (int u = 0; u < nb * nt; u++)
        {
            acc[u][0] = acc[u][1] = acc[u][2] = acc[u][3] = _mm512_setzero_ps();
        }
        for (size_t c = 0; 4 * c < span[0].n_cols; c++) {
            UNROLL for (int b = 0; b < nb; b++)
            {
                __m512 value[4];
                prefetch(span[b].lines + 4 * c / cols_per_line[e] * 64);
                if (e == ENC_F16) { /* two lines */
                    prefetch(span[b].lines + 128 * c + 64);
                }
                quad(value, &span[b], c, e);
                UNROLL for (size_t i = 0; i < 4; i++)
                {
                    UNROLL for (int t = 0; t < nt; t++)
                    {
                        __m512 x = _mm512_set1_ps(f[(size_t)t * m->x->q_stride + 4 * c + i]);
                        __m512 *sum = &acc[b * nt + t][i];
                        *sum = _mm512_add_ps(*sum, _mm512_mul_ps(value[i], x));
                    }
                }
            }
        }
        UNROLL for (int u = 0; u < nb * nt; u++)
        {
            __m512 g = _mm512_add_ps(_mm512_add_ps(acc[u][0], acc[u][2]),
                                     _mm512_add_ps(acc[u][1], acc[u][3]));
            if (span[u / nt].scales) {
                const __m256i *halves = (const __m256i *)span[u / nt].scales;
                g = _mm512_mul_ps(g, _mm512_cvtph_ps(_mm256_loadu_si256(halves)));
                total[u] = _mm512_add_ps(total[u], g);
            } else {
                total[u] = _mm512_mul_ps(g, matrix_scale(w, block[u / nt]));
            }
        }
    }
    UNROLL for (int u = 0; u < nb * nt; u++)
    {
        float *y = m->y + (t0 + (size_t)(u % nt)) * m->y_stride + block[u / nt] * BLOCK_ROWS;
        _mm512_storeu_ps(y, total[u]);
    }
}

/* Few tokens: two streams, one from each half of the range. */
INLINE void float_pairs(const struct matmul *m, size_t t, const enum encoding e)
{
    size_t half = (m->block_end - m->block_begin + 1) / 2;
    for (size_t i = 0; i < half; i++) {
        size_t second = m->block_begin + half + i;
        size_t block[] = {m->block_begin + i, second < m->block_end ? second : m->block_end - 1};
        float_tile(m, block, t, 2, 1, e);
    }
}

/* Eight blocks at a time meet all tokens, so that many tokens do not stream through the caches once
 * for each block. */
INLINE void times_float(const struct matmul *m, const enum encoding e)
{
    size_t n_fours = m->x->n_tok / 4 * 4;
    for (size_t first = m->block_begin; first < m->block_end; first += 8) {
        size_t end = m->block_end - first < 8 ? m->block_end : first + 8;
        for (size_t t = 0; t < n_fours; t += 4) {
            for (size_t b = first; b < end; b++) {
                float_tile(m, &b, t, 1, 4, e);
            }
        }
    }
    for (size_t t = n_fours; t < m->x->n_tok; t++) {
        float_pairs(m, t, e);
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

void fill_avx512_head(struct matrix_kernels *m)
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
