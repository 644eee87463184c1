/* avx512_gemm.c: many tokens times ternary or binary weights. Four blocks are unpacked into bytes
 * 0..2, weight + 1, which stay in L2 while the tokens pass by in sixes and fives; then the loop is
 * nothing but vpdpbusd.
 *
 * range: vpdpbusd wraps and does not saturate; |isum| <= 2^17 * 2 * 127 < 2^31. */
#include "kernels/avx512_gemm.h"

#include "kernels/avx512_rows.h"

enum { TILE_TOK = 6 };

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

/* Four unpacked blocks times nt tokens; start belongs to the first of them. */
INLINE void gemm_tile(const struct tile tile[TILE_BLOCKS], const uint8_t *codes,
                      const int32_t *start, const int nt)
{
    const struct runs *r = tile->r;
    const struct activations *x = tile->m->x;
    const int8_t *q = x->q + tile->t0 * x->q_stride;
    __m512 total[TILE_BLOCKS][TILE_TOK];
    UNROLL for (int b = 0; b < TILE_BLOCKS; b++)
    {
        UNROLL for (int t = 0; t < nt; t++) { total[b][t] = _mm512_setzero_ps(); }
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
        __m512 d[TILE_BLOCKS];
        UNROLL for (int b = 0; b < TILE_BLOCKS; b++) { d[b] = run_d(&tile[b], i); }
        UNROLL for (int t = 0; t < nt; t++)
        {
            __m512 a = run_a(tile, i, (size_t)t);
            UNROLL for (int b = 0; b < TILE_BLOCKS; b++)
            {
                total[b][t] = end_run(total[b][t], acc[t][b], d[b], a);
            }
        }
    }
    for (int b = 0; b < TILE_BLOCKS; b++) { store_tile(&tile[b], total[b]); }
}

/* Four unpacked blocks times n_tok >= 20 tokens, in slices as even as can be: of five and six. */
static void gemm_blocks(struct tile tile[TILE_BLOCKS], const uint8_t *codes, const int32_t *start,
                        size_t n_tok)
{
    size_t n_slices = (n_tok + TILE_TOK - 1) / TILE_TOK;
    for (size_t nt; n_tok > 0; n_tok -= nt, n_slices--) {
        nt = (n_tok + n_slices - 1) / n_slices;
        for (int b = 0; b < TILE_BLOCKS; b++) { tile[b].n_tok = nt; }
        switch (nt) {
        case 5: gemm_tile(tile, codes, start, 5); break;
        default: gemm_tile(tile, codes, start, 6); break;
        }
        for (int b = 0; b < TILE_BLOCKS; b++) { tile[b].t0 += nt; }
        start += nt * tile->r->n;
    }
}

void avx512_gemm(const struct matmul *m, const struct runs *r, size_t most_tok, unpack_fn *unpack,
                 const void *context)
{
    uint8_t *codes = m->scratch;
    int32_t *start = (int32_t *)(codes + TILE_BLOCKS * BLOCK_ROWS * act_stride(r->n_cols));
    size_t n_parts = (m->x->n_tok + most_tok - 1) / most_tok;
    for (size_t t0 = 0, n_tok; t0 < m->x->n_tok; t0 += n_tok, n_parts--) {
        n_tok = (m->x->n_tok - t0 + n_parts - 1) / n_parts;
        runs_start(start, r, m, t0, n_tok);
        for (size_t first = m->block_begin; first < m->block_end; first += TILE_BLOCKS) {
            struct tile tile[TILE_BLOCKS];
            for (size_t b = 0; b < TILE_BLOCKS; b++) { /* missing ones repeat the last */
                size_t block = first + b < m->block_end ? first + b : m->block_end - 1;
                tile[b] = (struct tile){m, r, block, t0, 0};
                for (size_t i = 0; i < r->n; i++) {
                    uint8_t *to = codes + TILE_BLOCKS * BLOCK_ROWS * i * r->cols;
                    unpack(to + b * LINE_BYTES, tile_lines(&tile[b]) + run_offset(r, i),
                           run_lines(r, i), context);
                }
            }
            gemm_blocks(tile, codes, start, n_tok);
        }
    }
}
