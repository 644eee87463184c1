/* bnp.h: the model file, version 1: reading and checking it. bnp_write.h writes it.
 *
 * (The specification of every byte stands here.)
 */
#ifndef BITNET_BNP_H
#define BITNET_BNP_H

#include "kernels/layout.h"
#include "src/base.h"

struct bnp_tensor {
    char name[64];
    struct matrix matrix; /* pointers into the mapping */
    const uint8_t *data;  /* lines, then scales */
    uint64_t off, n_bytes, hash;
};

/* An open file: every field points into the caller's bytes or is owned by bnp_close. */
struct bnp {
    const char *path;
    const uint8_t *bytes;
    uint64_t n_bytes;
    const uint8_t *meta, *tokenizer;
    uint64_t meta_bytes, tokenizer_bytes;
    struct bnp_tensor *tensors; /* in file order */
    size_t n_tensors;
};

/* Checks header, metadata and directory completely (bounds, overflow, overlap, duplicates, alignment, version,
 * checksums; also the tokenizer section's checksum, its content is tokenizer.h's). Tensor data is
 * not touched. path is for messages and must outlive the file. */
bool bnp_open(struct bnp *f, const uint8_t *bytes, uint64_t n_bytes, const char *path,
              struct bitnet_error *err);
void bnp_close(struct bnp *f);

const struct bnp_tensor *bnp_find(const struct bnp *f, const char *name); /* or NULL */

/* Metadata. The text form is NUL-terminated in the file. false / NULL when absent or of another
 * type. bnp_meta_key walks: the i-th key, NULL past the last. */
const char *bnp_text(const struct bnp *f, const char *key);
bool bnp_u64(const struct bnp *f, const char *key, uint64_t *out);
bool bnp_f64(const struct bnp *f, const char *key, double *out);
const char *bnp_meta_key(const struct bnp *f, size_t i);

/* Compares the checksum of tensor i's bytes; fails naming the tensor. */
bool bnp_verify(const struct bnp *f, size_t i, struct bitnet_error *err);

#endif
