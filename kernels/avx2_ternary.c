/* avx2_ternary.c: t2 and t1.6 times int8 with vpmaddubsw.
 *
 * A line's halves are 8 rows each, in dword lanes. vpmaddubsw multiplies unsigned by signed bytes
 * and adds neighbours into int16: two of the four products of a row and column quad each. The
 * codes go first: swapped, it would read activations as 0..255. int16 sums pile up for as many
 * lines as cannot saturate, then vpmaddwd with ones folds the pairs into int32.
 *
 * Saturation, for codes 0..2 and |q| <= 127, a pair being at most 2 * 2 * 127 = 508:
 *   - shifted codes (n_acc 1): a t2 line adds 4 pairs, 2032, so 16 lines make 32512; a t1.6 line
 *     adds 5 pairs, 2540, 12 lines make 30480; 64 steps of the unpacked form make 32512;
 *   - one token of t2 leaves fields 1 and 3 unshifted, times 4, in an accumulator of their own: a
 *     line adds 2 pairs of 2032, 8 lines make 32512.
 * All at most 32767. int32: at most 2^17 * 2 * 127 * 4 < 2^31. */
#include <immintrin.h>
#include <string.h>

#include "kernels/ternary.h"

enum {
    FUSED_TOK = 4,   /* up to here lines are unpacked into registers, */
    TILE_TOK = 6,    /* above, a block into scratch, for so many tokens at a time */
    CHUNK_TOK = 512, /* tokens whose sums of activations are kept */
    T2_LINES = 16, T2_PAIR_LINES = 8, T1_6_LINES = 12, TILE_STEPS = 64, /* between folds */
};

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

/* acc + codes * q, pairwise. Not the intrinsics: gcc 12 moves all products in front of the sums,
 * runs out of registers and takes twice as long. */
INLINE __m256i mul_add(__m256i acc, __m256i codes, __m256i q)
{
    __m256i pairs;
    __asm__("vpmaddubsw %3, %2, %1\n\tvpaddw %1, %0, %0"
            : "+x"(acc), "=&x"(pairs)
            : "x"(codes), "x"(q));
    return acc;
}

/* acc + the pairs of an int16 sum, each times scale */
INLINE __m256i fold(__m256i acc, __m256i sums, int scale)
{
    return _mm256_add_epi32(acc, _mm256_madd_epi16(sums, _mm256_set1_epi16((short)scale)));
}

INLINE void prefetch(const uint8_t *line)
{
    _mm_prefetch((const char *)line + 8192, _MM_HINT_T1);
    _mm_prefetch((const char *)line + 1536, _MM_HINT_T0);
}

INLINE __m256i table(int a, int b, int c, int d, int e, int f, int g, int h, int i, int j, int k,
                     int l, int m, int n, int o, int p)
{
    return _mm256_broadcastsi128_si256(
        _mm_setr_epi8((char)a, (char)b, (char)c, (char)d, (char)e, (char)f, (char)g, (char)h,
                      (char)i, (char)j, (char)k, (char)l, (char)m, (char)n, (char)o, (char)p));
}

/* The five trits of each byte of t1.6.
 *
 * Let H, L be the nibbles. Below 192 a byte is c | t4 << 6, so c = 16 * (H & 3) + L, t4 = H / 4.
 * From 192 on it is 192 | (17 * t4 + c - 64): within one H, t4 steps up once at most, at the L
 * where 17 * t4 is passed, and c falls by 17 there. So c = L + base[H] - 17 * past and
 * t4 = fifth[H] + past, past = L > last[H]. Then c = 9 * high + low, each of them two trits that a
 * table knows. c / 9 is c * 7282 >> 16, exact here; for the odd bytes the even byte below acts as a
 * fraction and cannot carry, because c + 255/256 < 81. */
INLINE void trits_of(__m256i code[5], __m256i w)
{
    const __m256i base = table(0, 16, 32, 48, 0, 16, 32, 48, 0, 16, 32, 48, 64, 80, 79, 78);
    const __m256i last = table(99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 0, 1, 99);
    const __m256i fifth = table(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 0, 0, 1, 2);
    const __m256i nines = table(0, 9, 18, 27, 36, 45, 54, 63, 72, 81, 90, 0, 0, 0, 0, 0);
    const __m256i mod3 = table(0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0);
    const __m256i div3 = table(0, 0, 0, 1, 1, 1, 2, 2, 2, 0, 0, 0, 0, 0, 0, 0);
    const __m256i ninth = _mm256_set1_epi16(7282), even = _mm256_set1_epi16(0x00ff);
    const __m256i nibble = _mm256_set1_epi8(15);

    __m256i l = _mm256_and_si256(w, nibble);
    __m256i h = _mm256_and_si256(_mm256_srli_epi16(w, 4), nibble);
    __m256i past = _mm256_cmpgt_epi8(l, _mm256_shuffle_epi8(last, h)); /* 0 or -1 */
    __m256i c = _mm256_add_epi8(l, _mm256_shuffle_epi8(base, h));
    c = _mm256_add_epi8(c, _mm256_and_si256(past, _mm256_set1_epi8(-17)));
    __m256i high = _mm256_or_si256(_mm256_mulhi_epu16(_mm256_and_si256(c, even), ninth),
                                   _mm256_andnot_si256(even, _mm256_mulhi_epu16(c, ninth)));
    __m256i low = _mm256_sub_epi8(c, _mm256_shuffle_epi8(nines, high));
    code[0] = _mm256_shuffle_epi8(mod3, low);
    code[1] = _mm256_shuffle_epi8(div3, low);
    code[2] = _mm256_shuffle_epi8(mod3, high);
    code[3] = _mm256_shuffle_epi8(div3, high);
    code[4] = _mm256_sub_epi8(_mm256_shuffle_epi8(fifth, h), past);
}

/* Codes 0..2 of half a line, column quad by column quad: 4 of t2, 5 of t1.6. */
INLINE void codes_of(__m256i code[5], const uint8_t *half, const bool trits)
{
    const __m256i three = _mm256_set1_epi8(3);
    __m256i w = load(half);
    if (trits) {
        trits_of(code, w);
        return;
    }
    code[0] = _mm256_and_si256(w, three);
    code[1] = _mm256_and_si256(_mm256_srli_epi16(w, 2), three);
    code[2] = _mm256_and_si256(_mm256_srli_epi16(w, 4), three);
    code[3] = _mm256_and_si256(_mm256_srli_epi16(w, 6), three);
}

INLINE __m256 matrix_scale(const struct matrix *w, size_t row)
{
    switch (w->scale_kind) {
    case SCALE_TENSOR: return _mm256_set1_ps(w->scale[0]);
    case SCALE_ROW: return _mm256_loadu_ps(w->scale + row);
    default: return _mm256_set1_ps(1.0f);
    }
}

/* total + (float)isum * (d * a), the step of kernels.h from one run to the next */
INLINE __m256 add_run(__m256 total, __m256i isum, const struct runs *r, const uint8_t *block,
                      size_t run, int half, float act_scale)
{
    __m256 scale = _mm256_set1_ps(act_scale);
    if (r->group) {
        const uint8_t *halves = block + run_scales(r, run) + 16 * half;
        __m256 d = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)halves));
        scale = _mm256_mul_ps(d, scale);
    }
    return _mm256_add_ps(total, _mm256_mul_ps(_mm256_cvtepi32_ps(isum), scale));
}

INLINE void store(const struct matmul *m, size_t block, size_t token, int half, __m256 total)
{
    size_t row = block * BLOCK_ROWS + 8 * (size_t)half;
    __m256 a = _mm256_set1_ps(token_scale(m->x, token));
    __m256 y = _mm256_mul_ps(total, _mm256_mul_ps(matrix_scale(m->w, row), a));
    _mm256_storeu_ps(m->y + token * m->y_stride + row, y);
}

/* Two blocks of t2 times one token: the case that decoding waits for. Fields 1 and 3 stay times 4,
 * so that a half costs one shift and four `and`. isum comes out times 4. */
INLINE void lines_pair(__m256i isum[2][2], const uint8_t *const w[2], const int8_t *q, size_t n)
{
    const __m256i three = _mm256_set1_epi8(3), twelve = _mm256_set1_epi8(12);
    for (size_t i = 0; i < n;) {
        size_t end = n - i < T2_PAIR_LINES ? n : i + T2_PAIR_LINES;
        __m256i one[2][2], four[2][2];
        UNROLL for (int j = 0; j < 4; j++)
        {
            one[j / 2][j % 2] = four[j / 2][j % 2] = _mm256_setzero_si256();
        }
        for (; i < end; i++) {
            __m256i q0 = broadcast4(q + 16 * i), q1 = broadcast4(q + 16 * i + 4);
            __m256i q2 = broadcast4(q + 16 * i + 8), q3 = broadcast4(q + 16 * i + 12);
            UNROLL for (int b = 0; b < 2; b++)
            {
                prefetch(w[b] + 64 * i);
                UNROLL for (int s = 0; s < 2; s++)
                {
                    __m256i low = load(w[b] + 64 * i + 32 * s), high = _mm256_srli_epi16(low, 4);
                    one[b][s] = mul_add(one[b][s], _mm256_and_si256(low, three), q0);
                    four[b][s] = mul_add(four[b][s], _mm256_and_si256(low, twelve), q1);
                    one[b][s] = mul_add(one[b][s], _mm256_and_si256(high, three), q2);
                    four[b][s] = mul_add(four[b][s], _mm256_and_si256(high, twelve), q3);
                }
            }
        }
        UNROLL for (int j = 0; j < 4; j++)
        {
            __m256i *sum = &isum[j / 2][j % 2];
            *sum = fold(fold(*sum, one[j / 2][j % 2], 4), four[j / 2][j % 2], 1);
        }
    }
}

static void t2_pair(const struct matmul *m, const struct runs *r, const size_t block[2])
{
    const uint8_t *base[2] = {m->w->lines + block[0] * r->block_bytes,
                              m->w->lines + block[1] * r->block_bytes};
    __m256 total[2][2];
    UNROLL for (int j = 0; j < 4; j++) { total[j / 2][j % 2] = _mm256_setzero_ps(); }
    for (size_t i = 0; i < r->n; i++) {
        size_t at = run_offset(r, i);
        const uint8_t *w[2] = {base[0] + at, base[1] + at};
        __m256i isum[2][2];
        UNROLL for (int j = 0; j < 4; j++)
        {
            isum[j / 2][j % 2] = _mm256_set1_epi32(4 * r->start[i]);
        }
        lines_pair(isum, w, m->x->q + i * r->cols, run_lines(r, i));
        float scale = run_act_scale(r, m->x, 0, i);
        UNROLL for (int j = 0; j < 4; j++)
        {
            const int b = j / 2, s = j % 2;
            __m256i sum = _mm256_srai_epi32(isum[b][s], 2);
            total[b][s] = add_run(total[b][s], sum, r, base[b], i, s, scale);
        }
    }
    UNROLL for (int j = 0; j < 4; j++) { store(m, block[j / 2], 0, j % 2, total[j / 2][j % 2]); }
}

/* n lines of a block times nt tokens. */
INLINE void lines_tile(__m256i isum[FUSED_TOK][2], const uint8_t *w, const int8_t *q,
                       size_t q_stride, size_t n, const bool trits, const int nt)
{
    const int n_fields = trits ? 5 : 4;
    for (size_t i = 0; i < n;) {
        const size_t most = trits ? T1_6_LINES : T2_LINES;
        size_t end = n - i < most ? n : i + most;
        __m256i acc[FUSED_TOK][2];
        UNROLL for (int t = 0; t < nt; t++) { acc[t][0] = acc[t][1] = _mm256_setzero_si256(); }
        for (; i < end; i++, w += 64, q += 4 * n_fields) {
            prefetch(w);
            UNROLL for (int s = 0; s < 2; s++)
            {
                __m256i code[5];
                codes_of(code, w + 32 * s, trits);
                UNROLL for (int f = 0; f < n_fields; f++)
                {
                    UNROLL for (int t = 0; t < nt; t++)
                    {
                        __m256i dword = broadcast4(q + (size_t)t * q_stride + 4 * f);
                        acc[t][s] = mul_add(acc[t][s], code[f], dword);
                    }
                }
            }
        }
        UNROLL for (int t = 0; t < nt; t++)
        {
            isum[t][0] = fold(isum[t][0], acc[t][0], 1);
            isum[t][1] = fold(isum[t][1], acc[t][1], 1);
        }
    }
}

/* One block times all nt tokens, straight from the packed lines. */
INLINE void fused_tile(const struct matmul *m, const struct runs *r, size_t block,
                       const bool trits, const int nt)
{
    const struct activations *x = m->x;
    const uint8_t *base = m->w->lines + block * r->block_bytes;
    __m256 total[FUSED_TOK][2];
    UNROLL for (int t = 0; t < nt; t++) { total[t][0] = total[t][1] = _mm256_setzero_ps(); }
    for (size_t i = 0; i < r->n; i++) {
        size_t n = trits ? (r->n_cols + 19) / 20 : run_lines(r, i);
        __m256i isum[FUSED_TOK][2];
        UNROLL for (int t = 0; t < nt; t++)
        {
            int32_t start = r->start[(size_t)t * r->n + i];
            isum[t][0] = isum[t][1] = _mm256_set1_epi32(start);
        }
        lines_tile(isum, base + (trits ? 0 : run_offset(r, i)), x->q + i * r->cols, x->q_stride, n,
                   trits, nt);
        UNROLL for (int t = 0; t < nt; t++)
        {
            float scale = run_act_scale(r, x, (size_t)t, i);
            total[t][0] = add_run(total[t][0], isum[t][0], r, base, i, 0, scale);
            total[t][1] = add_run(total[t][1], isum[t][1], r, base, i, 1, scale);
        }
    }
    UNROLL for (int t = 0; t < nt; t++)
    {
        store(m, block, (size_t)t, 0, total[t][0]);
        store(m, block, (size_t)t, 1, total[t][1]);
    }
}

INLINE void fused_block(const struct matmul *m, const struct runs *r, size_t block,
                        const bool trits)
{
    switch (m->x->n_tok) {
    case 1: fused_tile(m, r, block, trits, 1); break;
    case 2: fused_tile(m, r, block, trits, 2); break;
    case 3: fused_tile(m, r, block, trits, 3); break;
    default: fused_tile(m, r, block, trits, 4); break;
    }
}

/* A run's lines as bytes 0..2, 64 a step of four columns. */
INLINE void unpack(uint8_t *codes, const uint8_t *lines, size_t n, const bool trits)
{
    const int n_fields = trits ? 5 : 4;
    for (size_t i = 0; i < n; i++, codes += LINE_BYTES * n_fields) {
        UNROLL for (int s = 0; s < 2; s++)
        {
            __m256i code[5];
            codes_of(code, lines + 64 * i + 32 * s, trits);
            UNROLL for (int f = 0; f < n_fields; f++)
            {
                _mm256_storeu_si256((__m256i *)(codes + LINE_BYTES * f + 32 * s), code[f]);
            }
        }
    }
}

/* Steps of an unpacked block times nt tokens. */
INLINE void steps_tile(__m256i isum[TILE_TOK][2], const uint8_t *codes, const int8_t *q,
                       size_t q_stride, size_t n, const int nt)
{
    for (size_t i = 0; i < n;) {
        size_t end = n - i < TILE_STEPS ? n : i + TILE_STEPS;
        __m256i acc[TILE_TOK][2];
        UNROLL for (int t = 0; t < nt; t++) { acc[t][0] = acc[t][1] = _mm256_setzero_si256(); }
        for (; i < end; i++, codes += LINE_BYTES) {
            __m256i code0 = load(codes), code1 = load(codes + 32);
            UNROLL for (int t = 0; t < nt; t++)
            {
                __m256i dword = broadcast4(q + (size_t)t * q_stride + 4 * i);
                acc[t][0] = mul_add(acc[t][0], code0, dword);
                acc[t][1] = mul_add(acc[t][1], code1, dword);
            }
        }
        UNROLL for (int t = 0; t < nt; t++)
        {
            isum[t][0] = fold(isum[t][0], acc[t][0], 1);
            isum[t][1] = fold(isum[t][1], acc[t][1], 1);
        }
    }
}

/* An unpacked block times nt tokens from t0 on; start belongs to token t0. */
INLINE void gemm_tile(const struct matmul *m, const struct runs *r, const uint8_t *codes,
                      size_t block, size_t t0, const int32_t *start, const int nt)
{
    const struct activations *x = m->x;
    const int8_t *q = x->q + t0 * x->q_stride;
    const uint8_t *base = m->w->lines + block * r->block_bytes;
    __m256 total[TILE_TOK][2];
    UNROLL for (int t = 0; t < nt; t++) { total[t][0] = total[t][1] = _mm256_setzero_ps(); }
    for (size_t i = 0; i < r->n; i++) {
        size_t k = i * r->cols, n = r->n_cols - k < r->cols ? r->n_cols - k : r->cols;
        __m256i isum[TILE_TOK][2];
        UNROLL for (int t = 0; t < nt; t++)
        {
            isum[t][0] = isum[t][1] = _mm256_set1_epi32(start[(size_t)t * r->n + i]);
        }
        steps_tile(isum, codes + BLOCK_ROWS * k, q + k, x->q_stride, (n + 3) / 4, nt);
        UNROLL for (int t = 0; t < nt; t++)
        {
            float scale = run_act_scale(r, x, t0 + (size_t)t, i);
            total[t][0] = add_run(total[t][0], isum[t][0], r, base, i, 0, scale);
            total[t][1] = add_run(total[t][1], isum[t][1], r, base, i, 1, scale);
        }
    }
    UNROLL for (int t = 0; t < nt; t++)
    {
        store(m, block, t0 + (size_t)t, 0, total[t][0]);
        store(m, block, t0 + (size_t)t, 1, total[t][1]);
    }
}

/* An unpacked block times n tokens from t0 on, in slices as even as can be. */
static void gemm_block(const struct matmul *m, const struct runs *r, const uint8_t *codes,
                       size_t block, size_t t0, size_t n)
{
    size_t n_slices = (n + TILE_TOK - 1) / TILE_TOK;
    for (size_t t = 0, nt; t < n; t += nt, n_slices--) {
        nt = (n - t + n_slices - 1) / n_slices;
        const int32_t *start = r->start + t * r->n;
        switch (nt) {
        case 3: gemm_tile(m, r, codes, block, t0 + t, start, 3); break;
        case 4: gemm_tile(m, r, codes, block, t0 + t, start, 4); break;
        case 5: gemm_tile(m, r, codes, block, t0 + t, start, 5); break;
        case 6: gemm_tile(m, r, codes, block, t0 + t, start, 6); break;
        default: /* one or two tokens: the rest of very many */
            for (size_t i = 0; i < nt; i++)
                gemm_tile(m, r, codes, block, t0 + t + i, start + i * r->n, 1);
        }
    }
}

/* Scratch: a block's codes, 16 bytes a column (t1.6 pads to 20 columns, act_stride to 512), then
 * the start values of at most 512 tokens, 4 bytes a run of at least 32 columns. */
INLINE void gemm(const struct matmul *m, const bool trits)
{
    struct runs r = runs_of(m);
    uint8_t *codes = m->scratch;
    int32_t *start = (int32_t *)(codes + BLOCK_ROWS * act_stride(r.n_cols));
    for (size_t t0 = 0; t0 < m->x->n_tok; t0 += CHUNK_TOK) {
        size_t n_tok = m->x->n_tok - t0 < CHUNK_TOK ? m->x->n_tok - t0 : CHUNK_TOK;
        runs_start(&r, m->x, t0, n_tok, start);
        for (size_t block = m->block_begin; block < m->block_end; block++) {
            const uint8_t *base = m->w->lines + block * r.block_bytes;
            if (trits)
                unpack(codes, base, (r.n_cols + 19) / 20, true);
            for (size_t i = 0; !trits && i < r.n; i++)
                unpack(codes + i * r.cols * BLOCK_ROWS, base + run_offset(&r, i),
                       run_lines(&r, i), false);
            gemm_block(m, &r, codes, block, t0, n_tok);
        }
    }
}

/* Two streams of blocks, one from each half of the range, as prefetching likes it; an odd block in
 * the middle is computed twice, to the same bits. */
INLINE void fused(const struct matmul *m, const bool trits)
{
    struct runs r = runs_of(m);
    runs_start(&r, m->x, 0, m->x->n_tok, m->scratch);
    size_t half = (m->block_end - m->block_begin + 1) / 2;
    for (size_t i = 0; i < half; i++) {
        size_t second = m->block_begin + half + i;
        size_t block[2] = {m->block_begin + i, second < m->block_end ? second : m->block_end - 1};
        if (!trits && m->x->n_tok == 1) {
            t2_pair(m, &r, block);
        } else {
            fused_block(m, &r, block[0], trits);
            fused_block(m, &r, block[1], trits);
        }
    }
}

static void t2_i8(const struct matmul *m)
{
    if (m->x->n_tok <= FUSED_TOK)
        fused(m, false);
    else
        gemm(m, false);
}

static void t1_6_i8(const struct matmul *m)
{
    if (m->x->n_tok <= FUSED_TOK)
        fused(m, true);
    else
        gemm(m, true);
}

void fill_avx2_ternary(struct matrix_kernels *m)
{
    m->t2_i8 = t2_i8;
    m->t1_6_i8 = t1_6_i8;
}
