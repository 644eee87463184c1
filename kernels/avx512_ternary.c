/* avx512_ternary.c: t2 and t1.6 times int8 with vpdpbusd.
 *
 * A line of t2 is 16 rows in dword lanes, 16 columns deep. vpdpbusd multiplies four unsigned bytes
 * by four signed ones in each lane and adds the sum to the lane: one row each, nothing ever
 * crosses lanes. Its signed side is four activations, broadcast. Its unsigned side are codes 0..2,
 * and here is the trick: field f of a byte need not be shifted down. `and` with 3 << 2f leaves
 * code * 4^f; give each field an accumulator of its own and shift the four accumulators right by
 * 2f once at the end. So a line costs one load, four `and` and four vpdpbusd: no shift, no shuffle.
 * With several tokens the accumulators would not fit, so n_acc of them share the fields: those of
 * f >= n_acc are shifted down first, once for all tokens.
 *
 * t1.6 is turned into the same byte: vpermb looks the four trits up by the low six bits (which is
 * all of its index that it reads), once in a table for bytes below 192 and, under a mask, once in
 * the table for the others; the fifth trit is the top two bits, or looked up the same way.
 *
 * Overflow: vpdpbusd wraps and does not saturate, and its four products are added in 32 bits.
 * The accumulator of field f holds at most n_cols / 4 * (3 << 2f) * 127 <= 2^15 * 192 * 127 < 2^30;
 * with the fifth trit of t1.6 the last one holds n_cols * 2 / 5 * 192 * 127 < 2^31. This counts
 * codes of 3, which have no meaning, too.
 */
#include <immintrin.h>
#include <string.h>

#include "kernels/ternary.h"

enum {
    FUSED_TOK = 32,  /* up to here lines are unpacked into registers, for TILE_TOK at a time; */
    TILE_BLOCKS = 4, /* above, four blocks into bytes in scratch, which costs as much as */
    TILE_TOK = 6,    /* multiplying by 14 tokens */
    CHUNK_TOK = 512, /* tokens whose sums of activations are kept */
};

/* Not the intrinsic: gcc 12 copies accumulators around it in the hot loop. */
INLINE __m512i dot_add(__m512i acc, __m512i codes, __m512i q)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(codes), "v"(q));
    return acc;
}

INLINE __m512i broadcast4(const int8_t *q)
{
    int32_t dword;
    memcpy(&dword, q, sizeof dword);
    return _mm512_set1_epi32(dword);
}

/* Into L2 well ahead, into L1 shortly before: 1.3 to 1.8 times the bandwidth of doing without.
 * Past the end of the weights it does nothing. */
INLINE void prefetch(const uint8_t *line)
{
    _mm_prefetch((const char *)line + 8192, _MM_HINT_T1);
    _mm_prefetch((const char *)line + 1536, _MM_HINT_T0);
}

/* Tables of t1.6, for bytes below 192 and for the others. */
struct trit_tables {
    __m512i common, escaped, escaped_fifth;
};

/* Trits of c = t0 + 3*t1 + 9*t2 + 27*t3, two bits each. */
static uint8_t fields_of(unsigned c)
{
    return (uint8_t)(c % 3 | c / 3 % 3 << 2 | c / 9 % 3 << 4 | c / 27 % 3 << 6);
}

/* The fifth trit goes where the highest field of n_acc is. */
static struct trit_tables trit_tables(int n_acc)
{
    uint8_t t[3][64];
    for (unsigned i = 0; i < 64; i++) {
        t[0][i] = fields_of(i);
        t[1][i] = fields_of(64 + i % 17);
        t[2][i] = (uint8_t)(i / 17 << 2 * (n_acc - 1));
    }
    return (struct trit_tables){_mm512_loadu_si512(t[0]), _mm512_loadu_si512(t[1]),
                                _mm512_loadu_si512(t[2])};
}

/* A line's codes: four fields in a byte as in t2, the fifth trits of t1.6 apart. */
INLINE void fields(__m512i *four, __m512i *fifth, const uint8_t *line, const bool trits,
                   const struct trit_tables *t, const int n_acc)
{
    __m512i w = _mm512_loadu_si512(line);
    *four = w;
    if (trits) {
        __mmask64 escaped = _mm512_cmpge_epu8_mask(w, _mm512_set1_epi8((char)192));
        __m512i top = n_acc == 4 ? w : _mm512_srli_epi16(w, 8 - 2 * n_acc);
        top = _mm512_and_si512(top, _mm512_set1_epi8((char)(3 << 2 * (n_acc - 1))));
        *fifth = _mm512_mask_permutexvar_epi8(top, escaped, w, t->escaped_fifth);
        *four = _mm512_mask_permutexvar_epi8(_mm512_permutexvar_epi8(w, t->common), escaped, w,
                                             t->escaped);
    }
}

/* Codes of field f, times 4^(f % n_acc). */
INLINE __m512i field(__m512i four, const int f, const int n_acc)
{
    __m512i w = f < n_acc ? four : _mm512_srli_epi16(four, (unsigned)(2 * n_acc * (f / n_acc)));
    return _mm512_and_si512(w, _mm512_set1_epi8((char)(3 << 2 * (f % n_acc))));
}

INLINE __m512 matrix_scale(const struct matrix *w, size_t block)
{
    switch (w->scale_kind) {
    case SCALE_TENSOR: return _mm512_set1_ps(w->scale[0]);
    case SCALE_ROW: return _mm512_loadu_ps(w->scale + block * BLOCK_ROWS);
    default: return _mm512_set1_ps(1.0f);
    }
}

/* total + (float)isum * (d * a), the step of kernels.h from one run to the next */
INLINE __m512 add_run(__m512 total, __m512i isum, const struct runs *r, const uint8_t *block,
                      size_t run, float act_scale)
{
    __m512 scale = _mm512_set1_ps(act_scale);
    if (r->group) {
        const uint8_t *halves = block + run_scales(r, run);
        __m512 d = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)halves));
        scale = _mm512_mul_ps(d, scale);
    }
    return _mm512_add_ps(total, _mm512_mul_ps(_mm512_cvtepi32_ps(isum), scale));
}

INLINE void store(const struct matmul *m, size_t block, size_t token, __m512 total)
{
    __m512 a = _mm512_set1_ps(token_scale(m->x, token));
    __m512 y = _mm512_mul_ps(total, _mm512_mul_ps(matrix_scale(m->w, block), a));
    _mm512_storeu_ps(m->y + token * m->y_stride + block * BLOCK_ROWS, y);
}

/* n lines of two blocks times nt tokens. */
INLINE void lines_pair(__m512i acc[TILE_TOK][2][4], const uint8_t *const w[2],
                       const int8_t *q, size_t q_stride, size_t n, const bool trits,
                       const struct trit_tables *tables, const int nt, const int n_acc)
{
    const int n_fields = trits ? 5 : 4;
    for (size_t i = 0; i < n; i++) {
        __m512i four[2], fifth[2];
        UNROLL for (int b = 0; b < 2; b++)
        {
            prefetch(w[b] + 64 * i);
            fields(&four[b], &fifth[b], w[b] + 64 * i, trits, tables, n_acc);
        }
        UNROLL for (int f = 0; f < n_fields; f++)
        {
            const int a = f == 4 ? n_acc - 1 : f % n_acc;
            __m512i code0 = f == 4 ? fifth[0] : field(four[0], f, n_acc);
            __m512i code1 = f == 4 ? fifth[1] : field(four[1], f, n_acc);
            UNROLL for (int t = 0; t < nt; t++)
            {
                __m512i dword = broadcast4(q + (size_t)t * q_stride + 4 * f);
                acc[t][0][a] = dot_add(acc[t][0][a], code0, dword);
                acc[t][1][a] = dot_add(acc[t][1][a], code1, dword);
            }
        }
        q += trits ? 20 : 16;
    }
}

/* Two blocks times nt tokens from t0 on, straight from the packed lines. */
INLINE void fused_tile(const struct matmul *m, const struct runs *r, const size_t block[2],
                       size_t t0, const bool trits, const int nt)
{
    const int n_acc = nt <= 2 ? 4 : nt <= 4 ? 2 : 1;
    const struct activations *x = m->x;
    const int8_t *q = x->q + t0 * x->q_stride;
    const struct trit_tables tables = trits ? trit_tables(n_acc) : (struct trit_tables){0};
    const uint8_t *base[2] = {m->w->lines + block[0] * r->block_bytes,
                              m->w->lines + block[1] * r->block_bytes};
    __m512 total[TILE_TOK][2];
    UNROLL for (int t = 0; t < nt; t++) { total[t][0] = total[t][1] = _mm512_setzero_ps(); }
    for (size_t i = 0; i < r->n; i++) {
        size_t at = trits ? 0 : run_offset(r, i);
        size_t n = trits ? (r->n_cols + 19) / 20 : run_lines(r, i);
        const uint8_t *w[2] = {base[0] + at, base[1] + at};
        __m512i acc[TILE_TOK][2][4];
        UNROLL for (int t = 0; t < nt; t++)
        {
            acc[t][0][0] = acc[t][1][0] = _mm512_set1_epi32(r->start[(t0 + (size_t)t) * r->n + i]);
            UNROLL for (int a = 1; a < n_acc; a++)
            {
                acc[t][0][a] = acc[t][1][a] = _mm512_setzero_si512();
            }
        }
        lines_pair(acc, w, q + i * r->cols, x->q_stride, n, trits, &tables, nt, n_acc);
        UNROLL for (int t = 0; t < nt; t++)
        {
            float scale = run_act_scale(r, x, t0 + (size_t)t, i);
            UNROLL for (int b = 0; b < 2; b++)
            {
                __m512i sum = acc[t][b][0];
                UNROLL for (int a = 1; a < n_acc; a++)
                {
                    sum = _mm512_add_epi32(sum, _mm512_srai_epi32(acc[t][b][a], (unsigned)(2 * a)));
                }
                total[t][b] = add_run(total[t][b], sum, r, base[b], i, scale);
            }
        }
    }
    UNROLL for (int t = 0; t < nt; t++)
    {
        store(m, block[0], t0 + (size_t)t, total[t][0]);
        store(m, block[1], t0 + (size_t)t, total[t][1]);
    }
}

/* All tokens, in slices as even as can be. */
INLINE void fused_pair(const struct matmul *m, const struct runs *r, const size_t block[2],
                       const bool trits)
{
    size_t n_tok = m->x->n_tok, n_slices = (n_tok + TILE_TOK - 1) / TILE_TOK;
    for (size_t t = 0, nt; t < n_tok; t += nt, n_slices--) {
        nt = (n_tok - t + n_slices - 1) / n_slices;
        switch (nt) {
        case 1: fused_tile(m, r, block, t, trits, 1); break;
        case 2: fused_tile(m, r, block, t, trits, 2); break;
        case 3: fused_tile(m, r, block, t, trits, 3); break;
        case 4: fused_tile(m, r, block, t, trits, 4); break;
        case 5: fused_tile(m, r, block, t, trits, 5); break;
        default: fused_tile(m, r, block, t, trits, 6); break;
        }
    }
}

/* Two streams of blocks, one from each half of the range: each is read without a gap, so that
 * prefetching ahead is always right. An odd block in the middle is computed twice, to the same
 * bits. */
INLINE void fused(const struct matmul *m, const bool trits)
{
    struct runs r = runs_of(m);
    runs_start(&r, m->x, 0, m->x->n_tok, m->scratch);
    size_t half = (m->block_end - m->block_begin + 1) / 2;
    for (size_t i = 0; i < half; i++) {
        size_t second = m->block_begin + half + i;
        size_t block[2] = {m->block_begin + i, second < m->block_end ? second : m->block_end - 1};
        fused_pair(m, &r, block, trits);
    }
}

/* Run i's lines as bytes 0..2: codes[step][block][64], a step being 4 columns of 16 rows. */
INLINE void unpack(uint8_t *codes, const uint8_t *lines, size_t n, const bool trits,
                   const struct trit_tables *tables)
{
    const int n_fields = trits ? 5 : 4;
    for (size_t i = 0; i < n; i++) {
        __m512i four, fifth;
        _mm_prefetch((const char *)lines + 64 * i + 4096, _MM_HINT_T0);
        fields(&four, &fifth, lines + 64 * i, trits, tables, 1);
        UNROLL for (int f = 0; f < n_fields; f++)
        {
            __m512i code = f == 4 ? fifth : field(four, f, 1);
            _mm512_storeu_si512(codes, code);
            codes += TILE_BLOCKS * LINE_BYTES;
        }
    }
}

/* Four columns of four blocks times nt tokens. */
INLINE void gemm_step(__m512i acc[TILE_TOK][TILE_BLOCKS], const uint8_t *codes, const int8_t *q,
                      size_t q_stride, const int nt)
{
    __m512i w[TILE_BLOCKS];
    UNROLL for (int b = 0; b < TILE_BLOCKS; b++)
    {
        w[b] = _mm512_loadu_si512(codes + LINE_BYTES * b);
    }
    UNROLL for (int t = 0; t < nt; t++)
    {
        __m512i dword = broadcast4(q + (size_t)t * q_stride);
        UNROLL for (int b = 0; b < TILE_BLOCKS; b++)
        {
            acc[t][b] = dot_add(acc[t][b], w[b], dword);
        }
    }
}

/* Four unpacked blocks times nt tokens from t0 on; start belongs to token t0. */
INLINE void gemm_tile(const struct matmul *m, const struct runs *r, const uint8_t *codes,
                      const size_t block[TILE_BLOCKS], size_t t0, const int32_t *start,
                      const int nt)
{
    const struct activations *x = m->x;
    const int8_t *q = x->q + t0 * x->q_stride;
    __m512 total[TILE_TOK][TILE_BLOCKS];
    UNROLL for (int t = 0; t < nt; t++)
    {
        UNROLL for (int b = 0; b < TILE_BLOCKS; b++) { total[t][b] = _mm512_setzero_ps(); }
    }
    for (size_t i = 0, k = 0; i < r->n; i++) {
        size_t end = r->n_cols - k < r->cols ? r->n_cols : k + r->cols;
        __m512i acc[TILE_TOK][TILE_BLOCKS];
        UNROLL for (int t = 0; t < nt; t++)
        {
            __m512i from = _mm512_set1_epi32(start[(size_t)t * r->n + i]);
            UNROLL for (int b = 0; b < TILE_BLOCKS; b++) { acc[t][b] = from; }
        }
        for (; k < end; k += 8) { /* a step too many multiplies by q = 0 */
            UNROLL for (int s = 0; s < 2; s++)
            {
                gemm_step(acc, codes, q + k + 4 * s, x->q_stride, nt);
                codes += TILE_BLOCKS * LINE_BYTES;
            }
        }
        UNROLL for (int t = 0; t < nt; t++)
        {
            float scale = run_act_scale(r, x, t0 + (size_t)t, i);
            UNROLL for (int b = 0; b < TILE_BLOCKS; b++)
            {
                const uint8_t *base = m->w->lines + block[b] * r->block_bytes;
                total[t][b] = add_run(total[t][b], acc[t][b], r, base, i, scale);
            }
        }
    }
    UNROLL for (int t = 0; t < nt; t++)
    {
        UNROLL for (int b = 0; b < TILE_BLOCKS; b++)
        {
            store(m, block[b], t0 + (size_t)t, total[t][b]);
        }
    }
}

/* Four unpacked blocks times n tokens from t0 on, in slices as even as can be. */
static void gemm_blocks(const struct matmul *m, const struct runs *r, const uint8_t *codes,
                        const size_t block[TILE_BLOCKS], size_t t0, size_t n)
{
    size_t n_slices = (n + TILE_TOK - 1) / TILE_TOK;
    for (size_t t = 0, nt; t < n; t += nt, n_slices--) {
        nt = (n - t + n_slices - 1) / n_slices;
        const int32_t *start = r->start + t * r->n;
        switch (nt) {
        case 6: gemm_tile(m, r, codes, block, t0 + t, start, 6); break;
        case 5: gemm_tile(m, r, codes, block, t0 + t, start, 5); break;
        default: /* only where a chunk has less than 20 tokens: the last of very many */
            for (size_t i = 0; i < nt; i++)
                gemm_tile(m, r, codes, block, t0 + t + i, start + i * r->n, 1);
        }
    }
}

/* Scratch: codes of four blocks, 64 bytes a column (t1.6 pads to 20 columns, act_stride to 512),
 * then the start values of at most 512 tokens, 4 bytes a run of at least 32 columns. */
INLINE void gemm(const struct matmul *m, const bool trits)
{
    struct runs r = runs_of(m);
    const struct trit_tables tables = trits ? trit_tables(1) : (struct trit_tables){0};
    uint8_t *codes = m->scratch;
    int32_t *start = (int32_t *)(codes + TILE_BLOCKS * BLOCK_ROWS * act_stride(r.n_cols));
    for (size_t t0 = 0; t0 < m->x->n_tok; t0 += CHUNK_TOK) {
        size_t n_tok = m->x->n_tok - t0 < CHUNK_TOK ? m->x->n_tok - t0 : CHUNK_TOK;
        runs_start(&r, m->x, t0, n_tok, start);
        for (size_t first = m->block_begin; first < m->block_end; first += TILE_BLOCKS) {
            size_t block[TILE_BLOCKS];
            for (size_t b = 0; b < TILE_BLOCKS; b++) { /* missing ones repeat the last */
                block[b] = first + b < m->block_end ? first + b : m->block_end - 1;
                const uint8_t *base = m->w->lines + block[b] * r.block_bytes;
                uint8_t *to = codes + b * LINE_BYTES;
                if (trits)
                    unpack(to, base, (r.n_cols + 19) / 20, true, &tables);
                for (size_t i = 0; !trits && i < r.n; i++)
                    unpack(to + i * r.cols * TILE_BLOCKS * BLOCK_ROWS, base + run_offset(&r, i),
                           run_lines(&r, i), false, &tables);
            }
            gemm_blocks(m, &r, codes, block, t0, n_tok);
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

void fill_avx512_ternary(struct matrix_kernels *m)
{
    m->t2_i8 = t2_i8;
    m->t1_6_i8 = t1_6_i8;
}
