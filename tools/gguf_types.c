/* gguf_types.c: one small function for each type. A block's picture stands above its function;
 * digits of base 3 are kept as fractions: byte = ceil(q * 256 / 243), so that multiplying by 3^n
 * modulo 256 and taking the top trit gives digit n without a division. */
#include "tools/gguf_types.h"

#include <stdio.h>
#include <string.h>

#include "kernels/unroll.h"
#include "tools/quantize.h"

/* What a byte says, for types that put neighbours into one: entry b is f(b), for all 256. */
#define FOUR(f, b) f(b), f(b + 1), f(b + 2), f(b + 3)
#define SIXTEEN(f, b) FOUR(f, b), FOUR(f, b + 4), FOUR(f, b + 8), FOUR(f, b + 12)
#define SIXTY_FOUR(f, b) \
    SIXTEEN(f, b), SIXTEEN(f, b + 16), SIXTEEN(f, b + 32), SIXTEEN(f, b + 48)
#define OF_ALL_BYTES(f) \
    {SIXTY_FOUR(f, 0), SIXTY_FOUR(f, 64), SIXTY_FOUR(f, 128), SIXTY_FOUR(f, 192)}

/* Four fields of two bits, lowest first, as -1..2. */
#define FIELDS(b) {((b) & 3) - 1, ((b) >> 2 & 3) - 1, ((b) >> 4 & 3) - 1, ((b) >> 6) - 1}
static const int8_t FIELDS_OF[256][4] = OF_ALL_BYTES(FIELDS);

/* Five digits, first to last, as -1..1, and three zeros. */
#define DIGIT(b, power) (((b) * (power) % 256 * 3 >> 8) - 1)
#define DIGITS(b) {DIGIT(b, 81), DIGIT(b, 27), DIGIT(b, 9), DIGIT(b, 3), DIGIT(b, 1)}
static const int8_t DIGITS_OF[256][8] = OF_ALL_BYTES(DIGITS);

/* Field `shift` of n bytes as codes -1..2; not 0 when one of them was 3, which is 2. Eight bytes at a
 * time: bits that a shift brings from the neighbour are masked away, and subtracting one from a
 * byte with its top bit set never borrows. */
static uint64_t quarter(int8_t *to, const uint8_t *bytes, size_t n, unsigned shift)
{
    const uint64_t threes = 0x0303030303030303, ones = 0x0101010101010101, tops = ones << 7;
    uint64_t worst = 0, word;
    size_t m = 0;
    for (; m + 8 <= n; m += 8) {
        memcpy(&word, bytes + m, 8);
        word = word >> shift & threes;
        worst |= word & word >> 1 & ones;
        word = ((word | tops) - ones) ^ tops;
        memcpy(to + m, &word, 8);
    }
    for (; m < n; m++) {
        unsigned code = bytes[m] >> shift & 3;
        to[m] = (int8_t)((int)code - 1);
        worst |= code & code >> 1;
    }
    return worst;
}

/* Digits of up to eight bytes, digit d of byte i at to[d * stride + i], as -1..1. A byte times 3 has
 * its digit above the other digits' fraction, which is the next byte: in lanes of 16 bits. */
INLINE void digits_of(int8_t *to, const uint8_t *bytes, size_t n, size_t stride, int n_digits)
{
    const uint64_t low = 0x00ff00ff00ff00ff, ones = 0x0101010101010101, tops = ones << 7;
    uint64_t word = 0;
    memcpy(&word, bytes, n);
    uint64_t even = word & low, odd = word >> 8 & low;
    for (int d = 0; d < n_digits; d++, to += stride) {
        even *= 3, odd *= 3;
        word = (even >> 8 & low) | (odd & ~low);
        word = ((word | tops) - ones) ^ tops;
        even &= low, odd &= low;
        memcpy(to, &word, n);
    }
}

/* Five digits of n bytes, a multiple of 8: planes of n. */
static void five_digits(int8_t *to, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i += 8)
        digits_of(to + i, bytes + i, 8, n, 5);
}

/* qs[48] five digits, qh[4] four, f16 d */
static void tq1_0(int8_t *to, float *scale, const uint8_t *b)
{
    five_digits(to, b, 32);
    five_digits(to + 160, b + 32, 16);
    digits_of(to + 240, b + 48, 4, 4, 4);
    *scale = f16_to_f32(load_u16(b + 52));
}

/* qs[24] five digits, qh[2] four, f16 d */
static void ptq1_0(int8_t *to, float *scale, const uint8_t *b)
{
    five_digits(to, b, 16);
    five_digits(to + 80, b + 16, 8);
    digits_of(to + 120, b + 24, 2, 2, 4);
    *scale = f16_to_f32(load_u16(b + 26));
}

/* qs[64], f16 d; two halves of 32 bytes, each four times 32 columns */
static void tq2_0(int8_t *to, float *scale, const uint8_t *b)
{
    for (size_t half = 0; half < 2; half++)
        for (size_t l = 0; l < 4; l++)
            quarter(to + 128 * half + 32 * l, b + 32 * half, 32, (unsigned)(2 * l));
    *scale = f16_to_f32(load_u16(b + 64));
}

/* f16 d, qs[16]: bit i, 1 is +1 and 0 is -1 */
static void q1_0(int8_t *to, float *scale, const uint8_t *b)
{
    const uint64_t ones = 0x0101010101010101, tops = ones << 7;
    for (size_t m = 0; m < 16; m++) { /* byte i of the word keeps bit i, then 2 * bit - 1 */
        uint64_t word = b[2 + m] * ones & 0x8040201008040201;
        word = (word + (tops - ones)) >> 7 & ones;
        word = ((word << 1 | tops) - ones) ^ tops;
        memcpy(to + 8 * m, &word, 8);
    }
    *scale = f16_to_f32(load_u16(b));
}

static void q2(int8_t *to, const uint8_t *qs, size_t n_bytes)
{
    for (size_t m = 0; m < n_bytes; m++)
        memcpy(to + 4 * m, FIELDS_OF[qs[m]], 4);
}

/* f16 d, qs[16]: four neighbours a byte; code 3 is +2 */
static void q2_0_64(int8_t *to, float *scale, const uint8_t *b)
{
    q2(to, b + 2, 16);
    *scale = f16_to_f32(load_u16(b));
}

static void q2_0_128(int8_t *to, float *scale, const uint8_t *b)
{
    q2(to, b + 2, 32);
    *scale = f16_to_f32(load_u16(b));
}

/* ql[12], extra: of each 16 columns 15 are five digits of three bytes, the last a digit of extra */
static void iq1_bn(int8_t *to, float *scale, const uint8_t *b)
{
    (void)scale;
    for (size_t g = 0; g < 4; g++) {
        uint64_t five[3], first, second;
        for (size_t i = 0; i < 3; i++)
            memcpy(&five[i], DIGITS_OF[b[3 * g + i]], 8);
        first = five[0] | five[1] << 40;
        second = five[1] >> 24 | five[2] << 16 | (uint64_t)(uint8_t)DIGITS_OF[b[12]][g] << 56;
        memcpy(to + 16 * g, &first, 8);
        memcpy(to + 16 * g + 8, &second, 8);
    }
}

/* 16 bytes: column j in byte j % 16 */
static void iq2_bn(int8_t *to, float *scale, const uint8_t *b)
{
    (void)scale;
    for (size_t l = 0; l < 4; l++)
        quarter(to + 16 * l, b, 16, (unsigned)(2 * l));
}

/* f16 d, 16 bytes: low nibbles are columns 0..15 */
static void q4_0(int8_t *to, float *scale, const uint8_t *b)
{
    for (size_t m = 0; m < 16; m++) {
        to[m] = (int8_t)((b[2 + m] & 15) - 8);
        to[16 + m] = (int8_t)((b[2 + m] >> 4) - 8);
    }
    *scale = f16_to_f32(load_u16(b));
}

/* f16 d, 32 int8 */
static void q8_0(float *to, const uint8_t *b, size_t n)
{
    for (size_t i = 0; i < n; i++, b += 34) {
        float d = f16_to_f32(load_u16(b));
        for (size_t m = 0; m < 32; m++)
            to[32 * i + m] = d * (int8_t)b[2 + m];
    }
}

/* f16 d, f16 dmin, 12 bytes of 6-bit scales and minima, qs[128]; eight runs of 32 */
static void q4_k_block(float *to, const uint8_t *b)
{
    float d = f16_to_f32(load_u16(b)), d_min = f16_to_f32(load_u16(b + 2));
    const uint8_t *s = b + 4, *qs = b + 16;
    for (size_t j = 0; j < 8; j++) {
        int scale = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | s[j - 4] >> 6 << 4;
        int low = j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | s[j] >> 6 << 4;
        float step = d * (float)scale, base = d_min * (float)low;
        for (size_t m = 0; m < 32; m++)
            to[32 * j + m] = step * (float)(qs[32 * (j / 2) + m] >> 4 * (j % 2) & 15) - base;
    }
}

static void q4_k(float *to, const uint8_t *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        q4_k_block(to + 256 * i, b + 144 * i);
}

/* ql[128], qh[64], int8 scales[16], f16 d; two halves of 128 columns */
static void q6_k_block(float *to, const uint8_t *b)
{
    float d = f16_to_f32(load_u16(b + 208));
    for (size_t run = 0; run < 16; run++) { /* of 16 columns with one scale */
        size_t half = run / 8, q = run % 8 / 2, l = run % 2 * 16;
        const uint8_t *low = b + 64 * half + 32 * (q % 2) + l, *high = b + 128 + 32 * half + l;
        float step = d * (float)(int8_t)b[192 + run];
        uint8_t code[16];
        for (size_t m = 0; m < 16; m += 8) { /* eight at once */
            uint64_t l8, h8;
            memcpy(&l8, low + m, 8);
            memcpy(&h8, high + m, 8);
            l8 = l8 >> 4 * (q / 2) & 0x0f0f0f0f0f0f0f0f;
            h8 = h8 >> 2 * q & 0x0303030303030303;
            l8 |= h8 << 4;
            memcpy(code + m, &l8, 8);
        }
        for (size_t m = 0; m < 16; m++)
            to[16 * run + m] = step * (float)(code[m] - 32);
    }
}

static void q6_k(float *to, const uint8_t *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        q6_k_block(to + 256 * i, b + 210 * i);
}

static const struct gguf_type TYPES[] = {
    /* name, id, items, bytes, prefix, code_max, group */
    {"F32", 0, 1, 4, 0, 0, 0, NULL, floats_from_f32},
    {"F16", 1, 1, 2, 0, 0, 0, NULL, floats_from_f16},
    {"BF16", 30, 1, 2, 0, 0, 0, NULL, floats_from_bf16},
    {"Q8_0", 8, 32, 34, 0, 0, 0, NULL, q8_0},
    {"Q4_K", 12, 256, 144, 0, 0, 0, NULL, q4_k},
    {"Q6_K", 14, 256, 210, 0, 0, 0, NULL, q6_k},
    {"Q4_0", 2, 32, 18, 0, 8, 32, q4_0, NULL},
    {"TQ1_0", 34, 256, 54, 0, 1, 256, tq1_0, NULL},
    {"TQ2_0", 35, 256, 66, 0, 2, 256, tq2_0, NULL},
    {"Q1_0", GGUF_Q1_0, 128, 18, 0, 1, 128, q1_0, NULL},
    {"Q2_0", GGUF_Q2_0, 64, 18, 0, 2, 64, q2_0_64, NULL},
    {"Q2_0 g128", GGUF_Q2_0, 128, 34, 0, 2, 128, q2_0_128, NULL},
    {"PQ2_0", GGUF_PQ2_0, 128, 34, 0, 2, 128, q2_0_128, NULL},
    {"PTQ1_0", GGUF_PTQ1_0, 128, 28, 0, 1, 128, ptq1_0, NULL},
    {"IQ1_BN", GGUF_IQ1_BN, 64, 13, 2, 1, 0, iq1_bn, NULL},
    {"IQ2_BN", GGUF_IQ2_BN, 64, 16, 4, 2, 0, iq2_bn, NULL},
};

const struct gguf_type *gguf_type(uint32_t id, uint32_t group)
{
    for (size_t i = 0; i < sizeof TYPES / sizeof *TYPES; i++)
        if (TYPES[i].id == id && (id != GGUF_Q2_0 || TYPES[i].group == group))
            return &TYPES[i];
    return NULL;
}

void gguf_type_name(char name[32], uint32_t id)
{
    static const struct {
        uint32_t id;
        const char *name;
    } OTHERS[] = {
        {3, "Q4_1"}, {6, "Q5_0"}, {7, "Q5_1"}, {9, "Q8_1"}, {10, "Q2_K"}, {11, "Q3_K"},
        {13, "Q5_K"}, {15, "Q8_K"}, {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"},
        {19, "IQ1_S"}, {20, "IQ4_NL"}, {21, "IQ3_S"}, {22, "IQ2_S"}, {23, "IQ4_XS"}, {24, "I8"},
        {25, "I16"}, {26, "I32"}, {27, "I64"}, {28, "F64"}, {29, "IQ1_M"}, {GGUF_I2_S, "I2_S"},
        {37, "I8_S"}, {GGUF_TL1, "TL1"}, {GGUF_TL2, "TL2"}, {335, "IQ2_BN_R4"},
    };
    const struct gguf_type *t = gguf_type(id, 64);
    if (t) {
        snprintf(name, 32, "%s", t->name);
        return;
    }
    for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++) {
        if (OTHERS[i].id == id) {
            snprintf(name, 32, "%s", OTHERS[i].name);
            return;
        }
    }
    snprintf(name, 32, "type %u", id);
}

uint64_t gguf_row_bytes(const struct gguf_type *t, uint64_t n_cols)
{
    if (n_cols % t->block_items)
        return 0;
    return t->prefix_bytes + n_cols / t->block_items * t->block_bytes;
}

void gguf_decode(const struct gguf_type *t, const uint8_t *raw, size_t n_rows, size_t n_cols,
                 int8_t *codes, float *scales, float *values)
{
    size_t n_blocks = n_cols / t->block_items, n_scales = t->group ? n_cols / t->group : 1;
    for (size_t r = 0; r < n_rows; r++) {
        if (t->prefix_bytes)
            scales[r] = t->prefix_bytes == 4 ? load_f32(raw) : f16_to_f32(load_u16(raw));
        raw += t->prefix_bytes;
        for (size_t i = 0; t->codes && i < n_blocks; i++)
            t->codes(codes + r * n_cols + i * t->block_items,
                     &scales[r * n_scales + (t->group ? i : 0)], raw + i * t->block_bytes);
        if (t->floats)
            t->floats(values + r * n_cols, raw, n_blocks);
        raw += n_blocks * t->block_bytes;
    }
}

void gguf_decode_bits(const uint8_t *raw, size_t n_rows, size_t n_cols, uint8_t *bits,
                      float *scales)
{
    for (size_t i = 0; i < n_rows * n_cols / 128; i++, raw += 18) {
        memcpy(bits + 16 * i, raw + 2, 16);
        scales[i] = f16_to_f32(load_u16(raw));
    }
}

void i2s_range(enum i2s_layout l, uint64_t row, uint64_t n_rows, uint64_t n_cols, uint64_t *off,
               uint64_t *n_bytes)
{
    uint64_t unit = l == I2S_128 ? 128 : l == I2S_64 ? 64 : 4 * n_cols;
    uint64_t first = row * n_cols / unit, end = ((row + n_rows) * n_cols + unit - 1) / unit;
    *off = first * (unit / 4);
    *n_bytes = (end - first) * (unit / 4);
}

bool i2s_decode(enum i2s_layout l, const uint8_t *raw, uint64_t row, size_t n_rows, size_t n_cols,
                int8_t *codes)
{
    uint64_t end = (row + n_rows) * n_cols, i = row * n_cols;
    uint64_t unit = l == I2S_128 ? 128 : 64, first = i / unit * unit;
    uint64_t worst = 0;
    for (size_t r = 0; l == I2S_4ROW && r < n_rows; r++) {
        uint64_t four = (row + r) / 4 - row / 4;
        worst |= quarter(codes + r * n_cols, raw + four * n_cols, n_cols,
                         (unsigned)(6 - 2 * ((row + r) % 4)));
    }
    while (l != I2S_4ROW && i < end) {
        uint64_t in_block = i % unit, width = unit / 4, lane = in_block % width;
        uint64_t n = width - lane < end - i ? width - lane : end - i;
        const uint8_t *block = raw + (i - in_block - first) / 4;
        worst |= quarter(codes, block + lane, n, (unsigned)(6 - 2 * (in_block / width)));
        codes += n;
        i += n;
    }
    return worst == 0;
}
