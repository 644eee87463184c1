/* layout.c: packs and unpacks the lines that layout.h describes. This is the specification of the
 * layouts in code; the tiers read the same bytes with wider instructions.
 *
 * The idea that all 4-columns-per-dword layouts share: a dword of a packed line holds columns
 * 4f..4f+3 in bit field f of its bytes 0..3. So packing a row takes the dwords of four codes each,
 * shifts dword f into its field and ors them together; unpacking shifts back and masks. */
#include "kernels/layout.h"

#include <math.h>
#include <string.h>

#include "kernels/half.h"

enum { MAX_SPAN = 32 }; /* most columns that one call of put_row writes */

/* How an encoding cuts a row. A span is the columns that one line holds; for I6, whose bits are
 * divided between two kinds of line, 16 columns: two lines of low nibbles, one of high bits. */
struct cut {
    size_t span_cols;
    size_t spans_per_chunk; /* 0: ungrouped, lines follow one another */
    size_t chunk_bytes;
    int bias; /* code = value + bias; also the code that pads (T1_6: the trit) */
};

static struct cut cut_of(enum encoding e, uint32_t group)
{
    struct cut c = {0, 0, 0, 0};
    switch (e) {
    case ENC_T2: c.span_cols = 16, c.bias = 1; break;
    case ENC_T1_6: c.span_cols = 20, c.bias = 1; break;
    case ENC_B1: c.span_cols = 32; break;
    case ENC_I8: c.span_cols = 4, c.bias = 128; break;
    case ENC_I8X2: break;
    case ENC_I6: c.span_cols = 16, c.bias = 32; break;
    case ENC_I4: c.span_cols = 8, c.bias = 8; break;
    case ENC_F16: c.span_cols = 2; break;
    case ENC_F32: c.span_cols = 1; break;
    }
    if (group && c.span_cols) {
        size_t lines_per_span = e == ENC_I6 ? 3 : 1;
        c.spans_per_chunk = 2 * (size_t)group / c.span_cols;
        c.chunk_bytes = LINE_BYTES * (1 + c.spans_per_chunk * lines_per_span);
    }
    return c;
}

/* Where span s begins inside its block; I6: its first line of low nibbles. */
static size_t span_offset(const struct cut *c, enum encoding e, size_t s)
{
    if (!c->spans_per_chunk)
        return s * LINE_BYTES;
    size_t in_chunk = s % c->spans_per_chunk * LINE_BYTES * (e == ENC_I6 ? 2 : 1);
    return s / c->spans_per_chunk * c->chunk_bytes + LINE_BYTES + in_chunk;
}

/* I6: from a span's low nibbles to its line of high bits, the chunk's last four lines. */
static size_t high_offset(const struct cut *c, size_t s)
{
    size_t in_chunk = s % c->spans_per_chunk;
    return LINE_BYTES * (2 * c->spans_per_chunk - 2 * in_chunk + in_chunk);
}

/* Half r of group g's scales inside its block. */
static size_t scale_offset(const struct cut *c, size_t g, size_t r)
{
    return g / 2 * c->chunk_bytes + 2 * (BLOCK_ROWS * (g % 2) + r);
}

static uint32_t dword(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

static void set_dword(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, 4);
}

/* Five trits 0..2 in a byte. Four of them make c = 0..80; the 64 common values leave the top two
 * bits to the fifth trit, and the top bits 3, which no trit is, mark the 17 others. */
static uint8_t pack_trits(uint32_t c, uint32_t t4)
{
    return (uint8_t)(c < 64 ? c | t4 << 6 : 192 | (t4 * 17 + c - 64));
}

static bool unpack_trits(uint8_t byte, uint32_t *c, uint32_t *t4)
{
    uint32_t low = byte & 63;
    if (byte < 192) {
        *c = low, *t4 = byte >> 6;
        return true;
    }
    *c = 64 + low % 17, *t4 = low / 17;
    return low <= 50;
}

/* Writes the codes of row r's span into its line. Bytes of other rows stay. */
static void put_row(uint8_t *line, size_t high, enum encoding e, size_t r, const uint8_t *code)
{
    uint32_t w = 0;
    switch (e) {
    case ENC_T2:
        for (size_t f = 0; f < 4; f++)
            w |= dword(code + 4 * f) << 2 * f;
        set_dword(line + 4 * r, w);
        break;
    case ENC_T1_6: /* each byte of the sum is at most 80: no carry between bytes */
        w = dword(code) + 3 * dword(code + 4) + 9 * dword(code + 8) + 27 * dword(code + 12);
        for (size_t i = 0; i < 4; i++)
            line[4 * r + i] = pack_trits(w >> 8 * i & 255, code[16 + i]);
        break;
    case ENC_B1:
        for (size_t f = 0; f < 8; f++)
            w |= dword(code + 4 * f) << f;
        for (size_t j = 0; j < 4; j++)
            line[BLOCK_ROWS * j + r] = (uint8_t)(w >> 8 * j);
        break;
    case ENC_I8:
        set_dword(line + 4 * r, dword(code));
        break;
    case ENC_I4:
        set_dword(line + 4 * r, dword(code) | dword(code + 4) << 4);
        break;
    case ENC_I6:
        for (size_t h = 0; h < 2; h++) {
            uint32_t a = dword(code + 8 * h), b = dword(code + 8 * h + 4);
            set_dword(line + LINE_BYTES * h + 4 * r, (a & 0x0f0f0f0f) | (b & 0x0f0f0f0f) << 4);
            w |= (a >> 4 & 0x03030303) << 4 * h | (b >> 4 & 0x03030303) << (4 * h + 2);
        }
        set_dword(line + high + 4 * r, w);
        break;
    case ENC_I8X2:
    case ENC_F16:
    case ENC_F32:
        break;
    }
}

/* The inverse; false when a code has no meaning. */
static bool get_row(uint8_t *code, const uint8_t *line, size_t high, enum encoding e, size_t r)
{
    uint32_t w = dword(line + 4 * r);
    bool good = true;
    switch (e) {
    case ENC_T2:
        for (size_t f = 0; f < 4; f++)
            set_dword(code + 4 * f, w >> 2 * f & 0x03030303);
        return (w & w >> 1 & 0x55555555) == 0;
    case ENC_T1_6:
        for (size_t i = 0; i < 4; i++) {
            uint32_t c, t4;
            good &= unpack_trits(line[4 * r + i], &c, &t4);
            code[i] = (uint8_t)(c % 3), code[4 + i] = (uint8_t)(c / 3 % 3);
            code[8 + i] = (uint8_t)(c / 9 % 3), code[12 + i] = (uint8_t)(c / 27);
            code[16 + i] = (uint8_t)t4;
        }
        return good;
    case ENC_B1:
        w = 0;
        for (size_t j = 0; j < 4; j++)
            w |= (uint32_t)line[BLOCK_ROWS * j + r] << 8 * j;
        for (size_t f = 0; f < 8; f++)
            set_dword(code + 4 * f, w >> f & 0x01010101);
        return true;
    case ENC_I8:
        set_dword(code, w);
        return true;
    case ENC_I4:
        set_dword(code, w & 0x0f0f0f0f);
        set_dword(code + 4, w >> 4 & 0x0f0f0f0f);
        return true;
    case ENC_I6:
        for (size_t f = 0; f < 4; f++) {
            uint32_t low = dword(line + LINE_BYTES * (f / 2) + 4 * r) >> 4 * (f % 2);
            uint32_t top = dword(line + high + 4 * r) >> 2 * f;
            set_dword(code + 4 * f, (low & 0x0f0f0f0f) | (top & 0x03030303) << 4);
        }
        return true;
    case ENC_I8X2:
    case ENC_F16:
    case ENC_F32:
        break;
    }
    return good;
}

/* Eight values plus one. Adding to each byte must not carry into the next, so the top bits are
 * added without. */
static uint64_t trits(const int8_t *v)
{
    const uint64_t ones = 0x0101010101010101, tops = ones << 7;
    uint64_t x;
    memcpy(&x, v, 8);
    return ((x & ~tops) + ones) ^ (x & tops);
}

/* A whole span of the most used encodings straight from the values, four or eight at a time: the
 * same bytes as put_row gives, several times faster. */
static bool put_whole(uint8_t *line, enum encoding e, size_t r, const int8_t *v)
{
    const uint32_t ones = 0x01010101;
    uint32_t w = 0;
    if (e == ENC_I8) {
        set_dword(line + 4 * r, dword((const uint8_t *)v) ^ 0x80808080);
        return true;
    }
    if (e == ENC_B1) {
        for (size_t f = 0; f < 8; f++) {
            uint32_t x = dword((const uint8_t *)v + 4 * f);
            w |= (x & ~(x >> 7) & ones) << f;
        }
        for (size_t j = 0; j < 4; j++)
            line[BLOCK_ROWS * j + r] = (uint8_t)(w >> 8 * j);
        return true;
    }
    if (e != ENC_T2 && e != ENC_T1_6)
        return false;
    uint64_t low = trits(v), high = trits(v + 8); /* fields 0 and 1, 2 and 3 */
    uint32_t code[4] = {(uint32_t)low, (uint32_t)(low >> 32), (uint32_t)high,
                        (uint32_t)(high >> 32)};
    if (e == ENC_T2) {
        set_dword(line + 4 * r, code[0] | code[1] << 2 | code[2] << 4 | code[3] << 6);
        return true;
    }
    uint32_t last = (uint32_t)(trits(v + 12) >> 32);
    uint32_t c = code[0] + 3 * code[1] + 9 * code[2] + 27 * code[3]; /* bytes of at most 80 */
    uint32_t rare = (c >> 6 & ones) * 255;                           /* where c >= 64 */
    uint32_t usual = c | last << 6;
    uint32_t other = 0xc0c0c0c0 | (last * 17 + (c & 0x3f3f3f3f));
    set_dword(line + 4 * r, (usual & ~rare) | (other & rare));
    return true;
}

static size_t n_spans(const struct cut *c, size_t n_cols)
{
    size_t n = (n_cols + c->span_cols - 1) / c->span_cols, per = c->spans_per_chunk;
    return per ? (n + per - 1) / per * per : n;
}

void layout_name(char name[16], enum encoding e, uint32_t group)
{
    static const char *const names[] = {"?",  "f32", "f16", "i8", "t2",
                                        "t1.6", "b1", "i6", "i4", "i8x2"};
    size_t n = 0;
    for (const char *s = names[e > ENC_I8X2 ? 0 : e]; *s; s++)
        name[n++] = *s;
    if (group && (e == ENC_T2 || e == ENC_B1)) { /* I6 and I4 have one group size: not named */
        name[n++] = 'g';
        for (uint32_t p = 100; p; p /= 10)
            if (group >= p)
                name[n++] = (char)('0' + group / p % 10);
    }
    name[n] = 0;
}

bool layout_parse(const char *name, enum encoding *e, uint32_t *group)
{
    static const uint32_t groups[] = {0, 32, 64, 128, 256};
    char known[16];
    for (uint32_t n = ENC_F32; n <= ENC_I8X2; n++) {
        for (size_t g = 0; g < sizeof groups / sizeof *groups; g++) {
            uint32_t scale_kind = groups[g] ? SCALE_GROUP : SCALE_NONE;
            layout_name(known, (enum encoding)n, groups[g]);
            if (!layout_known(n, scale_kind, groups[g]) || strcmp(name, known) != 0)
                continue;
            *e = (enum encoding)n, *group = groups[g];
            return true;
        }
    }
    return false;
}

bool layout_known(uint32_t encoding, uint32_t scale_kind, uint32_t group)
{
    bool good_group = group == 32 || group == 64 || group == 128 || group == 256;
    if (scale_kind > SCALE_GROUP || (scale_kind == SCALE_GROUP) != (group != 0))
        return false;
    switch (encoding) {
    case ENC_F32:
        return scale_kind == SCALE_NONE;
    case ENC_F16:
    case ENC_I8:
    case ENC_I8X2:
    case ENC_T1_6:
        return group == 0;
    case ENC_T2:
    case ENC_B1:
        return group == 0 || good_group;
    case ENC_I6:
    case ENC_I4:
        return group == 32;
    default:
        return false;
    }
}

size_t layout_blocks(size_t n_rows)
{
    return n_rows / BLOCK_ROWS + (n_rows % BLOCK_ROWS != 0);
}

size_t layout_block_bytes(enum encoding e, uint32_t group, size_t n_cols)
{
    struct cut c = cut_of(e, group);
    if (e == ENC_I8X2)
        return LINE_BYTES * (2 + 2 * BLOCK_ROWS * i8x2_lines(n_cols));
    if (!c.span_cols)
        return 0;
    size_t spans = n_spans(&c, n_cols);
    return group ? spans / c.spans_per_chunk * c.chunk_bytes : spans * LINE_BYTES;
}

bool layout_bytes(enum encoding e, enum scale_kind s, uint32_t group, uint64_t n_rows,
                  uint64_t n_cols, uint64_t *lines_bytes, uint64_t *scale_bytes)
{
    /* Below these no sum or product here passes 2^63: a block takes at most 64 bytes a column
     * and 17 * 64 bytes of padding, a block holds 16 rows. */
    const uint64_t most = UINT64_C(1) << 62;
    if (n_rows > most / 4 || n_cols > most / 64 - 4096)
        return false;
    uint64_t block = layout_block_bytes(e, group, n_cols);
    uint64_t n = e == ENC_F32 ? n_rows : layout_blocks(n_rows);
    if (e == ENC_F32)
        block /= BLOCK_ROWS;
    if (block && n > most / block)
        return false;
    *lines_bytes = n * block;
    *scale_bytes = s == SCALE_TENSOR ? LINE_BYTES
                   : s == SCALE_ROW  ? layout_blocks(n_rows) * BLOCK_ROWS * sizeof(float)
                   : s == SCALE_COLUMN
                       ? (n_cols * sizeof(float) + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES
                       : 0;
    return true;
}

static void pack_halves(uint8_t *block, const uint16_t *values, size_t n_cols)
{
    for (size_t k = 0; k < (n_cols + 1) / 2 * 2; k++)
        for (size_t r = 0; r < BLOCK_ROWS; r++) {
            uint16_t half = k < n_cols ? values[r * n_cols + k] : 0;
            memcpy(block + 2 * (BLOCK_ROWS * k + r), &half, 2);
        }
}

static void pack_scales(uint8_t *block, const struct cut *c, const uint16_t *scales,
                        size_t n_groups)
{
    for (size_t g = 0; g < (n_groups + 1) / 2 * 2; g++)
        for (size_t r = 0; r < BLOCK_ROWS; r++) {
            uint16_t half = g < n_groups ? scales[r * n_groups + g] : 0;
            memcpy(block + scale_offset(c, g, r), &half, 2);
        }
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

static int byte_at(const uint8_t *block, size_t n_cols, size_t r, size_t k)
{
    return 16 * i8x2_nibble(block + i8x2_offset(n_cols, 0, r), k) +
           i8x2_nibble(block + i8x2_offset(n_cols, 1, r), k) - 128;
}

static void pack_planes(uint8_t *block, const int8_t *values, size_t n_cols)
{
    memset(block, 0, layout_block_bytes(ENC_I8X2, 0, n_cols));
    for (size_t r = 0; r < BLOCK_ROWS; r++) {
        uint8_t *high = block + i8x2_offset(n_cols, 0, r), *low = block + i8x2_offset(n_cols, 1, r);
        for (size_t k = 0; k < n_cols; k++) {
            unsigned u = (unsigned)(values[r * n_cols + k] + 128), shift = k / 64 % 2 * 4;
            size_t at = k / 128 * LINE_BYTES + k % 64;
            high[at] |= (uint8_t)(u >> 4 << shift);
            low[at] |= (uint8_t)((u & 15) << shift);
        }
        float norms[2];
        i8x2_row_norms(norms, block, n_cols, r);
        memcpy(block + 4 * r, &norms[0], sizeof(float));
        memcpy(block + LINE_BYTES + 4 * r, &norms[1], sizeof(float));
    }
}

static bool unpack_planes(int8_t *values, const uint8_t *block, size_t n_cols)
{
    bool good = true;
    for (size_t r = 0; r < BLOCK_ROWS; r++) {
        float norms[2];
        i8x2_row_norms(norms, block, n_cols, r);
        good &= memcmp(block + 4 * r, &norms[0], sizeof(float)) == 0 &&
                memcmp(block + LINE_BYTES + 4 * r, &norms[1], sizeof(float)) == 0;
        for (size_t k = 0; k < n_cols; k++) {
            values[r * n_cols + k] = (int8_t)byte_at(block, n_cols, r, k);
        }
    }
    return good;
}

void layout_pack(uint8_t *block, enum encoding e, uint32_t group, const void *values,
                 const uint16_t *scales, size_t n_cols)
{
    struct cut c = cut_of(e, group);
    if (e == ENC_F32)
        memcpy(block, values, BLOCK_ROWS * n_cols * sizeof(float));
    if (e == ENC_F16)
        pack_halves(block, values, n_cols);
    if (e == ENC_I8X2)
        pack_planes(block, values, n_cols);
    if (e == ENC_F32 || e == ENC_F16 || e == ENC_I8X2)
        return;
    size_t spans = n_spans(&c, n_cols);
    for (size_t s = 0; s < spans; s++) {
        uint8_t *line = block + span_offset(&c, e, s);
        size_t high = e == ENC_I6 ? high_offset(&c, s) : 0;
        size_t k0 = s * c.span_cols;
        size_t n = k0 >= n_cols ? 0 : n_cols - k0 < c.span_cols ? n_cols - k0 : c.span_cols;
        uint8_t code[MAX_SPAN];
        memset(code, c.bias, sizeof code);
        for (size_t r = 0; r < BLOCK_ROWS; r++) {
            const int8_t *v = (const int8_t *)values + r * n_cols + k0;
            if (n == c.span_cols && put_whole(line, e, r, v))
                continue;
            for (size_t k = 0; k < n; k++)
                code[k] = e == ENC_B1 ? v[k] > 0 : (uint8_t)(v[k] + c.bias);
            put_row(line, high, e, r, code);
        }
    }
    if (group)
        pack_scales(block, &c, scales, (n_cols + group - 1) / group);
}

/* Exchanges the bits at positions of mask with those `distance` above them. */
static uint64_t exchange(uint64_t x, uint64_t mask, int distance)
{
    uint64_t t = (x >> distance ^ x) & mask;
    return x ^ t ^ t << distance;
}

/* Bit k = 4f+j of each 32 goes to bit f of byte j: the position's two low binary digits become
 * its high ones. Four exchanges of two digits each do that to two words at once. */
static uint64_t spread_bits(uint64_t x)
{
    x = exchange(x, 0x0000cccc0000cccc, 14);
    x = exchange(x, 0x00aa00aa00aa00aa, 7);
    x = exchange(x, 0x0c0c0c0c0c0c0c0c, 2);
    return exchange(x, 0x2222222222222222, 1);
}

void layout_pack_bits(uint8_t *block, uint32_t group, const uint8_t *bits, size_t row_bytes,
                      const uint16_t *scales, size_t n_cols)
{
    struct cut c = cut_of(ENC_B1, group);
    size_t spans = n_spans(&c, n_cols);
    for (size_t s = 0; s < spans; s += 2) { /* two lines: grouped ones come in pairs */
        size_t k0 = s * c.span_cols, n = k0 < n_cols ? n_cols - k0 : 0;
        uint8_t *first = block + span_offset(&c, ENC_B1, s);
        uint8_t *second = s + 1 < spans ? block + span_offset(&c, ENC_B1, s + 1) : NULL;
        for (size_t r = 0; r < BLOCK_ROWS; r++) {
            uint64_t x = 0;
            if (n)
                memcpy(&x, bits + r * row_bytes + k0 / 8, n < 64 ? (n + 7) / 8 : 8);
            x = spread_bits(n < 64 ? x & ((UINT64_C(1) << n) - 1) : x);
            for (size_t j = 0; j < 4; j++)
                first[BLOCK_ROWS * j + r] = (uint8_t)(x >> 8 * j);
            for (size_t j = 0; second && j < 4; j++)
                second[BLOCK_ROWS * j + r] = (uint8_t)(x >> (32 + 8 * j));
        }
    }
    if (group)
        pack_scales(block, &c, scales, (n_cols + group - 1) / group);
}

static void unpack_halves(uint16_t *values, const uint8_t *block, size_t n_cols)
{
    for (size_t r = 0; r < BLOCK_ROWS; r++)
        for (size_t k = 0; k < n_cols; k++)
            memcpy(&values[r * n_cols + k], block + 2 * (BLOCK_ROWS * k + r), 2);
}

/* Row r of a block of integers; padding codes are checked too. */
static bool unpack_row(int8_t *v, const uint8_t *block, enum encoding e, const struct cut *c,
                       size_t r, size_t n_cols)
{
    size_t spans = n_spans(c, n_cols);
    bool good = true;
    for (size_t s = 0; s < spans; s++) {
        size_t k0 = s * c->span_cols;
        size_t n = k0 >= n_cols ? 0 : n_cols - k0 < c->span_cols ? n_cols - k0 : c->span_cols;
        uint8_t code[MAX_SPAN];
        good &= get_row(code, block + span_offset(c, e, s), e == ENC_I6 ? high_offset(c, s) : 0,
                        e, r);
        for (size_t k = 0; k < n; k++)
            v[k0 + k] = (int8_t)(e == ENC_B1 ? 2 * code[k] - 1 : code[k] - c->bias);
    }
    return good;
}

bool layout_unpack(void *values, uint16_t *scales, const uint8_t *block, enum encoding e,
                   uint32_t group, size_t n_cols)
{
    struct cut c = cut_of(e, group);
    bool good = true;
    if (e == ENC_F32)
        memcpy(values, block, BLOCK_ROWS * n_cols * sizeof(float));
    else if (e == ENC_F16)
        unpack_halves(values, block, n_cols);
    else if (e == ENC_I8X2)
        good = unpack_planes(values, block, n_cols);
    else
        for (size_t r = 0; r < BLOCK_ROWS; r++)
            good &= unpack_row((int8_t *)values + r * n_cols, block, e, &c, r, n_cols);
    size_t n_groups = group ? (n_cols + group - 1) / group : 0;
    for (size_t g = 0; g < n_groups; g++)
        for (size_t r = 0; r < BLOCK_ROWS; r++)
            memcpy(&scales[r * n_groups + g], block + scale_offset(&c, g, r), 2);
    return good;
}

/* The weight's own scale at (row, k): of its group, row or tensor, else 1. */
static float scale_at(const struct matrix *m, const uint8_t *block, const struct cut *c,
                      size_t row, size_t k)
{
    uint16_t half;
    if (m->scale_kind != SCALE_GROUP)
        return scale_of_row(m, row);
    memcpy(&half, block + scale_offset(c, k / m->group, row % BLOCK_ROWS), 2);
    return half_to_float(half);
}

void layout_row(float *out, const struct matrix *m, size_t row)
{
    enum encoding e = (enum encoding)m->encoding;
    struct cut c = cut_of(e, m->group);
    size_t n = m->n_cols, r = row % BLOCK_ROWS;
    if (e == ENC_F32) {
        memcpy(out, m->lines + row * n * sizeof(float), n * sizeof(float));
        return;
    }
    const uint8_t *block = m->lines + row / BLOCK_ROWS * layout_block_bytes(e, m->group, n);
    for (size_t k = 0; e == ENC_I8X2 && k < n; k++)
        out[k] = (float)byte_at(block, n, r, k) * scale_at(m, block, &c, row, k);
    if (e == ENC_I8X2)
        return;
    for (size_t k0 = 0, s = 0; k0 < n; k0 += c.span_cols, s++) {
        const uint8_t *line = block + span_offset(&c, e, s);
        size_t n_here = n - k0 < c.span_cols ? n - k0 : c.span_cols;
        float scale = scale_at(m, block, &c, row, k0); /* a span never crosses a group */
        uint8_t code[MAX_SPAN];
        uint16_t half;
        get_row(code, line, e == ENC_I6 ? high_offset(&c, s) : 0, e, r);
        for (size_t k = 0; k < n_here; k++) {
            if (e == ENC_F16) {
                memcpy(&half, line + 2 * (BLOCK_ROWS * k + r), 2);
                out[k0 + k] = half_to_float(half) * scale;
            } else {
                int value = e == ENC_B1 ? 2 * code[k] - 1 : code[k] - c.bias;
                out[k0 + k] = (float)value * scale;
            }
        }
    }
}
