/* kernels.h: the arithmetic of the engine, as tables of function pointers.
 *
 * Tables are filled once from scalar upward, each usable tier overwriting what it is better at,
 * and are constant afterwards. The scalar_*.c files are the specification: every other tier gives
 * the same bits (memcmp), floats included. So every float operation here has a fixed order:
 *
 *   - sums of floats run in 32 lanes, lane i % 32, multiply then add (no FMA), and fold in halves
 *     32 -> 16 -> 8 -> 4 -> 2 -> 1: lane[i] += lane[i + half];
 *   - integer sums are exact, and every kernel proves in a comment that none can overflow;
 *   - exp is ours (kernels/expf.h); sqrt and division are IEEE, correctly rounded.
 *
 * Kernels are pure functions: no I/O, no allocation, no failure. 64-byte aligned are the lines of
 * matrices, every row of the activations' q and f, and scratch; activations may be read up to their
 * padding. Kernels of attention and elements also get one head's part of a row or of the cache,
 * which lies so only where head_dim allows: they take what is aligned for its elements.
 */
#ifndef KERNELS_KERNELS_H
#define KERNELS_KERNELS_H

#include "kernels/layout.h"

enum act_kind { ACT_F32 = 0, ACT_I8 = 1, ACT_I4 = 2, ACT_I2 = 3, ACT_SIGN = 4 };

/* Quantized activations of n_tok tokens.
 *
 *     x[t][k]  ~  q[t][k] * scale[t][k / group]          group 0: one scale for the whole row
 *
 * q is int8 whatever the kind: -127..127 (i8), -7..7 (i4), -1..1 (i2), -1 or +1 (sign); columns
 * from n_cols to q_stride are 0. sum32[t][j] = sum of q[t][32j .. 32j+31]. q_stride =
 * act_stride(n_cols) covers the padding of every encoding. ACT_F32 uses f alone, same stride. */
struct activations {
    const int8_t *q;      /* [n_tok][q_stride] */
    const int32_t *sum32; /* [n_tok][q_stride / 32] */
    const float *scale;   /* [n_tok][n_groups]; n_groups = group ? ceil(n_cols / group) : 1 */
    const float *f;       /* [n_tok][q_stride], ACT_F32: 0 from n_cols on, like q */
    size_t n_tok, n_cols, q_stride, n_groups;
    uint32_t group; /* 0, 32 or 128 */
    uint8_t kind;   /* enum act_kind */
};
static inline size_t act_stride(size_t n_cols)
{
    return (n_cols + 511) / 512 * 512 + 64;
}

/* Packed matrix times activations, for the row blocks [block_begin, block_end).
 *
 *     y[t][r] = sum over k of W[r][k] * x[t][k]
 *
 * Neither weights nor activations grouped:
 *     y = (float)isum * (wscale * ascale)               isum = sum of code value * q, exact int32
 * Either grouped, S = the smaller of the two group sizes (t1.6 and i8x2 are never used so):
 *     acc = 0;  for each run s of S columns, ascending:  acc = acc + (float)isum_s * (d_s * a_s)
 *     y = acc * (wscale * ascale)
 * d is the f16 group scale or 1, a the activation's group scale or 1, wscale the tensor's or row's
 * scale or 1, ascale the token's scale or 1. SCALE_COLUMN is applied to x before this, by the caller.
 * ACT_F32: acc_j for j = k % 4 by (float)w * x, each ascending over k within one weight group (or
 * the whole row); g = (acc_0 + acc_2) + (acc_1 + acc_3); ungrouped y = g * wscale; grouped
 * total = total + g * d over ascending groups, y = total.
 *
 * All 16 rows of each block are written, padding too; y rows are y_stride floats apart, y_stride a
 * multiple of 16. The bits of y[t][r] depend on token t and row r alone, not on n_tok.
 * range: n_cols <= 2^17 keeps int8 x int8 inside int32 (2^17 * 127 * 128 < 2^31). */
struct matmul {
    float *y;
    size_t y_stride;
    const struct matrix *w;
    const struct activations *x;
    size_t block_begin, block_end;
    void *scratch; /* matmul_scratch_bytes(n_cols), per thread */
    /* scratch is as the call before left it, and that call differed in blocks, in y and in a matrix
     * of the same encoding and group alone: what it made of x need not be made again */
    bool prepared;
};
typedef void matmul_fn(const struct matmul *m);
static inline size_t matmul_scratch_bytes(size_t n_cols)
{
    return 128 * act_stride(n_cols) + 65536;
}
enum { MAX_COLS = 1 << 17 };

/* One row of one plane of i8x2 times n_tok tokens: isum[t] = sum of nibble * q[t * q_stride + k]
 * over the columns of n_lines lines. The row at `next` is fetched into the cache meanwhile.
 * range: isum <= 2^17 * 15 * 127 < 2^31 */
enum { NIBBLES_TOK = 8 }; /* n_tok at most */
typedef void nibbles_fn(int32_t isum[NIBBLES_TOK], const uint8_t *row, const uint8_t *next,
                        size_t n_lines, const int8_t *q, size_t q_stride, size_t n_tok);

/* Entries that no tier wrote stay scalar. A grouped matrix goes to the same entry. */
struct matrix_kernels {
    matmul_fn *t2_i8, *t1_6_i8, *b1_i8; /* any integer kind of activation is right here */
    matmul_fn *b1_sign;                 /* ACT_SIGN: xnor + popcount */
    matmul_fn *b1_planes, *t2_planes;   /* ACT_I2, ACT_I4, ACT_I8: and + popcount by bit plane */
    matmul_fn *i8_i8, *i6_i8, *i4_i8, *i8x2_i8;
    nibbles_fn *i8x2_nibbles;
    matmul_fn *t2_f32, *t1_6_f32, *b1_f32, *i8_f32, *i6_f32, *i4_f32, *f16_f32;
    matmul_fn *i8x2_f32; /* scalar in every tier: it serves comparison alone */
};

/* Attention of some heads that share one kv head, over positions that follow one another. */
struct attend {
    const float *q;        /* [n_rows][head_dim]; qk alone reads it */
    float *out;            /* [n_rows][head_dim]; av alone, and adds to it */
    float *scores;         /* [n_rows][score_stride], n_pos of each: qk writes, av reads them */
    const void *kv;        /* uint16_t halves or int8_t; keys or values pos_stride elements apart */
    const float *kv_scale; /* i8: value = (float)kv * kv_scale[pos * scale_stride] */
    size_t n_rows, score_stride, pos_stride, scale_stride, n_pos, head_dim;
    float scale;
};
typedef void attend_fn(const struct attend *a);

struct attention_kernels {
    /* scores[p] = dot(q, k[p]) * scale, 32 lanes over head_dim (i8: dot(q, (float)k[p]) *
     * (k_scale * scale)) */
    attend_fn *qk_f16, *qk_i8;
    /* out[d] = out[d] + scores[p] * v[p][d] for p ascending, multiply then add
     * (i8: (scores[p] * v_scale) * (float)v) */
    attend_fn *av_f16, *av_i8;
    /* x = exp(x - max) / sum: lanes for the sum, one division 1/sum, then multiply */
    void (*softmax)(float *x, size_t n);
};

struct element_kernels {
    /* y = (x * r) * gain, r = 1 / sqrt(sum(x^2)/n + eps); y may be x */
    void (*rmsnorm)(float *y, const float *x, const float *gain, size_t n, float eps);
    /* per group (0: whole row): m = max(|x|, 1e-5); scale = m / qmax; q = clamp(half_even(x *
     * (qmax / m)), -qmax, qmax). Writes q[0..stride), zero padded, sum32[stride/32], scale[]. */
    void (*quantize)(int8_t *q, int32_t *sum32, float *scale, const float *x, size_t n,
                     size_t stride, uint32_t group, int qmax);
    /* rmsnorm, then quantize: the same bits as the two in turn, one pass less */
    void (*rmsnorm_quantize)(int8_t *q, int32_t *sum32, float *scale, const float *x,
                             const float *gain, size_t n, size_t stride, uint32_t group, int qmax,
                             float eps);
    /* q = x >= 0 ? 1 : -1; scale = (sum |x|) / n */
    void (*quantize_sign)(int8_t *q, int32_t *sum32, float *scale, const float *x, size_t n,
                          size_t stride);
    void (*relu2_mul)(float *y, const float *gate, const float *up, size_t n); /* max(g,0)^2 * u */
    void (*silu_mul)(float *y, const float *gate, const float *up, size_t n); /* g/(1+exp(-g)) * u */
    /* rotates n_heads heads in place by cos/sin[n_rot/2]; half: pairs (j, j + n_rot/2),
     * adjacent: (2j, 2j+1); dims from n_rot on stay */
    void (*rope_half)(float *x, const float *cos, const float *sin, size_t n_heads,
                      size_t head_dim, size_t n_rot);
    void (*rope_adjacent)(float *x, const float *cos, const float *sin, size_t n_heads,
                          size_t head_dim, size_t n_rot);
    void (*add)(float *y, const float *x, size_t n);                 /* y += x */
    void (*mul)(float *y, const float *a, const float *b, size_t n); /* y = a * b */
    void (*to_f16)(uint16_t *y, const float *x, size_t n); /* nearest, ties to even */
};

struct kernels {
    const char *tier; /* "scalar", "avx2", "avx512", "neon", "neon-dotprod", ... */
    struct matrix_kernels matrix;
    struct attention_kernels attention;
    struct element_kernels element;
};

/* Fills k with the named tier, or with the best usable one for NULL. false: message in why[256].
 * note[256] gets the reason when a better tier was found faulty, else "". */
bool kernels_select(struct kernels *k, const char *tier, char why[256], char note[256]);
/* Name of tier i in ascending order, NULL past the last of this architecture; *usable: here. */
const char *kernels_tier(size_t i, bool *usable);
/* The measured winner for this pair on k's tier, or NULL when the pair has no meaning. */
matmul_fn *kernels_matmul(const struct kernels *k, const struct matrix *w, enum act_kind act);

/* One per tier file: replaces the entries that this file writes. */
void fill_scalar_ternary(struct matrix_kernels *m); /* t2, t1.6 x i8 */
void fill_scalar_binary(struct matrix_kernels *m);  /* b1 x i8, sign, planes; t2 planes */
void fill_scalar_head(struct matrix_kernels *m);    /* i8, i6, i4 x i8; everything x f32 */
void fill_scalar_attention(struct attention_kernels *a);
void fill_scalar_element(struct element_kernels *e);
void fill_avx2_ternary(struct matrix_kernels *m);
void fill_avx2_binary(struct matrix_kernels *m);
void fill_avx2_head(struct matrix_kernels *m);
void fill_avx2_i8x2(struct matrix_kernels *m);
void fill_avx2_attention(struct attention_kernels *a);
void fill_avx2_element(struct element_kernels *e);
void fill_avx512_ternary(struct matrix_kernels *m);
void fill_avx512_binary(struct matrix_kernels *m);
void fill_avx512_bits(struct matrix_kernels *m); /* the popcount entries of the binary family */
void fill_avx512_head(struct matrix_kernels *m);
void fill_avx512_i8x2(struct matrix_kernels *m);
void fill_avx512_attention(struct attention_kernels *a);
void fill_avx512_element(struct element_kernels *e);
void fill_zen4_ternary(struct matrix_kernels *m); /* t2 x i8, from eight tokens on */
void fill_neon_ternary(struct matrix_kernels *m);
void fill_neon_binary(struct matrix_kernels *m);
void fill_neon_head(struct matrix_kernels *m);
void fill_neon_attention(struct attention_kernels *a);
void fill_neon_element(struct element_kernels *e);
void fill_neondot_ternary(struct matrix_kernels *m); /* armv8.2 dotprod */
void fill_neondot_head(struct matrix_kernels *m);
void fill_neoni8mm_ternary(struct matrix_kernels *m); /* armv8.6 i8mm: GEMM tiles */

#endif
