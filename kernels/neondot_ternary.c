/* neondot_ternary.c: t2 and t1.6 times int8 with sdot. */
#include "kernels/neon_sdot.h"
#include "kernels/neon_ternary.h"

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

void fill_neondot_ternary(struct matrix_kernels *m)
{
    m->t2_i8 = t2_i8;
    m->t1_6_i8 = t1_6_i8;
}
