/* gguf.h: the GGUF container, versions 2 and 3, little-endian, in one file or split into parts:
 * metadata and the directory of tensors, completely checked. What the bytes of a tensor mean is
 * gguf_types.h's, what the metadata says of a network gguf_model.h's.
 *
 *     "GGUF"  u32 version  u64 n_tensors  u64 n_kv
 *     n_kv times:      string key  u32 type  value
 *     n_tensors times: string name  u32 n_dims  u64 ne[n_dims]  u32 type  u64 offset
 *     padding to general.alignment (32), then the tensors at their offsets
 *
 * A string is a u64 length and bytes; an array a u32 element type, a u64 count and the elements.
 * ne[0] is the contiguous dimension: the columns of a matrix, its input features. */
#ifndef TOOLS_GGUF_H
#define TOOLS_GGUF_H

#include "tools/infile.h"

enum gguf_kind { /* the numbers stand in files */
    GGUF_U8 = 0, GGUF_I8 = 1, GGUF_U16 = 2, GGUF_I16 = 3, GGUF_U32 = 4, GGUF_I32 = 5,
    GGUF_F32 = 6, GGUF_BOOL = 7, GGUF_TEXT = 8, GGUF_ARRAY = 9, GGUF_U64 = 10, GGUF_I64 = 11,
    GGUF_F64 = 12,
};

struct gguf_text { /* in memory until gguf_close; no NUL at its end */
    const char *bytes;
    size_t n_bytes;
};

struct gguf_array {
    enum gguf_kind kind; /* of the elements; arrays of arrays are refused when a file is opened */
    uint64_t n_items, n_given;
    const uint8_t *next; /* the first text that gguf_next_text has not given yet */
    const uint8_t *items;
};

struct gguf_kv {
    char *key;
    enum gguf_kind kind;
    uint64_t off; /* of the value, of an array's first item, in the first part's header */
    enum gguf_kind item_kind; /* of an array */
    uint64_t n_items;
};

struct gguf_tensor {
    char name[128];
    uint64_t ne[4]; /* 1 past n_dims */
    uint32_t n_dims, type;
    uint64_t off;        /* from the start of its part */
    uint64_t span_bytes; /* up to the next tensor or the end of the part: data and padding */
    uint64_t n_items;    /* product of ne */
    size_t part;
    bool last; /* of its part */
    bool used; /* for importers: every tensor must find its place in the network */
};

struct gguf_part {
    struct infile file;
    uint8_t *header; /* the bytes up to the data */
    uint64_t header_bytes, data_off;
};

struct gguf {
    const char *path; /* as given; for messages */
    struct gguf_part *parts;
    size_t n_parts;
    struct gguf_kv *kvs; /* of the first part */
    size_t n_kvs;
    struct gguf_tensor *tensors; /* of all parts */
    size_t n_tensors;
};

/* path may be any part of a split file. */
bool gguf_open(struct gguf *g, const char *path, struct bitnet_error *err);
void gguf_close(struct gguf *g);

/* In a path like NAME-00002-of-00005.gguf the place of "00002", else NULL. */
char *gguf_part_number(char *path);

const struct gguf_kv *gguf_find(const struct gguf *g, const char *key); /* or NULL */
struct gguf_tensor *gguf_tensor(const struct gguf *g, const char *name); /* or NULL */

/* false when the key is absent or of another kind. Integers of any width count as integers and,
 * for gguf_f64, as numbers; gguf_u64 wants them not negative. */
bool gguf_get_text(const struct gguf *g, const char *key, struct gguf_text *out);
bool gguf_get_u64(const struct gguf *g, const char *key, uint64_t *out);
bool gguf_get_f64(const struct gguf *g, const char *key, double *out);
bool gguf_get_bool(const struct gguf *g, const char *key, bool *out);
bool gguf_get_array(const struct gguf *g, const char *key, struct gguf_array *out);
bool gguf_text_is(struct gguf_text t, const char *text);

/* Walks an array of texts from its first item; false past the last. */
bool gguf_next_text(struct gguf_array *a, struct gguf_text *out);
/* Item i of an array of numbers; false when it is none or i is past the end. */
bool gguf_item_i64(const struct gguf_array *a, uint64_t i, int64_t *out);
bool gguf_item_f64(const struct gguf_array *a, uint64_t i, double *out);

#endif
