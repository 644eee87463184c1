/* test_layout.c: packing of matrices. Round trips of every encoding, group and width 1..700; the
 * written formulas of layout.h against packed bytes by index arithmetic of the test's own; refusal
 * of codes without meaning; sizes that overflow; single rows as floats. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/half.h"
#include "kernels/layout.h"
#include "tests/check.h"

static const struct kind {
    enum encoding e;
    uint32_t group;
    const char *name;
    int low, high; /* values */
} kinds[] = {
    {ENC_F16, 0, "f16", 0, 0},         {ENC_I8, 0, "i8", -127, 127},
    {ENC_T2, 0, "t2", -1, 1},          {ENC_T2, 32, "t2g32", -1, 1},
    {ENC_T2, 64, "t2g64", -1, 1},      {ENC_T2, 128, "t2g128", -1, 1},
    {ENC_T2, 256, "t2g256", -1, 1},    {ENC_T1_6, 0, "t1.6", -1, 1},
    {ENC_B1, 0, "b1", 0, 1},           {ENC_B1, 32, "b1g32", 0, 1},
    {ENC_B1, 64, "b1g64", 0, 1},       {ENC_B1, 128, "b1g128", 0, 1},
    {ENC_B1, 256, "b1g256", 0, 1},     {ENC_I6, 32, "i6", -32, 31},
    {ENC_I4, 32, "i4", -8, 7},         {ENC_F32, 0, "f32", 0, 0},
    {ENC_I8X2, 0, "i8x2", -127, 127},
};
enum { N_KINDS = sizeof kinds / sizeof *kinds, WIDEST = 700 };

static uint64_t seed = 1;
static uint32_t draw(uint32_t below)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((seed >> 33) % below);
}

static union {
    int8_t i8[BLOCK_ROWS * WIDEST];
    uint16_t f16[BLOCK_ROWS * WIDEST];
    float f32[BLOCK_ROWS * WIDEST];
} values, back;
static uint16_t scales[BLOCK_ROWS * WIDEST], scales_back[BLOCK_ROWS * WIDEST];
static uint8_t block[BLOCK_ROWS * WIDEST * 4 + 4096];

static void draw_values(const struct kind *k, size_t n_cols)
{
    for (size_t i = 0; i < BLOCK_ROWS * n_cols; i++) {
        if (k->e == ENC_F32)
            values.f32[i] = (float)draw(1000) / 7;
        else if (k->e == ENC_F16)
            values.f16[i] = (uint16_t)(0x3000 + draw(0x1000));
        else if (k->e == ENC_B1)
            values.i8[i] = draw(2) ? 1 : -1;
        else
            values.i8[i] = (int8_t)(k->low + (int)draw((uint32_t)(k->high - k->low + 1)));
        scales[i] = (uint16_t)(0x1000 + draw(0x4000));
    }
}

static size_t element_bytes(const struct kind *k)
{
    return k->e == ENC_F32 ? 4 : k->e == ENC_F16 ? 2 : 1;
}

/* i8x2: the byte of (r, k), of a block of n_cols columns. */
static int plane_code_at(size_t r, size_t k, size_t n_cols)
{
    size_t row_bytes = (n_cols + 127) / 128 * 64;
    const uint8_t *high = block + 128 + r * row_bytes, *low = high + 16 * row_bytes;
    size_t at = k / 128 * 64 + k % 64;
    int shift = k % 128 < 64 ? 0 : 4;
    return (high[at] >> shift & 15) * 16 + (low[at] >> shift & 15);
}

/* The code of (r, k) read from the block by the formulas of layout.h, one bit field at a time and
 * with none of layout.c's helpers; -1: no code. F16 gives the half's bits. */
static int code_at(const struct kind *kind, size_t r, size_t k, size_t n_cols)
{
    size_t g = kind->group, base = 0;
    if (g) { /* chunk: a line of scales, then its lines */
        size_t bits = kind->e == ENC_T2 ? 2 : kind->e == ENC_B1 ? 1 : kind->e == ENC_I4 ? 4 : 6;
        size_t chunk = 64 + 16 * 2 * g * bits / 8;
        base = k / (2 * g) * chunk + 64;
        k %= 2 * g;
    }
    const uint8_t *p = block + base;
    switch (kind->e) {
    case ENC_T2:
        return p[k / 16 * 64 + 4 * r + k % 4] >> 2 * (k % 16 / 4) & 3;
    case ENC_B1:
        return p[k / 32 * 64 + 16 * (k % 4) + r] >> k % 32 / 4 & 1;
    case ENC_I8:
        return p[k / 4 * 64 + 4 * r + k % 4];
    case ENC_I4:
        return p[k / 8 * 64 + 4 * r + k % 4] >> 4 * (k % 8 / 4) & 15;
    case ENC_I6: {
        int low = p[k / 8 * 64 + 4 * r + k % 4] >> 4 * (k % 8 / 4) & 15;
        return low + 16 * (p[8 * 64 + k / 16 * 64 + 4 * r + k % 4] >> 2 * (k % 16 / 4) & 3);
    }
    case ENC_F16:
        p += k / 2 * 64 + 2 * (16 * (k % 2) + r);
        return p[0] + 256 * p[1];
    case ENC_T1_6: {
        static const int power[] = {1, 3, 9, 27};
        int byte = p[k / 20 * 64 + 4 * r + k % 4], j = (int)(k % 20 / 4);
        int c = byte < 192 ? byte % 64 : 64 + (byte - 192) % 17;
        int t4 = byte < 192 ? byte / 64 : (byte - 192) / 17;
        return j == 4 ? t4 : c / power[j] % 3;
    }
    case ENC_I8X2:
        return plane_code_at(r, k, n_cols);
    case ENC_F32:
        break;
    }
    return -1;
}

static int wanted_code(const struct kind *kind, size_t r, size_t k, size_t n_cols)
{
    static const int bias[] = {[ENC_I8] = 128, [ENC_T2] = 1, [ENC_T1_6] = 1,
                               [ENC_I6] = 32,  [ENC_I4] = 8, [ENC_F16] = 0, [ENC_B1] = 0,
                               [ENC_I8X2] = 128};
    if (k >= n_cols)
        return kind->e == ENC_I8X2 ? 0 : bias[kind->e];
    if (kind->e == ENC_F16)
        return values.f16[r * n_cols + k];
    if (kind->e == ENC_B1)
        return values.i8[r * n_cols + k] > 0;
    return values.i8[r * n_cols + k] + bias[kind->e];
}

static size_t padded_cols(const struct kind *k, size_t n_cols)
{
    size_t line = k->e == ENC_T2     ? 16
                  : k->e == ENC_T1_6 ? 20
                  : k->e == ENC_B1   ? 32
                  : k->e == ENC_I8   ? 4
                  : k->e == ENC_I8X2 ? 128
                  : k->e == ENC_F16  ? 2
                                     : 1;
    size_t unit = k->group ? 2 * k->group : line;
    return (n_cols + unit - 1) / unit * unit;
}

/* Rows of bits give the block that rows of +1 and -1 gave; bits past the end do not count. */
static void check_bits(const struct kind *kind, size_t n_cols, size_t bytes)
{
    static uint8_t bits[BLOCK_ROWS * 128], again[sizeof block];
    size_t row_bytes = n_cols / 8 + 1;
    CHECK(BLOCK_ROWS * row_bytes <= sizeof bits, "%zu columns: too many for the test", n_cols);
    if (BLOCK_ROWS * row_bytes > sizeof bits)
        return;
    memset(bits, 0xff, sizeof bits);
    memset(again, 0x5a, sizeof again);
    for (size_t r = 0; r < BLOCK_ROWS; r++)
        for (size_t k = 0; k < n_cols; k++)
            if (values.i8[r * n_cols + k] < 0)
                bits[r * row_bytes + k / 8] &= (uint8_t)~(1 << k % 8);
    layout_pack_bits(again, kind->group, bits, row_bytes, kind->group ? scales : NULL, n_cols);
    CHECK(memcmp(again, block, bytes) == 0, "%s: %zu columns differ from bits", kind->name, n_cols);
    CHECK(again[bytes] == 0x5a, "%s: %zu columns: wrote past the end", kind->name, n_cols);
}

static void check_width(const struct kind *kind, size_t n_cols)
{
    size_t bytes = layout_block_bytes(kind->e, kind->group, n_cols);
    size_t n_values = BLOCK_ROWS * n_cols;
    size_t n_groups = kind->group ? (n_cols + kind->group - 1) / kind->group : 0;
    draw_values(kind, n_cols);
    memset(block, 0xa5, sizeof block);
    layout_pack(block, kind->e, kind->group, &values, kind->group ? scales : NULL, n_cols);
    bool inside = true;
    for (size_t i = bytes; i < sizeof block; i++)
        inside &= block[i] == 0xa5;
    CHECK(inside, "%s: %zu columns: wrote past its %zu bytes", kind->name, n_cols, bytes);

    memset(&back, 0x5a, sizeof back);
    memset(scales_back, 0x5a, sizeof scales_back);
    bool good = layout_unpack(&back, scales_back, block, kind->e, kind->group, n_cols);
    CHECK(good && memcmp(&values, &back, n_values * element_bytes(kind)) == 0,
          "%s: %zu columns do not come back", kind->name, n_cols);
    CHECK(memcmp(scales, scales_back, BLOCK_ROWS * n_groups * 2) == 0,
          "%s: %zu columns: scales do not come back", kind->name, n_cols);
    if (kind->e == ENC_F32)
        return;
    if (kind->e == ENC_B1)
        check_bits(kind, n_cols, bytes);
    size_t n_wrong = 0;
    for (size_t r = 0; r < BLOCK_ROWS; r++) {
        for (size_t k = 0; k < padded_cols(kind, n_cols); k++)
            n_wrong += code_at(kind, r, k, n_cols) != wanted_code(kind, r, k, n_cols);
        for (size_t g = 0; g < (n_groups + 1) / 2 * 2; g++) {
            size_t at = g / 2 * (bytes / ((n_groups + 1) / 2)) + 2 * (16 * (g % 2) + r);
            int wanted = g < n_groups ? scales[r * n_groups + g] : 0;
            n_wrong += block[at] + 256 * block[at + 1] != wanted;
        }
    }
    CHECK(n_wrong == 0, "%s: %zu columns: %zu codes are not where layout.h says", kind->name,
          n_cols, n_wrong);
}

/* Three blocks, so that row 33 exercises the stride, against unpacked values. */
static void check_row(const struct kind *kind, enum scale_kind s, size_t n_cols)
{
    size_t bytes = layout_block_bytes(kind->e, kind->group, n_cols), row = 33;
    size_t n_groups = kind->group ? (n_cols + kind->group - 1) / kind->group : 0;
    uint8_t *lines = calloc(3, bytes);
    float *out = calloc(n_cols, sizeof *out), scale[48];
    for (size_t i = 0; i < 48; i++)
        scale[i] = 0.25f + (float)i;
    draw_values(kind, n_cols);
    layout_pack(lines + 2 * bytes, kind->e, kind->group, &values, kind->group ? scales : NULL,
                n_cols);
    struct matrix m = {.lines = lines, .scale = scale, .n_rows = 40, .n_cols = n_cols,
                       .group = kind->group, .encoding = (uint8_t)kind->e,
                       .scale_kind = (uint8_t)s};
    layout_row(out, &m, row);
    size_t n_wrong = 0;
    for (size_t k = 0; k < n_cols; k++) {
        size_t i = row % BLOCK_ROWS * n_cols + k;
        float v = kind->e == ENC_F32   ? values.f32[i]
                  : kind->e == ENC_F16 ? half_to_float(values.f16[i])
                                       : (float)values.i8[i];
        if (s == SCALE_GROUP)
            v *= half_to_float(scales[row % BLOCK_ROWS * n_groups + k / kind->group]);
        if (s == SCALE_TENSOR || s == SCALE_ROW)
            v *= scale[s == SCALE_ROW ? row : 0];
        n_wrong += memcmp(&v, &out[k], sizeof v) != 0;
    }
    CHECK(n_wrong == 0, "%s: row of %zu columns, scale kind %d: %zu wrong", kind->name, n_cols,
          (int)s, n_wrong);
    free(lines);
    free(out);
}

/* Looking at the lines must find what unpacking finds, in whichever block it stands. */
static bool holds_good(enum encoding e, uint32_t group, size_t n_cols)
{
    static uint8_t lines[3 * sizeof block];
    size_t bytes = layout_block_bytes(e, group, n_cols);
    bool good = layout_unpack(&back, scales_back, block, e, group, n_cols);
    struct matrix m = {.lines = lines, .n_rows = 3 * BLOCK_ROWS - 1, .n_cols = n_cols,
                       .group = group, .encoding = (uint8_t)e,
                       .scale_kind = group ? SCALE_GROUP : SCALE_NONE};
    layout_pack(lines, e, group, &values, scales, n_cols);
    for (size_t b = 0; b < 3; b++) {
        memcpy(lines + bytes, lines, bytes);
        memcpy(lines + 2 * bytes, lines, bytes);
        memcpy(lines + b * bytes, block, bytes);
        size_t bad = layout_bad_block(&m);
        CHECK(bad == (good ? 3 : b), "encoding %d group %u: block %zu of 3, not %zu", (int)e, group,
              bad, b);
        layout_pack(lines, e, group, &values, scales, n_cols);
    }
    return good;
}

/* Every bit of the lines of grouped ternary codes, flipped; scales may be anything. */
static void check_invalid_grouped(void)
{
    const struct kind kind = {ENC_T2, 32, "t2g32", -1, 1};
    size_t bytes = layout_block_bytes(kind.e, kind.group, 70), n_bad = 0;
    draw_values(&kind, 70);
    memset(scales, 0xff, sizeof scales);
    for (size_t bit = 0; bit < 8 * bytes; bit += 3) {
        layout_pack(block, kind.e, kind.group, &values, scales, 70);
        block[bit / 8] ^= (uint8_t)(1 << bit % 8);
        n_bad += !holds_good(kind.e, kind.group, 70);
    }
    CHECK(n_bad > bytes / 4, "%zu flipped bits of %zu bytes made bad codes", n_bad, bytes);
}

static void check_invalid(void)
{
    for (size_t n_cols = 1; n_cols < 90; n_cols += 11) {
        memset(&values, 0, sizeof values);
        size_t bytes = layout_block_bytes(ENC_T2, 0, n_cols);
        for (size_t at = 0; at < bytes; at += 13)
            for (int f = 0; f < 4; f++) {
                layout_pack(block, ENC_T2, 0, &values, NULL, n_cols);
                block[at] |= (uint8_t)(3 << 2 * f);
                CHECK(!holds_good(ENC_T2, 0, n_cols),
                      "t2: code 3 in byte %zu field %d accepted", at, f);
            }
    }
    size_t bytes = layout_block_bytes(ENC_T1_6, 0, 50);
    for (int byte = 0; byte < 256; byte++)
        for (size_t at = 0; at < bytes; at += 7) {
            layout_pack(block, ENC_T1_6, 0, &values, NULL, 50);
            block[at] = (uint8_t)byte;
            CHECK(holds_good(ENC_T1_6, 0, 50) == (byte <= 242),
                  "t1.6: byte %d at %zu", byte, at);
        }
}

/* A row's norms, of its lower halves less 7.5 and of its values: above the true ones, by a float or
 * two; any other is refused. */
static void check_norms(void)
{
    enum { N = 300 };
    const struct kind kind = {ENC_I8X2, 0, "i8x2", -127, 127};
    draw_values(&kind, N);
    layout_pack(block, ENC_I8X2, 0, &values, NULL, N);
    for (size_t r = 0; r < BLOCK_ROWS; r++) {
        double sums[2] = {0};
        for (size_t k = 0; k < N; k++) {
            int v = values.i8[r * N + k];
            double lower = (v + 128) % 16 - 7.5;
            sums[0] += lower * lower;
            sums[1] += v * v;
        }
        for (size_t i = 0; i < 2; i++) {
            float norm;
            memcpy(&norm, block + 64 * i + 4 * r, sizeof norm);
            CHECK(norm > sqrt(sums[i]) && norm < sqrt(sums[i]) * 1.000001,
                  "row %zu, norm %zu: %g, not %g", r, i, norm, sqrt(sums[i]));
        }
    }
    for (size_t i = 0; i < 2; i++) {
        block[64 * i + 4 * 5] ^= 1;
        CHECK(!holds_good(ENC_I8X2, 0, N), "a wrong norm");
        block[64 * i + 4 * 5] ^= 1;
    }
}

/* 2^17 columns of -128, whose squares sum to one more than int32 holds, and four times as many,
 * whose sum is no int32 at all. */
static void check_large_norms(void)
{
    for (size_t n_cols = (size_t)1 << 17; n_cols <= (size_t)1 << 19; n_cols *= 4) {
        size_t bytes = layout_block_bytes(ENC_I8X2, 0, n_cols);
        int8_t *wide = malloc(BLOCK_ROWS * n_cols);
        uint8_t *packed = malloc(bytes);
        float norms[2], want[2] = {7.5f * sqrtf((float)n_cols), 128 * sqrtf((float)n_cols)};
        memset(wide, -128, BLOCK_ROWS * n_cols);
        layout_pack(packed, ENC_I8X2, 0, wide, NULL, n_cols);
        memcpy(&norms[0], packed, sizeof norms[0]);
        memcpy(&norms[1], packed + LINE_BYTES, sizeof norms[1]);
        for (size_t i = 0; i < 2; i++)
            CHECK(norms[i] > want[i] && norms[i] < want[i] * 1.000001f, "%zu columns: %g, not %g",
                  n_cols, (double)norms[i], (double)want[i]);
        free(wide);
        free(packed);
    }
}

static void check_sizes(void)
{
    uint64_t lines, scale;
    CHECK(layout_bytes(ENC_T1_6, SCALE_ROW, 0, 2561, 6912, &lines, &scale) &&
              lines == 161u * 346 * 64 && scale == 161u * 16 * 4, "t1.6 2561x6912");
    CHECK(layout_bytes(ENC_B1, SCALE_GROUP, 128, 17, 129, &lines, &scale) &&
              lines == 2 * 576 && scale == 0, "b1g128 17x129");
    CHECK(layout_bytes(ENC_F32, SCALE_NONE, 0, 1, 5, &lines, &scale) && lines == 20, "f32 1x5");
    CHECK(layout_bytes(ENC_I8, SCALE_COLUMN, 0, 1, 17, &lines, &scale) && scale == 128, "i8");
    CHECK(layout_bytes(ENC_T2, SCALE_TENSOR, 0, 16, 16, &lines, &scale) && scale == 64, "t2");
    static const uint64_t big[] = {UINT64_MAX, UINT64_MAX - 15, UINT64_C(1) << 63,
                                   UINT64_C(1) << 62, UINT64_C(1) << 61};
    for (size_t i = 0; i < N_KINDS; i++)
        for (size_t j = 0; j < 5; j++) {
            enum scale_kind s = kinds[i].group ? SCALE_GROUP : SCALE_NONE;
            CHECK(!layout_bytes(kinds[i].e, s, kinds[i].group, big[j], 4096, &lines, &scale),
                  "%s: %llu rows", kinds[i].name, (unsigned long long)big[j]);
            CHECK(!layout_bytes(kinds[i].e, s, kinds[i].group, 4096, big[j], &lines, &scale),
                  "%s: %llu columns", kinds[i].name, (unsigned long long)big[j]);
            CHECK(!layout_bytes(kinds[i].e, s, kinds[i].group, UINT64_C(1) << 33,
                                UINT64_C(1) << 34, &lines, &scale), "%s", kinds[i].name);
        }
}

static void check_known(void)
{
    size_t n = 0;
    for (uint32_t e = 0; e < 300; e++)
        for (uint32_t s = 0; s < 6; s++)
            for (uint32_t g = 0; g <= 300; g++)
                n += layout_known(e, s, g);
    /* f32 1; f16 i8 i8x2 t1.6 4 each; t2 b1 4 + 4 groups each; i6 i4 1 each */
    CHECK(n == 1 + 4 * 4 + 2 * 8 + 2, "%zu combinations known", n);
    CHECK(layout_known(ENC_T2, SCALE_GROUP, 256) && !layout_known(ENC_T1_6, SCALE_GROUP, 128) &&
              !layout_known(ENC_I4, SCALE_ROW, 32) && !layout_known(ENC_T2, SCALE_ROW, 128),
          "single combinations");
}

/* Every half against the value that its fields mean. */
static void check_halves(void)
{
    size_t n_wrong = 0;
    for (uint32_t h = 0; h < 0x10000; h++) {
        int exponent = (int)(h >> 10 & 31), fraction = (int)(h & 1023);
        float want = (float)ldexp(exponent ? 1024 + fraction : fraction,
                                  (exponent ? exponent : 1) - 25);
        float got = half_to_float((uint16_t)h);
        if (h & 0x8000)
            want = -want;
        if (exponent == 31 && fraction)
            n_wrong += !isnan(got);
        else if (exponent == 31)
            n_wrong += !isinf(got) || (got < 0) != (h >> 15);
        else
            n_wrong += memcmp(&want, &got, 4) != 0;
    }
    CHECK(n_wrong == 0, "%zu halves", n_wrong);
}

int main(void)
{
    for (size_t i = 0; i < N_KINDS; i++) {
        char name[16];
        layout_name(name, kinds[i].e, kinds[i].group);
        CHECK(strcmp(name, kinds[i].name) == 0, "%s is called %s", kinds[i].name, name);
        for (size_t n_cols = 1; n_cols <= WIDEST; n_cols++)
            check_width(&kinds[i], n_cols);
        for (size_t n_cols = 1; n_cols <= WIDEST; n_cols += 37)
            for (uint32_t s = SCALE_NONE; s <= SCALE_GROUP; s++)
                if (layout_known(kinds[i].e, s, kinds[i].group))
                    check_row(&kinds[i], (enum scale_kind)s, n_cols);
    }
    check_invalid();
    check_invalid_grouped();
    check_norms();
    check_large_norms();
    check_sizes();
    check_known();
    check_halves();
    return check_done();
}
