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
#include "kernels/avx512_gemm.h"
#include "kernels/avx512_rows.h"
#include "kernels/avx512_ternary.h"

enum {
    FUSED_TOK = 32, /* up to here lines are unpacked into registers, for SLICE_TOK at a time; above,
                     * into bytes, which costs as much as multiplying by 14 tokens */
    SLICE_TOK = 4,
    CHUNK_TOK = 512, /* tokens whose sums of activations are kept */
};

/* Tables of t1.6, for bytes below 192 and for the others. */
struct trit_tables {
    __m512i common, escaped, fifth;
};

/* Trits of c = t0 + 3*t1 + 9*t2 + 27*t3, two bits each. */
static uint8_t fields_of(unsigned c)
{
    return (uint8_t)(c % 3 | c / 3 % 3 << 2 | c / 9 % 3 << 4 | c / 27 % 3 << 6);
}

static struct trit_tables trit_tables(void)
{
    uint8_t t[3][64];
    for (unsigned i = 0; i < 64; i++) {
        t[0][i] = fields_of(i);
        t[1][i] = fields_of(64 + i % 17);
        t[2][i] = (uint8_t)(i / 17);
    }
    return (struct trit_tables){_mm512_loadu_si512(t[0]), _mm512_loadu_si512(t[1]),
                                _mm512_loadu_si512(t[2])};
}

/* A line's codes: four fields in a byte as in t2, the fifth trits of t1.6 apart, where the highest
 * field of n_acc is. */
INLINE void fields(__m512i *four, __m512i *fifth, const uint8_t *line, const bool trits,
                   const struct trit_tables *t, const int n_acc)
{
    __m512i w = _mm512_loadu_si512(line);
    *four = w;
    if (trits) {
        __mmask64 escaped = _mm512_cmpge_epu8_mask(w, _mm512_set1_epi8((char)192));
        __m512i top = n_acc == 4 ? w : _mm512_srli_epi16(w, 8 - 2 * n_acc);
        top = _mm512_and_si512(top, _mm512_set1_epi8((char)(3 << 2 * (n_acc - 1))));
        __m512i table = _mm512_slli_epi16(t->fifth, (unsigned)(2 * (n_acc - 1)));
        *fifth = _mm512_mask_permutexvar_epi8(top, escaped, w, table);
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

/* n lines of two blocks times nt tokens. */
INLINE void lines_pair(__m512i acc[SLICE_TOK][2][4], const uint8_t *w0, const uint8_t *w1,
                       const int8_t *q, size_t q_stride, size_t n, const bool trits,
                       const struct trit_tables *tables, const int nt, const int n_acc)
{
    const int n_fields = trits ? 5 : 4;
    for (const uint8_t *end = w0 + 64 * n; w0 < end; w0 += 64, w1 += 64) {
        __m512i four[2], fifth[2];
        prefetch(w0);
        prefetch(w1);
        fields(&four[0], &fifth[0], w0, trits, tables, n_acc);
        fields(&four[1], &fifth[1], w1, trits, tables, n_acc);
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

/* Two blocks times nt tokens, straight from the packed lines. */
INLINE void fused_tile(const struct tile tile[2], const int32_t *start,
                       const struct trit_tables *tables, const bool trits, const int nt)
{
    const int n_acc = nt <= 2 ? 4 : 2;
    const struct runs *r = tile->r;
    const struct activations *x = tile->m->x;
    const int8_t *q = x->q + tile->t0 * x->q_stride;
    __m512 total[2][SLICE_TOK];
    for (int t = 0; t < nt; t++) { total[0][t] = total[1][t] = _mm512_setzero_ps(); }
    for (size_t i = 0; i < r->n; i++) {
        const size_t at = run_offset(r, i);
        __m512i acc[SLICE_TOK][2][4];
        UNROLL for (int t = 0; t < nt; t++)
        {
            acc[t][0][0] = acc[t][1][0] = _mm512_set1_epi32(start[(size_t)t * r->n + i]);
            UNROLL for (int a = 1; a < n_acc; a++)
            {
                acc[t][0][a] = acc[t][1][a] = _mm512_setzero_si512();
            }
        }
        lines_pair(acc, tile_lines(&tile[0]) + at, tile_lines(&tile[1]) + at, q + i * r->cols,
                   x->q_stride, run_lines(r, i), trits, tables, nt, n_acc);
        __m512i sum[2][SLICE_TOK];
        UNROLL for (int t = 0; t < nt; t++)
        {
            UNROLL for (int b = 0; b < 2; b++)
            {
                sum[b][t] = acc[t][b][0];
                UNROLL for (int a = 1; a < n_acc; a++)
                {
                    __m512i part = _mm512_srai_epi32(acc[t][b][a], (unsigned)(2 * a));
                    sum[b][t] = _mm512_add_epi32(sum[b][t], part);
                }
            }
        }
        end_tile(total[0], sum[0], &tile[0], i);
        end_tile(total[1], sum[1], &tile[1], i);
    }
    store_tile(&tile[0], total[0]);
    store_tile(&tile[1], total[1]);
}

INLINE void fused_slice(const struct tile tile[2], const int32_t *start,
                        const struct trit_tables *tables, const bool trits)
{
    switch (tile->n_tok) {
    case 1: fused_tile(tile, start, tables, trits, 1); break;
    case 2: fused_tile(tile, start, tables, trits, 2); break;
    case 3: fused_tile(tile, start, tables, trits, 3); break;
    default: fused_tile(tile, start, tables, trits, 4); break;
    }
}

/* All tokens, in slices as even as can be, for pairs of blocks. */
INLINE void fused(const struct matmul *m, const bool trits)
{
    const struct runs r = runs_of(m);
    const struct trit_tables tables = trits ? trit_tables() : (struct trit_tables){0};
    const size_t n_tok = m->x->n_tok;
    int32_t *start = m->scratch;
    runs_start(start, &r, m, 0, n_tok);
    for (size_t i = 0; i < n_pairs(m); i++) {
        size_t block[2], n_slices = (n_tok + SLICE_TOK - 1) / SLICE_TOK;
        pair_at(block, m, i);
        for (size_t t = 0, nt; t < n_tok; t += nt, n_slices--) {
            nt = (n_tok - t + n_slices - 1) / n_slices;
            const struct tile tile[2] = {{m, &r, block[0], t, nt}, {m, &r, block[1], t, nt}};
            fused_slice(tile, start + t * r.n, &tables, trits);
        }
    }
}

/* As unpack_fn of avx512_gemm.h. */
INLINE void unpack(uint8_t *codes, const uint8_t *lines, size_t n,
                   const struct trit_tables *tables, const bool trits)
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

static void unpack_t2(uint8_t *codes, const uint8_t *lines, size_t n, const void *context)
{
    unpack(codes, lines, n, context, false);
}

static void unpack_t1_6(uint8_t *codes, const uint8_t *lines, size_t n, const void *context)
{
    unpack(codes, lines, n, context, true);
}

void avx512_t2_i8(const struct matmul *m)
{
    if (m->x->n_tok <= FUSED_TOK) {
        fused(m, false);
        return;
    }
    const struct runs r = runs_of(m);
    avx512_gemm(m, &r, CHUNK_TOK, unpack_t2, NULL);
}

static void t1_6_i8(const struct matmul *m)
{
    if (m->x->n_tok <= FUSED_TOK) {
        fused(m, true);
        return;
    }
    const struct runs r = runs_of(m);
    const struct trit_tables tables = trit_tables();
    avx512_gemm(m, &r, CHUNK_TOK, unpack_t1_6, &tables);
}

void fill_avx512_ternary(struct matrix_kernels *m)
{
    m->t2_i8 = avx512_t2_i8;
    m->t1_6_i8 = t1_6_i8;
}
