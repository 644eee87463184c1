/* bnp.h: the model file, version 1: reading and checking it. bnp_write.h writes it.
 *
 * Everything is little-endian. "hash" is XXH64 with seed 0. Bytes called zero are checked. The
 * parts follow one another in this order, and each begins at the first multiple of 64 after the
 * end of the one before it, but the data at the first multiple of 65536; the bytes between are
 * zero. So the file has no hole that no checksum or rule covers, and nothing can overlap.
 *
 *     +--------+----------+-----------+-----------+- - -+-------------------------+
 *     | header | metadata | tokenizer | directory |     | tensor | tensor | ...   |
 *     +--------+----------+-----------+-----------+- - -+-------------------------+
 *     0        192                                      multiple of 65536         end of file
 *
 * Header, 192 bytes:
 *
 *       0   8  magic 8B 42 4E 50 0D 0A 1A 0A       a byte above 127, "BNP", CR LF, ^Z, LF: a
 *                                                  transfer as text damages it visibly
 *       8   4  version = 1
 *      12   4  n_tensors, 1..65536
 *      16   8  file_bytes, the length of the whole file
 *      24   8  flags = 0: a bit that a reader does not know means "do not read this file"
 *      32  24  metadata:  offset u64, length u64, hash u64
 *      56  24  tokenizer: offset, length, hash        length 0: the model has none
 *      80  24  directory: offset, length, hash        length = 128 * n_tensors
 *     104  16  data:      offset, length              up to the end of the file
 *     120  64  zero
 *     184   8  hash of bytes 0..183
 *
 * Metadata: entries one after the other, each a multiple of 8 bytes long, up to 1024 of them. No
 * key stands twice. model.h lists the keys.
 *
 *       0   1  type: 1 text, 2 u64, 3 f64
 *       1   1  length of the key, 1..63
 *       2   2  zero
 *       4   4  length of the value: text without its NUL; 8 for numbers
 *       8   .  key, of a-z 0-9 _ . and -; then 1..8 zero bytes up to a multiple of 8
 *       .   .  text: UTF-8 without control characters but tab, LF, CR; then 1..8 zero bytes up
 *              to a multiple of 8.  u64: the number.  f64: IEEE double, finite
 *
 * Tokenizer: tokenizer.h describes it.
 *
 * Directory: one entry of 128 bytes for each tensor, in the order of the data. No name stands
 * twice. Every tensor begins at the first multiple of 64 after the one before it, the first at the
 * data's offset; the file ends with the zeros that follow the last one up to a multiple of 64.
 *
 *       0  64  name, of a-z 0-9 _ . and -, 1..63 bytes, then zeros
 *      64   4  encoding     enum encoding in kernels/layout.h, which draws the bytes of each
 *      68   4  scale kind   enum scale_kind
 *      72   4  group        columns per scale where the scale kind is GROUP, else 0
 *      76   4  zero
 *      80   8  rows, 1 .. 2^32-1
 *      88   8  columns, 1 .. 2^32-1
 *      96   8  offset in the file
 *     104   8  length = lines and scales as layout.h says
 *     112   8  hash of these bytes
 *     120   8  zero
 *
 * A new encoding is a new number; a reader that does not know it refuses the file and says so.
 */
#ifndef BITNET_BNP_H
#define BITNET_BNP_H

#include "kernels/layout.h"
#include "src/base.h"

enum {
    BNP_VERSION = 1,
    BNP_HEADER_BYTES = 192,
    BNP_ENTRY_BYTES = 128,
    BNP_NAME_BYTES = 64, /* with its NUL, keys too */
    BNP_ALIGN = 64,
    BNP_DATA_ALIGN = 65536, /* the largest page of any system that we know */
    BNP_MAX_TENSORS = 65536,
    BNP_MAX_KEYS = 1024,
};
extern const uint8_t bnp_magic[8];
enum bnp_type { BNP_TEXT = 1, BNP_U64 = 2, BNP_F64 = 3 };

struct bnp_tensor {
    char name[BNP_NAME_BYTES];
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
    uint32_t *by_name;          /* [n_tensors] indices into tensors, names ascending */
    size_t n_tensors;
};

/* Checks header, metadata and directory completely: bounds, overflow, overlap, duplicates,
 * alignment, version, checksums; also the tokenizer section's checksum, its content is
 * tokenizer.h's. Tensor data is not touched: the two below that verify check it. bytes are 64-byte
 * aligned; they and path, which is for messages, must outlive the file. */
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

/* May a key or tensor be called so? May a text value hold these bytes? */
bool bnp_name_ok(const char *name, size_t n_bytes);
bool bnp_text_ok(const char *text, size_t n_bytes);

/* Compares the checksum of tensor i's bytes; fails naming the tensor. */
bool bnp_verify(const struct bnp *f, size_t i, struct bitnet_error *err);
/* Are all codes and norms of tensor i such as kernels/layout.h gives a meaning? Fails naming the
 * tensor and the first rows where they are not. Opening a file trusts them: others do no harm to
 * memory, but the text may then differ from tier to tier or with what is asked for. */
bool bnp_verify_codes(const struct bnp *f, size_t i, struct bitnet_error *err);

#endif
