/* layout.h: how a matrix of low-bit weights lies in a file and in memory, and packing it so.
 *
 * One layout per encoding serves every CPU tier and is used straight from the mapped file.
 *
 * A matrix W[n_rows][n_cols] is cut into blocks of 16 rows (the last one padded with rows of
 * zeros). A block is a run of 64-byte lines over ascending columns; blocks follow one another:
 *
 *     block 0: line 0, line 1, ..., line L-1 | block 1: line 0, ... | ...
 *
 * L below. Columns are padded up to whole lines (grouped encodings: up to whole chunks) with the
 * code written as "pad". Activations are zero there, so padding adds nothing. Row r of a block is
 * r = 0..15; k counts columns from the line's first one. Fields are little-endian.
 *
 *   T2    ternary, 2 bits        16 rows x 16 k         byte 4r+i, bits 2f..2f+1 : k = 4f+i
 *         code = t+1 in {0,1,2}; 3 is invalid; pad = 1
 *   T1_6  ternary, 1.6 bits      16 rows x 20 k         byte 4r+i, trit j = 0..4 : k = 4j+i
 *         c = t0 + 3*t1 + 9*t2 + 27*t3 with t = weight+1.  c < 64: byte = c | t4<<6;
 *         c >= 64: byte = 192 | (t4*17 + c-64), at most 192+50; pad = trits of 1
 *   B1    binary, 1 bit          16 rows x 32 k         byte 16j+r, bit f : k = 4f+j  (j = 0..3)
 *         bit 1 = +1, bit 0 = -1; pad = 0 (counts as -1 times a zero activation)
 *   I8    int8, -127..127        16 rows x 4 k          byte 4r+i : k = i, value + 128; pad = 128
 *   F16   IEEE half              16 rows x 2 k          half 16i+r : k = i; pad = 0.0
 *
 * Grouped encodings carry one f16 scale d per row and group of G columns (32, 64, 128 or 256).
 * A chunk covers two groups: one line of scales, half 16g+r (g = 0, 1) for row r, then the lines
 * of 2G columns. T2 and B1 may be grouped (G any of the above) or not; these always are, G = 32:
 *
 *   I4    -8..7, 4.5 bits        16 rows x 8 k          byte 4r+i : low nibble k = i, high k = 4+i
 *         code = value + 8; pad = 8; chunk = 1 + 8 lines for 64 columns
 *   I6    -32..31, 6.5 bits      chunk = 1 line of scales, 8 lines like I4 with the low nibbles of
 *         code = value + 32, 4 lines like T2 with its high two bits; pad = 32
 *
 * A head of which mostly the few best rows are wanted keeps the halves of its bytes apart, so that
 * the upper halves of all rows can be read without the lower ones (src/head.h):
 *
 *   I8X2  int8, -127..127        value + 128 = 16 h + l. A block is
 *         1 line               float r : || l - 7.5 || of row r over its columns, rounded up
 *         1 line               float r : || value || likewise
 *         16 * ceil(n_cols / 128)  row after row, 1 row x 128 k : byte j : low nibble h of k = j,
 *                                                                 high nibble h of k = 64 + j
 *         16 * ceil(n_cols / 128)  the same with l;  pad = 0
 *
 *   F32   is not in lines: row-major [n_rows][n_cols], for vectors (norm gains) and small tables.
 *
 * Scales that are not in chunks follow the last line, f32, 64-byte aligned by construction:
 *     tensor [1] (padded to 64 bytes) | row [n_blocks*16] | column [n_cols] (padded to 64 bytes)
 */
#ifndef KERNELS_LAYOUT_H
#define KERNELS_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum encoding { /* the numbers stand in files */
    ENC_F32 = 1,
    ENC_F16 = 2,
    ENC_I8 = 3,
    ENC_T2 = 4,
    ENC_T1_6 = 5,
    ENC_B1 = 6,
    ENC_I6 = 7,
    ENC_I4 = 8,
    ENC_I8X2 = 9,
};

enum scale_kind { /* the numbers stand in files */
    SCALE_NONE = 0,
    SCALE_TENSOR = 1,
    SCALE_ROW = 2,
    SCALE_COLUMN = 3, /* multiplies the input, element by element */
    SCALE_GROUP = 4,  /* f16, inside the chunks */
};

enum { BLOCK_ROWS = 16, LINE_BYTES = 64 };

/* A packed matrix as the kernels see it; all pointers lead into the mapped file. */
struct matrix {
    const uint8_t *lines; /* [n_blocks][lines per block][64] */
    const float *scale;   /* by scale_kind; NULL for NONE and GROUP */
    size_t n_rows, n_cols;
    uint32_t group; /* G, 0 unless SCALE_GROUP */
    uint8_t encoding, scale_kind;
};

/* The scale of a whole row; 1 where there is none. */
static inline float scale_of_row(const struct matrix *m, size_t row)
{
    return m->scale_kind == SCALE_TENSOR ? m->scale[0]
           : m->scale_kind == SCALE_ROW  ? m->scale[row]
                                         : 1.0f;
}

/* "t2", "t1.6", "b1", "b1g128", "i8", "f16", ... into name[16]. */
void layout_name(char name[16], enum encoding e, uint32_t group);
/* The inverse; false when no encoding is called so. */
bool layout_parse(const char *name, enum encoding *e, uint32_t *group);
/* Is this combination one that the format knows? */
bool layout_known(uint32_t encoding, uint32_t scale_kind, uint32_t group);
size_t layout_blocks(size_t n_rows);
size_t layout_block_bytes(enum encoding e, uint32_t group, size_t n_cols);
/* Bytes of lines and scales together, or false when they pass 2^63. */
bool layout_bytes(enum encoding e, enum scale_kind s, uint32_t group, uint64_t n_rows,
                  uint64_t n_cols, uint64_t *lines_bytes, uint64_t *scale_bytes);

/* I8X2: lines of one row of one plane, and where row r of the upper (0) or lower (1) plane begins,
 * from the block of row 0 on; rows from 16 on are those of the blocks behind. */
static inline size_t i8x2_lines(size_t n_cols)
{
    return (n_cols + 127) / 128;
}
static inline size_t i8x2_offset(size_t n_cols, int plane, size_t r)
{
    size_t n = i8x2_lines(n_cols), block = r / BLOCK_ROWS * (2 + 2 * BLOCK_ROWS * n);
    return LINE_BYTES * (block + 2 + ((size_t)plane * BLOCK_ROWS + r % BLOCK_ROWS) * n);
}

/* And the first of a row's norms; the second lies a line behind. */
static inline size_t i8x2_norms(size_t n_cols, size_t r)
{
    size_t first = r / BLOCK_ROWS * BLOCK_ROWS;
    return i8x2_offset(n_cols, 0, first) - 2 * LINE_BYTES + r % BLOCK_ROWS * sizeof(float);
}

/* Column k of a row of one plane. */
static inline int i8x2_nibble(const uint8_t *row, size_t k)
{
    return row[k / 128 * LINE_BYTES + k % 64] >> k / 64 % 2 * 4 & 15;
}

/* What row r's norms must be, out of a block's planes. */
void i8x2_row_norms(float norms[2], const uint8_t *block, size_t n_cols, size_t r);

/* Packs one block. values[16][n_cols] are the integers named above (t, +-1, int8, ...); for F16
 * they are halves (const uint16_t *). scales[16][n_groups] are halves, n_groups =
 * ceil(n_cols / G), NULL unless grouped. Padding is written here. */
void layout_pack(uint8_t *block, enum encoding e, uint32_t group, const void *values,
                 const uint16_t *scales, size_t n_cols);
/* The same block of B1 from rows of bits: bit k of row r is bit k % 8 of byte r * row_bytes + k / 8
 * and 1 for +1. Many times faster; bits past n_cols do not count. */
void layout_pack_bits(uint8_t *block, uint32_t group, const uint8_t *bits, size_t row_bytes,
                      const uint16_t *scales, size_t n_cols);
/* The inverse of layout_pack; false when a code has no meaning (T2 code 3, T1_6 above 242, a norm
 * of I8X2 that is not its row's). */
bool layout_unpack(void *values, uint16_t *scales, const uint8_t *block, enum encoding e,
                   uint32_t group, size_t n_cols);
/* The first block with such a code or norm, or layout_blocks(n_rows). Reads all lines of T2, T1_6
 * and I8X2 once, fast. */
size_t layout_bad_block(const struct matrix *m);
/* Row `row` as floats, scales applied (not SCALE_COLUMN): embedding lookup. out[n_cols] */
void layout_row(float *out, const struct matrix *m, size_t row);

#endif
