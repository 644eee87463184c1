/* bnp_sample.h: a small model file with one tensor of every kind, and making its checksums right
 * again after an edit, so that the checks behind them are reached. */
#ifndef TESTS_BNP_SAMPLE_H
#define TESTS_BNP_SAMPLE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/bnp.h"
#include "src/bnp_write.h"
#include "src/map.h"

struct sample_tensor {
    const char *name;
    enum encoding encoding;
    enum scale_kind scale_kind;
    uint32_t group;
    uint64_t n_rows, n_cols;
};
static const struct sample_tensor sample_tensors[] = {
    {"norm", ENC_F32, SCALE_NONE, 0, 1, 5},
    {"blk.0.t2", ENC_T2, SCALE_TENSOR, 0, 33, 50},
    {"blk.0.t1_6", ENC_T1_6, SCALE_COLUMN, 0, 17, 41},
    {"b1", ENC_B1, SCALE_GROUP, 128, 16, 130},
    {"i8", ENC_I8, SCALE_ROW, 0, 15, 7},
    {"f16", ENC_F16, SCALE_NONE, 0, 3, 9},
    {"i6", ENC_I6, SCALE_GROUP, 32, 2, 70},
    {"i4", ENC_I4, SCALE_GROUP, 32, 4, 33},
    {"i8x2", ENC_I8X2, SCALE_ROW, 0, 18, 131},
    {"table", ENC_F32, SCALE_NONE, 0, 3, 7},
};
enum { N_SAMPLE = sizeof sample_tensors / sizeof *sample_tensors };

static inline bool sample_declare(struct bnp_writer *w, struct bitnet_error *err)
{
    bnp_writer_text(w, "arch.name", "llama");
    bnp_writer_text(w, "info.source", "gr\xc3\xbc\xc3\x9f\n\tdich");
    bnp_writer_text(w, "e", "");
    bnp_writer_text(w, "info.name", "8 bytes!"); /* its NUL takes eight more */
    bnp_writer_u64(w, "arch.n_layers", UINT64_MAX);
    bnp_writer_f64(w, "rope.base", 1.0 / 3);
    bnp_writer_tokenizer(w, "a tokenizer of some odd length, 45 bytes long", 45);
    for (size_t i = 0; i < N_SAMPLE; i++) {
        const struct sample_tensor *t = &sample_tensors[i];
        if (!bnp_writer_declare(w, t->name, t->encoding, t->scale_kind, t->group, t->n_rows,
                                t->n_cols, err))
            return false;
    }
    return bnp_writer_begin(w, err);
}

/* The bytes 1, 2, 3, ... for every tensor, in pieces of 1000. */
static inline bool sample_data(struct bnp_writer *w, size_t n_tensors, struct bitnet_error *err)
{
    uint8_t piece[1000];
    for (size_t i = 0; i < sizeof piece; i++)
        piece[i] = (uint8_t)(i % 31 + 1);
    for (size_t i = 0; i < n_tensors; i++) {
        const struct sample_tensor *t = &sample_tensors[i];
        uint64_t lines, scales;
        layout_bytes(t->encoding, t->scale_kind, t->group, t->n_rows, t->n_cols, &lines, &scales);
        for (uint64_t left = lines + scales; left > 0;) {
            size_t n = left < sizeof piece ? (size_t)left : sizeof piece;
            if (!bnp_writer_data(w, piece, n, err))
                return false;
            left -= n;
        }
    }
    return true;
}

static inline bool sample_write(const char *path, struct bitnet_error *err)
{
    struct bnp_writer *w;
    bool good = bnp_writer_open(&w, path, err) && sample_declare(w, err) &&
                sample_data(w, N_SAMPLE, err) && bnp_writer_finish(w, err);
    bnp_writer_close(w);
    return good;
}

/* The file's bytes in memory of exactly their size. */
static inline uint8_t *sample_load(const char *path, size_t *n_bytes)
{
    struct bitnet_error err = {0};
    struct map m;
    if (!map_open(&m, path, &err))
        return NULL;
    uint8_t *copy = malloc((size_t)m.n_bytes);
    if (copy)
        memcpy(copy, m.bytes, (size_t)m.n_bytes);
    *n_bytes = (size_t)m.n_bytes;
    map_close(&m);
    return copy;
}

/* Makes length and checksums of the header and of its sections agree with the bytes. */
static inline void sample_repair(uint8_t *b, size_t n_bytes)
{
    if (n_bytes < BNP_HEADER_BYTES)
        return;
    for (size_t at = 32; at <= 80; at += 24) {
        uint64_t off = load_u64(b + at), n = load_u64(b + at + 8);
        if (off <= n_bytes && n <= n_bytes - off)
            store_u64(b + at + 16, hash64(b + off, (size_t)n));
    }
    store_u64(b + 184, hash64(b, 184));
}

/* Reads all that an open file offers; what is wrong shows as a crash. */
static inline double sample_walk(const struct bnp *f)
{
    struct bitnet_error err = {0};
    double sum = 0, d;
    const char *key;
    uint64_t u;
    for (size_t i = 0; (key = bnp_meta_key(f, i)); i++) {
        const char *text = bnp_text(f, key);
        sum += text ? (double)strlen(text) : bnp_u64(f, key, &u) ? (double)u : 0;
        sum += bnp_f64(f, key, &d) ? d : 0;
    }
    for (size_t i = 0; i < f->n_tensors; i++) {
        const struct matrix *m = &f->tensors[i].matrix;
        sum += bnp_verify(f, i, &err) + (bnp_find(f, f->tensors[i].name) == &f->tensors[i]);
        float *row = malloc(m->n_cols * sizeof *row);
        if (row) {
            layout_row(row, m, 0);
            layout_row(row, m, m->n_rows - 1);
            sum += row[m->n_cols - 1] > 0;
        }
        free(row);
    }
    return sum;
}

#endif
