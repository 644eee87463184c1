/* encode.h: how each tensor of a foreign model is kept in a .bnp file, and keeping it so.
 *
 * First every matrix is surveyed: are its weights low-bit, that is zero or plus or minus one level
 * within runs of columns, and does one level serve a group, a row or the whole matrix? Whatever is
 * found so is kept exactly. Only masters of BitNet models (quantized as BitNet does) and tables of
 * real floats (embedding, head) lose something, and how much is measured while they are written. */
#ifndef TOOLS_ENCODE_H
#define TOOLS_ENCODE_H

#include "src/bnp_write.h"
#include "src/progress.h"
#include "tools/blocks.h"

struct encode_options {
    int body; /* 0: the best that measured; ENC_T2, ENC_T1_6: for ternary matrices */
    int head; /* ENC_I8, ENC_I8X2, ENC_F16, ENC_I6 or ENC_I4: tables that are not low-bit */
};

struct plan {
    /* found by the survey */
    bool low_bit, has_zero;
    bool has_wide;         /* codes beyond -1..1 */
    enum scale_kind scale; /* the coarsest that is exact: TENSOR, ROW, GROUP; COLUMN as given */
    uint32_t group;
    bool half_exact; /* all levels are exactly f16 */
    float level;     /* TENSOR: of all; masters: the mean of |w| */
    /* decided */
    enum encoding encoding;
    /* measured while writing */
    uint64_t n_bytes;
    double max_error;
};

bool encode_survey(struct blocks *b, const struct source_tensor *t, struct plan *p,
                   struct bitnet_error *err);
/* act: the network's arch.act, which not every encoding can meet. */
bool encode_choose(const struct source_tensor *t, const char *act, const struct encode_options *o,
                   struct plan *p, struct bitnet_error *err);
/* A table of floats as head: ENC_I8, ... */
void encode_table(struct plan *p, int head);
/* The bytes of the next declared tensor. n_before: bytes written before it, for the bar. */
bool encode_write(struct blocks *b, const struct source_tensor *t, struct plan *p,
                  struct bnp_writer *w, struct progress *bar, uint64_t n_before,
                  struct bitnet_error *err);

/* The level of each run of 32 columns in one row: [ceil(n_cols / 32)]; NAN where all codes are
 * zero and any level will do. */
void levels_of_codes(float *levels, const int8_t *codes, const float *scales, uint32_t group,
                     size_t n_cols);
bool levels_of_values(float *levels, const float *values, size_t n_cols); /* false: not low-bit */

#endif
