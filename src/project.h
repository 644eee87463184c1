/* project.h: x times packed matrices, the step that costs nearly all the time: normalize, quantize
 * once, and let all threads share the rows of every matrix that reads the same x. */
#ifndef BITNET_PROJECT_H
#define BITNET_PROJECT_H

#include "src/arena.h"
#include "src/model.h"
#include "src/pool.h"

/* Of 16 rows each, in one share of a product: some tens of KiB of weights, against 0.1 us for
 * taking them. Kernels walk two blocks at a time, or multiply four unpacked ones. */
enum { LEAST_BLOCKS = 4 };

struct projector {
    const struct kernels *kernels;
    struct pool *pool;
    enum bitnet_act act;
    float norm_eps, out_norm_eps;
    size_t max_tok, max_cols; /* rows and columns of the buffers below */
    int8_t *q;
    int32_t *sum32;
    float *scale;
    float *f;          /* what ACT_F32 multiplies; room for a residual or a normed x */
    float *own;        /* input of a matrix with companions of its own */
    uint8_t *scratch;  /* [n_threads][matmul_scratch_bytes(max_cols)] */
};

/* One matrix and where its output goes: y[t * y_stride + r]. */
struct product {
    const struct linear *linear;
    float *y;
    size_t y_stride; /* a multiple of 16 */
};

/* Products of one x. With `then` they have equally many rows: a worker makes the same rows of all
 * of them, and then calls it for rows [begin, end), whose outputs are in its cache. Every row comes
 * once. */
typedef void project_then(void *ctx, size_t begin, size_t end);
struct products {
    struct product of[3];
    size_t n;
    project_then *then; /* NULL: nothing */
    void *ctx;
};

void project_lay_out(struct projector *p, struct arena *a, size_t n_threads, size_t max_tok,
                     size_t max_cols);
/* Can these activations meet every matrix of the model? Fails naming the pair that cannot. */
bool project_check(const struct model *m, const struct kernels *k, enum bitnet_act act,
                   struct bitnet_error *err);

/* y = linear * quantized(norm(x)) for each of out and tokens x[t * x_stride]; gain NULL: no norm. */
void project(struct projector *p, const float *x, size_t x_stride, size_t n_tok, const float *gain,
             const struct products *out);
/* The step after quantizing, for a caller that has filled the buffers itself: what stands in them,
 * and its products with every matrix. */
struct activations project_activations(const struct projector *p, size_t n_tok, size_t n_cols,
                                       enum act_kind kind, uint32_t group);
void project_multiply(struct projector *p, size_t n_tok, enum act_kind kind, uint32_t group,
                      const struct products *out);

#endif
