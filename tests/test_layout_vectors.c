/* test_layout_vectors.c: the decoders of foreign layouts against fixed bytes.
 *
 * All vectors encode the same weights, t[i] = ((7i + i/5 + i/11) mod 3) - 1, with scale 0.0625. The
 * bytes were made by a script of ours from the formulas of the layouts, not by this code. */
#include <stdint.h>
#include <string.h>

#include "tests/check.h"
#include "tools/gguf_types.h"
#include "tools/hf.h"

static const char HF_PACKED[] =
    "608926882144114618618412441166992698618619669962881248a1861862882184196481069861"
    "8411461862851648214619669861861a6491669822882186";
static const char I2S_BLOCK_128[] =
    "1049960950254294095025822451a54a942952a54a9469a209902942a40a9029a40a902982045225"
    "4294095025429449a049942952a54a942952259a2842a40a";
static const char I2S_BLOCK_64[] =
    "25429522542952a600650a902a44a94210a54a9522542942a500650a502644a9aa10a50a91225429"
    "429502650a50a64040a910a50a512a5429429522640a50a6";
static const char I2S_FOUR_ROWS[] =
    "0962982248114491244912841144996698264992649966892284214a922489224812641942902649"
    "124491248952942148916499264992a41946992688224892";
static const char TQ1_0[] =
    "1f6cda1774465dd1187446b34376f370d3517bf170d3a6ec17c9505eee1bca50ee1c75fe1f465ed5"
    "427c5179f5039b1b438c436f002c";
static const char TQ2_0[] =
    "04619660055881166005588218455aa11668855aa116698a600668811aa006681aa0066882108558"
    "81166005588116610a611668855aa116688558a628811aa0002c";
static const char Q1_0[] =
    "002cd6eafd5ab576efd6aed57bb56eeddead";
static const char Q2_0_64[] =
    "002c24918464929948221149242699a42492002c98441291492622896424919464929148";
static const char Q2_0_128[] =
    "002c24918464929948221149242699a4249298441291492622896424919464929148";
static const char PTQ1_0[] =
    "465ed5427c5179f5039b1bc8545ffb5e92b65267ca9bc2427250002c";
static const char IQ2_BN[] =
    "0000803d588156881568859a0059a006a8116a81045aa156881568815a0059a00598116a";
static const char IQ1_BN[] =
    "002c6c6cce9ac3c16061dd4a706b3a494460cf414533247ade334138";

static int weight(size_t i)
{
    return (int)((7 * i + i / 5 + i / 11) % 3) - 1;
}

static size_t from_hex(uint8_t *to, const char *hex)
{
    size_t n = strlen(hex) / 2;
    for (size_t i = 0; i < 2 * n; i++) {
        int c = hex[i], digit = c <= '9' ? c - '0' : c - 'a' + 10;
        to[i / 2] = (uint8_t)(i % 2 ? to[i / 2] << 4 | digit : digit);
    }
    return n;
}

static void check_codes(const char *name, const int8_t *codes, size_t n, bool binary)
{
    size_t n_wrong = 0;
    for (size_t i = 0; i < n; i++) {
        int want = binary ? (weight(i) >= 0 ? 1 : -1) : weight(i);
        n_wrong += codes[i] != want;
    }
    CHECK(n_wrong == 0, "%s: %zu of %zu codes differ", name, n_wrong, n);
}

static void check_rows(const char *hex, uint32_t id, uint32_t group, size_t n_cols)
{
    const struct gguf_type *t = gguf_type(id, group);
    uint8_t raw[128];
    int8_t codes[256];
    float scales[8] = {0};
    CHECK(t != NULL, "type %u", (unsigned)id);
    if (!t)
        return;
    size_t n = from_hex(raw, hex);
    CHECK(n == gguf_row_bytes(t, n_cols), "%s: %zu bytes", t->name, n);
    gguf_decode(t, raw, 1, n_cols, codes, scales, NULL);
    check_codes(t->name, codes, n_cols, id == 41);
    for (size_t g = 0; g < (t->group ? n_cols / t->group : 1); g++)
        CHECK(scales[g] == 0.0625f, "%s: scale %g", t->name, (double)scales[g]);
}

/* Any rows of a tensor decode as they do in the whole, however blocks straddle them. */
static void check_i2s(const char *name, const char *hex, enum i2s_layout layout, size_t n_rows,
                      size_t n_cols)
{
    uint8_t raw[64];
    int8_t codes[256];
    from_hex(raw, hex);
    for (size_t row = 0; row < n_rows; row++) {
        for (size_t n = 1; n <= n_rows - row; n++) {
            uint64_t off, n_bytes;
            i2s_range(layout, row, n, n_cols, &off, &n_bytes);
            CHECK(off + n_bytes <= sizeof raw, "%s: rows %zu+%zu", name, row, n);
            memset(codes, 9, sizeof codes);
            CHECK(i2s_decode(layout, raw + off, row, n, n_cols, codes + row * n_cols), "%s", name);
            size_t n_wrong = 0;
            for (size_t i = row * n_cols; i < (row + n) * n_cols; i++)
                n_wrong += codes[i] != weight(i);
            CHECK(n_wrong == 0, "%s: rows %zu+%zu: %zu codes differ", name, row, n, n_wrong);
        }
    }
    raw[5] = 0xc0;
    CHECK(!i2s_decode(layout, raw, 0, n_rows, n_cols, codes), "%s: code 3 passes", name);
}

static void check_packed(void)
{
    uint8_t raw[64];
    int8_t codes[256];
    from_hex(raw, HF_PACKED);
    for (size_t o = 0; o < 8; o++)
        CHECK(hf_unpack(codes + 32 * o, raw + o % 2 * 32, o / 2, 32), "row %zu", o);
    check_codes("HF packed", codes, 256, false);
    raw[7] |= 0x30;
    CHECK(!hf_unpack(codes, raw, 2, 32), "code 3 passes");
}

int main(void)
{
    check_packed();
    check_i2s("I2_S 128", I2S_BLOCK_128, I2S_128, 2, 128);
    check_i2s("I2_S 128", I2S_BLOCK_128, I2S_128, 8, 32);
    check_i2s("I2_S 64", I2S_BLOCK_64, I2S_64, 8, 32);
    check_i2s("I2_S 4 rows", I2S_FOUR_ROWS, I2S_4ROW, 4, 64);
    check_rows(TQ1_0, 34, 0, 256);
    check_rows(TQ2_0, 35, 0, 256);
    check_rows(Q1_0, 41, 0, 128);
    check_rows(Q2_0_64, GGUF_Q2_0, 64, 128);
    check_rows(Q2_0_128, GGUF_Q2_0, 128, 128);
    check_rows(Q2_0_128, GGUF_PQ2_0, 0, 128);
    check_rows(PTQ1_0, GGUF_PTQ1_0, 0, 128);
    check_rows(IQ2_BN, GGUF_IQ2_BN, 0, 128);
    check_rows(IQ1_BN, GGUF_IQ1_BN, 0, 128);
    return check_done();
}
