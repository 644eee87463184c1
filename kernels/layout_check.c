/* layout_check.c: whether packed lines hold only what layout.h gives a meaning. Nothing is
 * unpacked: words and lines are looked at as they lie, in about the time of a checksum. */
#include <string.h>

#include "kernels/layout.h"

/* Not zero where a byte of the line holds a T2 code 3. */
static uint64_t bad_pairs(const uint8_t *line)
{
    uint64_t bad = 0;
    for (size_t i = 0; i < LINE_BYTES; i += 8) {
        uint64_t w;
        memcpy(&w, line + i, 8);
        bad |= w & w >> 1 & 0x5555555555555555;
    }
    return bad;
}

/* Not zero where a byte of the line is above 242: has its top bit, and more than 114 below. */
static uint64_t bad_trits(const uint8_t *line)
{
    const uint64_t ones = 0x0101010101010101, tops = ones << 7;
    uint64_t bad = 0;
    for (size_t i = 0; i < LINE_BYTES; i += 8) {
        uint64_t w;
        memcpy(&w, line + i, 8);
        bad |= w & ((w & ~tops) + (127 - 114) * ones) & tops;
    }
    return bad;
}

/* T2 in chunks has lines of scales between, of any bits. */
static bool good_codes(const uint8_t *block, enum encoding e, uint32_t group, size_t n_lines)
{
    size_t chunk_lines = group ? 1 + 2 * (size_t)group / 16 : n_lines, skip = group ? 1 : 0;
    uint64_t bad = 0;
    for (size_t begin = 0; begin < n_lines; begin += chunk_lines) {
        const uint8_t *line = block + (begin + skip) * LINE_BYTES;
        for (size_t i = skip; i < chunk_lines; i++, line += LINE_BYTES)
            bad |= e == ENC_T2 ? bad_pairs(line) : bad_trits(line);
    }
    return bad == 0;
}

static bool good_norms(const uint8_t *block, size_t n_cols)
{
    for (size_t r = 0; r < BLOCK_ROWS; r++) {
        float norms[2];
        const uint8_t *first = block + i8x2_norms(n_cols, r);
        i8x2_row_norms(norms, block, n_cols, r);
        if (memcmp(first, &norms[0], sizeof(float)) != 0 ||
            memcmp(first + LINE_BYTES, &norms[1], sizeof(float)) != 0)
            return false;
    }
    return true;
}

size_t layout_bad_block(const struct matrix *m)
{
    enum encoding e = (enum encoding)m->encoding;
    size_t n_blocks = layout_blocks(m->n_rows);
    if (e != ENC_T2 && e != ENC_T1_6 && e != ENC_I8X2)
        return n_blocks;
    size_t block_bytes = layout_block_bytes(e, m->group, m->n_cols);
    for (size_t b = 0; b < n_blocks; b++) {
        const uint8_t *block = m->lines + b * block_bytes;
        if (e == ENC_I8X2 ? !good_norms(block, m->n_cols)
                          : !good_codes(block, e, m->group, block_bytes / LINE_BYTES))
            return b;
    }
    return n_blocks;
}
