/* neoni8mm_ternary.c: prefill of t2 and t1.6 with smmla, which multiplies 2 rows x 8 columns by
 * 8 columns x 2 tokens: twice the products of sdot in an instruction. Few tokens stay with sdot,
 * where half of smmla's work would be for nobody.
 *
 * Unpacked bytes hold 4 columns of 4 rows in a quarter. Interleaving two quarters of neighbouring
 * columns by dwords gives rows 0 and 1 with 8 columns each, then rows 2 and 3: the left operand.
 * A product holds row 0 x both tokens, row 1 x both tokens; two of them are untangled at the end
 * into 4 rows of one token and 4 of the other. range: as in neon_ternary.h. */
#include "kernels/neon_sdot.h"
#include "kernels/neon_ternary.h"

enum { N_PAIRS = 2, N_TOK = 2 * N_PAIRS }; /* pairs of tokens in a tile: 16 accumulators */

/* Interleaves quarter j of steps s and s + 1, in place, for all steps: n columns. */
static void interleave(uint8_t *codes, size_t n_cols)
{
    for (size_t k = 0; k < n_cols; k += 8, codes += 2 * LINE_BYTES)
        for (size_t j = 0; j < LINE_BYTES; j += 16) {
            uint32x4_t a = vreinterpretq_u32_u8(vld1q_u8(codes + j));
            uint32x4_t b = vreinterpretq_u32_u8(vld1q_u8(codes + LINE_BYTES + j));
            vst1q_u8(codes + j, vreinterpretq_u8_u32(vzip1q_u32(a, b)));
            vst1q_u8(codes + LINE_BYTES + j, vreinterpretq_u8_u32(vzip2q_u32(a, b)));
        }
}

/* n columns of 16 rows times 4 tokens: acc[j][h][p] are rows 4j + 2h and the next, tokens of
 * pair p. */
INLINE void columns_tile(int32x4_t acc[4][2][N_PAIRS], const uint8_t *codes,
                         const int8_t *const q[N_TOK], size_t first, size_t n)
{
    for (size_t k = 0; k < n; k += 8, codes += 2 * LINE_BYTES) {
        int8x16_t x[N_PAIRS];
        UNROLL for (int p = 0; p < N_PAIRS; p++)
        {
            x[p] = vcombine_s8(vld1_s8(q[2 * p] + first + k), vld1_s8(q[2 * p + 1] + first + k));
        }
        UNROLL for (int j = 0; j < 4; j++)
        {
            int8x16_t w0 = vreinterpretq_s8_u8(vld1q_u8(codes + 16 * j));
            int8x16_t w1 = vreinterpretq_s8_u8(vld1q_u8(codes + LINE_BYTES + 16 * j));
            UNROLL for (int p = 0; p < N_PAIRS; p++)
            {
                acc[j][0][p] = vmmlaq_s32(acc[j][0][p], w0, x[p]);
                acc[j][1][p] = vmmlaq_s32(acc[j][1][p], w1, x[p]);
            }
        }
    }
}

/* One unpacked block times 4 tokens; token[] may repeat the last one. start[t] is token t's. */
static void mm_tile(const struct matmul *m, const struct runs *r, size_t block,
                    const uint8_t *codes, const size_t token[N_TOK],
                    const int32_t *const start[N_TOK])
{
    const struct activations *x = m->x;
    const uint8_t *base = m->w->lines + block * r->block_bytes;
    const int8_t *q[N_TOK];
    float32x4_t total[N_TOK][4];
    UNROLL for (int t = 0; t < N_TOK; t++)
    {
        q[t] = x->q + token[t] * x->q_stride;
        UNROLL for (int j = 0; j < 4; j++) { total[t][j] = vdupq_n_f32(0.0f); }
    }
    for (size_t i = 0; i < r->n; i++) {
        size_t k = i * r->cols, n = r->n_cols - k < r->cols ? r->n_cols - k : r->cols;
        int32x4_t acc[4][2][N_PAIRS];
        UNROLL for (int p = 0; p < N_PAIRS; p++)
        {
            int32x2_t from = vset_lane_s32(start[2 * p + 1][i], vdup_n_s32(start[2 * p][i]), 1);
            UNROLL for (int j = 0; j < 4; j++)
            {
                acc[j][0][p] = acc[j][1][p] = vcombine_s32(from, from);
            }
        }
        columns_tile(acc, codes + k * BLOCK_ROWS, q, k, n);
        UNROLL for (int t = 0; t < N_TOK; t++)
        {
            float scale = run_act_scale(r, x, token[t], i);
            UNROLL for (int j = 0; j < 4; j++)
            {
                int32x4_t a = acc[j][0][t / 2], b = acc[j][1][t / 2];
                int32x4_t isum = t % 2 ? vuzp2q_s32(a, b) : vuzp1q_s32(a, b);
                total[t][j] = add_run(total[t][j], isum, r, base, i, (size_t)j, scale);
            }
        }
    }
    UNROLL for (int t = 0; t < N_TOK; t++)
    {
        UNROLL for (int j = 0; j < 4; j++) { store(m, block, token[t], (size_t)j, total[t][j]); }
    }
}

/* Scratch as in gemm; 8 columns a step stay inside the padding of 512. */
INLINE void mm_gemm(const struct matmul *m, const bool trits)
{
    const struct runs r = runs_of(m);
    const struct trit_tables tables = trit_tables();
    uint8_t *codes = m->scratch;
    int32_t *start = (int32_t *)(codes + BLOCK_ROWS * act_stride(r.n_cols));
    for (size_t t0 = 0; t0 < m->x->n_tok; t0 += CHUNK_TOK) {
        size_t n_tok = m->x->n_tok - t0 < CHUNK_TOK ? m->x->n_tok - t0 : CHUNK_TOK;
        runs_start(start, &r, m, t0, n_tok);
        for (size_t b = m->block_begin; b < m->block_end; b++) {
            unpack_block(codes, m, &r, b, trits, &tables);
            interleave(codes, r.n_cols);
            for (size_t t = 0; t < n_tok; t += N_TOK) {
                size_t token[N_TOK];
                const int32_t *from[N_TOK];
                for (size_t j = 0; j < N_TOK; j++) {
                    size_t in_chunk = t + j < n_tok ? t + j : n_tok - 1;
                    token[j] = t0 + in_chunk;
                    from[j] = start + in_chunk * r.n;
                }
                mm_tile(m, &r, b, codes, token, from);
            }
        }
    }
}

static void t2_i8(const struct matmul *m)
{
    if (m->x->n_tok <= FUSED_TOK)
        fused(m, false);
    else
        mm_gemm(m, false);
}

static void t1_6_i8(const struct matmul *m)
{
    if (m->x->n_tok <= FUSED_TOK)
        fused(m, true);
    else
        mm_gemm(m, true);
}

void fill_neoni8mm_ternary(struct matrix_kernels *m)
{
    m->t2_i8 = t2_i8;
    m->t1_6_i8 = t1_6_i8;
}
