/* avx512_gemm.h: many tokens times ternary or binary weights, for the files that know how these are
 * packed. */
#ifndef KERNELS_AVX512_GEMM_H
#define KERNELS_AVX512_GEMM_H

#include "kernels/runs.h"

enum { TILE_BLOCKS = 4 };

/* n lines as bytes: codes[step][block][64], a step being 4 columns of 16 rows. */
typedef void unpack_fn(uint8_t *codes, const uint8_t *lines, size_t n, const void *context);

/* All n_tok >= 33 tokens, at most most_tok <= 512 at once, in parts as even as can be. Scratch:
 * codes of four blocks, 64 bytes a column (t1.6 pads to 20 columns, act_stride to 512), then the
 * start values, 4 bytes for a token and a run of at least 32 columns. */
void avx512_gemm(const struct matmul *m, const struct runs *r, size_t most_tok, unpack_fn *unpack,
                 const void *context);

#endif
