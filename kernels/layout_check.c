/* layout_check.c: whether packed lines hold only what layout.h gives a meaning. Nothing is
 * unpacked: words and lines are looked at as they lie, in about the time of a checksum. */
#include <math.h>
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

/* Adds the squares of a row's next 128 columns, at most 2^14 each: twice its lower halves less 15,
 * and its values. */
static void add_squares(uint64_t sums[2], const uint8_t *high, const uint8_t *low)
{
    int32_t lower = 0, whole = 0;
    for (size_t j = 0; j < LINE_BYTES; j++) {
        int l0 = low[j] & 15, l1 = low[j] >> 4;
        int v0 = 16 * (high[j] & 15) + l0 - 128, v1 = (high[j] & 0xf0) + l1 - 128;
        l0 = 2 * l0 - 15, l1 = 2 * l1 - 15;
        lower += l0 * l0 + l1 * l1;
        whole += v0 * v0 + v1 * v1;
    }
    sums[0] += (uint64_t)lower;
    sums[1] += (uint64_t)whole;
}

/* Sums of squares are exact, for 2^14 * 2^32 columns stay far below 2^64; as a float, its root
 * taken, such a sum is off by less than the step to the next float. */
void i8x2_row_norms(float norms[2], const uint8_t *block, size_t n_cols, size_t r)
{
    const uint8_t *high = block + i8x2_offset(n_cols, 0, r);
    const uint8_t *low = block + i8x2_offset(n_cols, 1, r);
    uint64_t sums[2] = {0, 0};
    size_t n_whole = n_cols / 128;
    for (size_t i = 0; i < n_whole; i++)
        add_squares(sums, high + i * LINE_BYTES, low + i * LINE_BYTES);
    for (size_t k = 128 * n_whole; k < n_cols; k++) {
        int l = i8x2_nibble(low, k), v = 16 * i8x2_nibble(high, k) + l - 128;
        sums[0] += (uint64_t)((2 * l - 15) * (2 * l - 15));
        sums[1] += (uint64_t)(v * v);
    }
    norms[0] = nextafterf(sqrtf((float)sums[0]) / 2, INFINITY);
    norms[1] = nextafterf(sqrtf((float)sums[1]), INFINITY);
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
