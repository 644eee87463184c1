/* avx2_ternary.c: t2 and t1.6 times int8 with vpmaddubsw.
 *
 * A line's halves are 8 rows each, in dword lanes. vpmaddubsw multiplies unsigned by signed bytes
 * and adds neighbours into int16: two of the four products of a row and column quad each. The
 * codes go first: swapped, it would read activations as 0..255. int16 sums pile up for as many
 * lines as cannot saturate, then vpmaddwd with ones folds the pairs into int32.
 *
 * Saturation, for codes 0..2 and |q| <= 127, a pair being at most 2 * 2 * 127 = 508:
 *   - shifted codes: a t2 line adds 4 pairs, 2032, so 16 lines make 32512; a t1.6 line adds 5
 *     pairs, 2540, 12 lines make 30480; 64 steps of the unpacked form make 32512;
 *   - one token of t2 leaves fields 1 and 3 unshifted, times 4, in an accumulator of their own: a
 *     line adds 2 pairs of 2032, 8 lines make 32512.
 * All at most 32767. int32: at most 2^17 * 2 * 127 * 4 < 2^31. */
#include "kernels/avx2_rows.h"

enum {
    SLICE_TOK = 4, /* lines unpacked into registers meet so many tokens at a time, */
    TILE_TOK = 6,  /* lines unpacked into bytes so many: these win for all but the fewest tokens */
    T2_FUSED_TOK = 16, T1_6_FUSED_TOK = 2,
    CHUNK_LINES = 64, CHUNK_TOK = 48, /* what meets while it is in L1 */
    T2_LINES = 16, T2_PAIR_LINES = 8, T1_6_LINES = 12, TILE_STEPS = 64, /* between folds */
};

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

static void t2_pair(const struct matmul *m, const struct runs *r, const int32_t *start,
                    const size_t block[2])
{
    const struct tile tile[2] = {{m, r, block[0], 0, 1}, {m, r, block[1], 0, 1}};
    __m256 total[2][1][2];
    UNROLL for (int b = 0; b < 2; b++) { total[b][0][0] = total[b][0][1] = _mm256_setzero_ps(); }
    for (size_t i = 0; i < r->n; i++) {
        const size_t at = run_offset(r, i);
        const uint8_t *w[2] = {tile_lines(&tile[0]) + at, tile_lines(&tile[1]) + at};
        __m256i isum[2][2], from = _mm256_set1_epi32(4 * start[i]);
        UNROLL for (int b = 0; b < 2; b++) { isum[b][0] = isum[b][1] = from; }
        lines_pair(isum, w, m->x->q + i * r->cols, run_lines(r, i));
        UNROLL for (int b = 0; b < 2; b++)
        {
            __m256 d[2];
            run_d(d, r, tile_lines(&tile[b]), i);
            isum[b][0] = _mm256_srai_epi32(isum[b][0], 2);
            isum[b][1] = _mm256_srai_epi32(isum[b][1], 2);
            end_run(total[b][0], isum[b], d, run_a(tile, i, 0));
        }
    }
    for (int b = 0; b < 2; b++) { store_tile(&tile[b], total[b]); }
}

/* n lines of a block of t2 times nt tokens: isum[token][half]. The order of the loops is the one
 * that needs the fewest registers. */
INLINE void t2_tile(__m256i isum[][2], const uint8_t *w, const int8_t *q, size_t q_stride,
                    size_t n, const int nt)
{
    const __m256i three = _mm256_set1_epi8(3);
    for (size_t i = 0; i < n;) {
        size_t end = n - i < T2_LINES ? n : i + T2_LINES;
        __m256i acc[SLICE_TOK][2];
        UNROLL for (int t = 0; t < nt; t++) { acc[t][0] = acc[t][1] = _mm256_setzero_si256(); }
        for (; i < end; i++) {
            __m256i w0 = load(w + 64 * i), w1 = load(w + 64 * i + 32);
            prefetch(w + 64 * i);
            UNROLL for (int f = 0; f < 4; f++)
            {
                __m256i code0 = _mm256_and_si256(_mm256_srli_epi16(w0, 2 * f), three);
                __m256i code1 = _mm256_and_si256(_mm256_srli_epi16(w1, 2 * f), three);
                UNROLL for (int t = 0; t < nt; t++)
                {
                    __m256i dword = broadcast4(q + (size_t)t * q_stride + 16 * i + 4 * f);
                    acc[t][0] = mul_add(acc[t][0], code0, dword);
                    acc[t][1] = mul_add(acc[t][1], code1, dword);
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

/* The same of t1.6. */
INLINE void t1_6_tile(__m256i isum[][2], const uint8_t *w, const int8_t *q, size_t q_stride,
                      size_t n, const int nt)
{
    for (size_t i = 0; i < n;) {
        size_t end = n - i < T1_6_LINES ? n : i + T1_6_LINES;
        __m256i acc[SLICE_TOK][2];
        UNROLL for (int t = 0; t < nt; t++) { acc[t][0] = acc[t][1] = _mm256_setzero_si256(); }
        for (; i < end; i++) {
            prefetch(w + 64 * i);
            UNROLL for (int s = 0; s < 2; s++)
            {
                __m256i code[5];
                codes_of(code, w + 64 * i + 32 * s, true);
                UNROLL for (int f = 0; f < 5; f++)
                {
                    UNROLL for (int t = 0; t < nt; t++)
                    {
                        __m256i dword = broadcast4(q + (size_t)t * q_stride + 20 * i + 4 * f);
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

/* One block times nt tokens, straight from the packed lines. */
INLINE void fused_tile(const struct tile *tile, const int32_t *start, const bool trits,
                       const int nt)
{
    const struct runs *r = tile->r;
    const struct activations *x = tile->m->x;
    __m256 total[SLICE_TOK][2];
    UNROLL for (int t = 0; t < nt; t++) { total[t][0] = total[t][1] = _mm256_setzero_ps(); }
    for (size_t i = 0; i < r->n; i++) {
        const uint8_t *w = tile_lines(tile) + run_offset(r, i);
        const int8_t *q = x->q + tile->t0 * x->q_stride + i * r->cols;
        __m256i isum[SLICE_TOK][2];
        __m256 d[2];
        UNROLL for (int t = 0; t < nt; t++)
        {
            isum[t][0] = isum[t][1] = _mm256_set1_epi32(start[(size_t)t * r->n + i]);
        }
        if (trits)
            t1_6_tile(isum, w, q, x->q_stride, run_lines(r, i), nt);
        else
            t2_tile(isum, w, q, x->q_stride, run_lines(r, i), nt);
        run_d(d, r, tile_lines(tile), i);
        UNROLL for (int t = 0; t < nt; t++)
        {
            end_run(total[t], isum[t], d, run_a(tile, i, (size_t)t));
        }
    }
    store_tile(tile, total);
}

static void fused_block(const struct tile *tile, const int32_t *start, bool trits)
{
    switch (2 * tile->n_tok + trits) {
    case 3: fused_tile(tile, start, true, 1); break;
    case 4: fused_tile(tile, start, false, 2); break;
    case 5: fused_tile(tile, start, true, 2); break;
    case 6: fused_tile(tile, start, false, 3); break;
    default: fused_tile(tile, start, false, 4); break;
    }
}

/* Lines as bytes 0..2, 64 a step of four columns. */
INLINE void unpack(uint8_t *codes, const uint8_t *lines, size_t n, const bool trits)
{
    const int n_fields = trits ? 5 : 4;
    for (size_t i = 0; i < n; i++, codes += LINE_BYTES * n_fields) {
        prefetch(lines + 64 * i);
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

/* n steps of unpacked lines times nt tokens. */
INLINE void steps_tile(__m256i isum[][2], const uint8_t *codes, const int8_t *q, size_t q_stride,
                       size_t n, const int nt)
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

/* The same for any number of tokens, in slices as even as can be. */
static void steps_times(__m256i isum[][2], const uint8_t *codes, const int8_t *q, size_t q_stride,
                        size_t n, size_t n_tok)
{
    size_t n_slices = (n_tok + TILE_TOK - 1) / TILE_TOK;
    for (size_t nt; n_tok > 0; n_tok -= nt, n_slices--, isum += nt, q += nt * q_stride) {
        nt = (n_tok + n_slices - 1) / n_slices;
        switch (nt) {
        case 1: steps_tile(isum, codes, q, q_stride, n, 1); break;
        case 2: steps_tile(isum, codes, q, q_stride, n, 2); break;
        case 3: steps_tile(isum, codes, q, q_stride, n, 3); break;
        case 4: steps_tile(isum, codes, q, q_stride, n, 4); break;
        case 5: steps_tile(isum, codes, q, q_stride, n, 5); break;
        default: steps_tile(isum, codes, q, q_stride, n, 6); break;
        }
    }
}

/* One block times at most CHUNK_TOK tokens; lines are unpacked, CHUNK_LINES at a time, for all of
 * them. */
static void gemm_block(const struct tile *tile, const int32_t *start, const bool trits)
{
    const struct runs *r = tile->r;
    const struct activations *x = tile->m->x;
    const size_t n_fields = trits ? 5 : 4;
    __m256 total[CHUNK_TOK][2], d[2];
    __m256i isum[CHUNK_TOK][2];
    _Alignas(64) uint8_t codes[CHUNK_LINES * 5 * LINE_BYTES];
    zero_floats(total, tile->n_tok);
    for (size_t i = 0; i < r->n; i++) {
        const uint8_t *lines = tile_lines(tile) + run_offset(r, i);
        const int8_t *q = x->q + tile->t0 * x->q_stride + i * r->cols;
        for (size_t t = 0; t < tile->n_tok; t++) {
            isum[t][0] = isum[t][1] = _mm256_set1_epi32(start[t * r->n + i]);
        }
        for (size_t left = run_lines(r, i), n; left > 0; left -= n) {
            n = left < CHUNK_LINES ? left : CHUNK_LINES;
            if (trits)
                unpack(codes, lines, n, true);
            else
                unpack(codes, lines, n, false);
            steps_times(isum, codes, q, x->q_stride, n * n_fields, tile->n_tok);
            lines += n * LINE_BYTES, q += n * r->line_cols;
        }
        run_d(d, r, tile_lines(tile), i);
        for (size_t t = 0; t < tile->n_tok; t++) {
            end_run(total[t], isum[t], d, run_a(tile, i, t));
        }
    }
    store_tile(tile, total);
}

/* Scratch: the start values of at most CHUNK_TOK tokens, 4 bytes a run of at least 32 columns. */
static void gemm(const struct matmul *m, bool trits)
{
    const struct runs r = runs_of(m);
    for (size_t t0 = 0; t0 < m->x->n_tok; t0 += CHUNK_TOK) {
        size_t n_tok = m->x->n_tok - t0 < CHUNK_TOK ? m->x->n_tok - t0 : CHUNK_TOK;
        runs_start(m->scratch, &r, m, t0, n_tok);
        for (size_t block = m->block_begin; block < m->block_end; block++) {
            const struct tile tile = {m, &r, block, t0, n_tok};
            gemm_block(&tile, m->scratch, trits);
        }
    }
}

/* All tokens, in slices as even as can be, for pairs of blocks. */
static void fused(const struct matmul *m, bool trits)
{
    const struct runs r = runs_of(m);
    const size_t n_tok = m->x->n_tok;
    int32_t *start = m->scratch;
    runs_start(start, &r, m, 0, n_tok);
    for (size_t i = 0; i < n_pairs(m); i++) {
        size_t block[2];
        pair_at(block, m, i);
        if (!trits && n_tok == 1) {
            t2_pair(m, &r, start, block);
            continue;
        }
        size_t n_slices = (n_tok + SLICE_TOK - 1) / SLICE_TOK;
        for (size_t t = 0, nt; t < n_tok; t += nt, n_slices--) {
            nt = (n_tok - t + n_slices - 1) / n_slices;
            for (int b = 0; b < 2; b++) {
                const struct tile tile = {m, &r, block[b], t, nt};
                fused_block(&tile, start + t * r.n, trits);
            }
        }
    }
}

static void t2_i8(const struct matmul *m)
{
    if (m->x->n_tok <= T2_FUSED_TOK)
        fused(m, false);
    else
        gemm(m, false);
}

static void t1_6_i8(const struct matmul *m)
{
    if (m->x->n_tok <= T1_6_FUSED_TOK)
        fused(m, true);
    else
        gemm(m, true);
}

void fill_avx2_ternary(struct matrix_kernels *m)
{
    m->t2_i8 = t2_i8;
    m->t1_6_i8 = t1_6_i8;
}
