/* bnp_write.h: writes a .bnp file: metadata, tokenizer, declared tensors, then their bytes in the
 * declared order, streaming. The file grows beside its target under a temporary name and is
 * renamed at the end, so a failure or a kill leaves an old target whole. */
#ifndef BITNET_BNP_WRITE_H
#define BITNET_BNP_WRITE_H

#include "kernels/layout.h"
#include "src/base.h"

struct bnp_writer;

bool bnp_writer_open(struct bnp_writer **out, const char *path, struct bitnet_error *err);
void bnp_writer_text(struct bnp_writer *w, const char *key, const char *value);
void bnp_writer_u64(struct bnp_writer *w, const char *key, uint64_t value);
void bnp_writer_f64(struct bnp_writer *w, const char *key, double value);
void bnp_writer_tokenizer(struct bnp_writer *w, const void *section, size_t n_bytes);
/* Declares the next tensor. Its bytes are layout_bytes(...) = lines then scales. */
bool bnp_writer_declare(struct bnp_writer *w, const char *name, enum encoding e,
                        enum scale_kind s, uint32_t group, uint64_t n_rows, uint64_t n_cols,
                        struct bitnet_error *err);
/* After the last declaration: lays the file out. */
bool bnp_writer_begin(struct bnp_writer *w, struct bitnet_error *err);
/* The next bytes of the current tensor, in any pieces; a piece may not span two tensors. */
bool bnp_writer_data(struct bnp_writer *w, const void *bytes, size_t n_bytes,
                     struct bitnet_error *err);
/* Fails if a tensor is incomplete; else header and directory are written and the file renamed. */
bool bnp_writer_finish(struct bnp_writer *w, struct bitnet_error *err);
void bnp_writer_close(struct bnp_writer *w); /* without finish: removes the temporary file */

#endif
