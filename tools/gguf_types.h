/* gguf_types.h: what the bytes of GGUF tensors mean: the low-bit types of several projects, and
 * those that embeddings, heads and norms come in. */
#ifndef TOOLS_GGUF_TYPES_H
#define TOOLS_GGUF_TYPES_H

#include "src/base.h"

/* Rows of n_cols items stand one after the other, each as prefix_bytes (a scale for the row) and
 * n_cols / block_items blocks. */
struct gguf_type {
    const char *name;
    uint32_t id;
    uint16_t block_items, block_bytes, prefix_bytes;
    uint16_t code_max; /* 0: decodes to floats; else to codes of at most this magnitude */
    uint32_t group;    /* codes: columns per scale, 0: one for the row */
    /* One block as codes and their scale (untouched where the row has it), or n as floats. */
    void (*codes)(int8_t *to, float *scale, const uint8_t *block);
    void (*floats)(float *to, const uint8_t *blocks, size_t n_blocks);
};

enum gguf_id { /* those that need a second look */
    GGUF_I2_S = 36, GGUF_Q1_0 = 41, GGUF_TL1 = 38, GGUF_TL2 = 39, GGUF_Q2_0 = 42, GGUF_IQ1_BN = 134,
    GGUF_IQ2_BN = 135, GGUF_PQ2_0 = 142, GGUF_PTQ1_0 = 143,
};

/* The type, or NULL. Q2_0 exists twice under one id: group is 64 or 128 and chooses. I2_S is not
 * here: it has no rows. */
const struct gguf_type *gguf_type(uint32_t id, uint32_t group);
/* "Q5_K", or "type 77": for messages; also of types that cannot be read. */
void gguf_type_name(char name[32], uint32_t id);
/* Bytes of one row; 0 when n_cols is no multiple of the block. */
uint64_t gguf_row_bytes(const struct gguf_type *t, uint64_t n_cols);
/* Rows decoded one after the other: codes and scales, or values. */
void gguf_decode(const struct gguf_type *t, const uint8_t *raw, size_t n_rows, size_t n_cols,
                 int8_t *codes, float *scales, float *values);

/* Rows of Q1_0 as bits and scales. */
void gguf_decode_bits(const uint8_t *raw, size_t n_rows, size_t n_cols, uint8_t *bits,
                      float *scales);

/* I2_S: codes 0..2 for -1..1 over the flat index of the whole tensor, then its f32 scale.
 *
 *     I2S_128    block of 128 in 32 bytes: item i is in byte i % 32, bits 6 - 2 * (i / 32)
 *     I2S_64     block of 64 in 16 bytes:  item i is in byte i % 16, bits 6 - 2 * (i / 16)
 *     I2S_4ROW   four rows in n_cols bytes: byte = column, bits 6 - 2 * (row % 4) */
enum i2s_layout { I2S_128, I2S_64, I2S_4ROW };
/* Which bytes hold rows [row, row + n_rows). */
void i2s_range(enum i2s_layout l, uint64_t row, uint64_t n_rows, uint64_t n_cols, uint64_t *off,
               uint64_t *n_bytes);
/* Decodes these rows from those bytes; false: code 3 is among them. */
bool i2s_decode(enum i2s_layout l, const uint8_t *raw, uint64_t row, size_t n_rows, size_t n_cols,
                int8_t *codes);

#endif
