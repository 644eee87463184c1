/* safetensors.h: the safetensors container, one file or a folder of shards with their index.
 *
 *     u64 N | N bytes of JSON {name: {dtype, shape, data_offsets: [begin, end]}, ...} | data
 *
 * Offsets count from the start of the data; the ranges cover it exactly, without gap or overlap.
 * A matrix is row-major, its last dimension contiguous. */
#ifndef TOOLS_SAFETENSORS_H
#define TOOLS_SAFETENSORS_H

#include "tools/infile.h"

enum dtype { DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_U8, DTYPE_I8, DTYPE_I32, DTYPE_I64,
             DTYPE_BOOL };
size_t dtype_bytes(enum dtype d);
const char *dtype_name(enum dtype d);

struct safetensor {
    char *name;
    enum dtype dtype;
    uint32_t n_dims;
    uint64_t shape[4]; /* 1 past n_dims */
    uint64_t off, n_bytes; /* in its file */
    const struct infile *file;
    bool used; /* for importers: every tensor must find its place in the network */
};

struct safetensors {
    struct infile *files;
    size_t n_files;
    struct safetensor *tensors; /* by name */
    size_t n_tensors;
};

/* dir/model.safetensors, or the shards that dir/model.safetensors.index.json names. */
bool safetensors_open(struct safetensors *st, const char *dir, struct bitnet_error *err);
/* The same from one file. */
bool safetensors_open_file(struct safetensors *st, const char *path, struct bitnet_error *err);
void safetensors_close(struct safetensors *st);
struct safetensor *safetensors_find(const struct safetensors *st, const char *name); /* or NULL */

#endif
