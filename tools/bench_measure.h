/* bench_measure.h: times one kernel on one packed matrix beside two yardsticks of the same moment:
 * the tier's plain read loop over the same bytes and its multiply-add loop. */
#ifndef TOOLS_BENCH_MEASURE_H
#define TOOLS_BENCH_MEASURE_H

#include "kernels/kernels.h"
#include "kernels/peak.h"
#include "src/pool.h"

/* Two matrices as they alternate in a network, rows x columns and columns x rows. */
struct bench_shape {
    size_t n_rows, n_cols;
};

/* Copies of the two matrices, one after the other, more bytes than any cache holds. */
struct bench_weights {
    enum encoding encoding;
    uint32_t group;
    struct bench_shape shape;
    uint8_t *bytes; /* [n_copies][copy_bytes] */
    size_t copy_bytes, n_copies;
    size_t part_bytes[2]; /* of the two matrices of a copy */
};
bool bench_weights_make(struct bench_weights *w, enum encoding e, uint32_t group,
                        struct bench_shape shape, struct bitnet_error *err);
void bench_weights_free(struct bench_weights *w);

struct bench_job {
    const struct bench_weights *weights;
    const struct peak *peak;
    struct pool *pool;
    matmul_fn *fn;
    enum act_kind act;
    size_t n_tok;
    bool cached;    /* a piece that fits the threads' own caches, not a walk through memory */
    double seconds; /* how long to go on */
};

struct bench_result {
    double ns, read_ns, peak_ns;    /* medians of a window */
    double spread;                  /* distance of the quartiles over the median */
    double n_bytes, n_weights;      /* of a window */
    double peak_ops;                /* multiplications and additions of a peak window */
};
bool bench_measure(struct bench_result *r, const struct bench_job *job, struct bitnet_error *err);

#endif
