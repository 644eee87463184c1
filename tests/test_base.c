/* test_base.c: base.h against published vectors and against the definitions
 * themselves. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/base.h"
#include "tests/check.h"

/* The specification's own vectors, and values of the reference implementation for
 * inputs that walk through every tail length class. */
static void check_hash(void)
{
    static const struct {
        const char *text;
        uint64_t want;
    } known[] = {
        {"", 0xef46db3751d8e999},
        {"a", 0xd24ec4f1a98c6e5b},
        {"abc", 0x44bc2cf5ad770999},
        {"message digest", 0x066ed728fceeb3be},
        {"abcdefghijklmnopqrstuvwxyz", 0xcfe1f278fa89835c},
        {"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
         0xaaa46907d3047814},
        {"1234567890123456789012345678901234567890123456789012345678901234567890123456789"
         "0",
         0xe04a477f19ee145d},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        uint64_t got = hash64(known[i].text, strlen(known[i].text));
        CHECK(got == known[i].want, "'%s': %016llx", known[i].text,
              (unsigned long long)got);
    }
    /* The sanity buffer of the reference implementation: seed 0, lengths 1, 4, 14,
     * 222. */
    uint8_t sanity[222];
    uint64_t byte_gen = 2654435761u;
    for (size_t i = 0; i < sizeof sanity; i++) {
        sanity[i] = (uint8_t)(byte_gen >> 56);
        byte_gen *= 11400714785074694797ull;
    }
    static const struct {
        size_t n;
        uint64_t want;
    } lengths[] = {{1, 0xe934a84adb052768},
                   {4, 0x9136a0dca57457ee},
                   {14, 0x8282dcc4994e35c8},
                   {222, 0xb641ae8cb691c174}};
    for (size_t i = 0; i < 4; i++) {
        uint64_t got = hash64(sanity, lengths[i].n);
        CHECK(got == lengths[i].want, "%zu: %016llx", lengths[i].n,
              (unsigned long long)got);
    }
    /* Any chunking gives the same value. */
    for (size_t n = 0; n <= sizeof sanity; n++) {
        for (size_t step = 1; step < 70; step += 1 + step / 5) {
            struct hasher h;
            hasher_init(&h);
            for (size_t at = 0; at < n; at += step) {
                hasher_add(&h, sanity + at, n - at < step ? n - at : step);
            }
            CHECK(hasher_value(&h) == hash64(sanity, n), "length %zu in steps of %zu", n,
                  step);
        }
    }
}

/* The value of a half by its definition, in doubles. */
static double half_value(unsigned h)
{
    unsigned exponent = h >> 10 & 31, mantissa = h & 1023;
    double value =
        exponent == 0 ? ldexp(mantissa, -24) : ldexp(1024 + mantissa, (int)exponent - 25);
    return h & 0x8000 ? -value : value;
}

static void check_halves(void)
{
    int n_bad = 0;
    for (unsigned h = 0; h < 0x10000; h++) {
        float f = f16_to_f32((uint16_t)h);
        unsigned magnitude = h & 0x7fff;
        if (magnitude > 0x7c00) {
            n_bad += !isnan(f) || (f32_to_f16(f) & 0x7c00) != 0x7c00 ||
                     !isnan(f16_to_f32(f32_to_f16(f)));
            continue;
        }
        n_bad += f32_to_f16(f) != h;
        n_bad += (magnitude == 0x7c00) ? !isinf(f) : (double)f != half_value(h);
        n_bad += (signbit(f) != 0) != (h >> 15);
    }
    CHECK(n_bad == 0, "%d of 65536 halves", n_bad);
    /* Between two neighbours: the nearer one, the even one when halfway. */
    n_bad = 0;
    for (unsigned h = 0; h < 0x7c00; h++) {
        double low = half_value(h), high = h == 0x7bff ? 65536 : half_value(h + 1);
        float middle = (float)((low + high) / 2);
        unsigned even = h & 1 ? h + 1 : h;
        n_bad += f32_to_f16(middle) != even || f32_to_f16(-middle) != (even | 0x8000);
        n_bad += f32_to_f16(nextafterf(middle, 0)) != h;
        n_bad += f32_to_f16(nextafterf(middle, INFINITY)) != h + 1;
    }
    CHECK(n_bad == 0, "%d wrong roundings", n_bad);
    CHECK(f32_to_f16(1e30f) == 0x7c00 && f32_to_f16(-INFINITY) == 0xfc00, "overflow");
    CHECK(f32_to_f16(0x1p-26f) == 0 && f32_to_f16(-0x1p-140f) == 0x8000, "underflow");
    CHECK(bf16_to_f32(0x3f80) == 1 && bf16_to_f32(0xc040) == -3 &&
              isinf(bf16_to_f32(0x7f80)),
          "bf16");
}

static void check_numbers(void)
{
    static const struct {
        const char *text;
        bool ok;
        int64_t want;
    } ints[] = {{"0", true, 0},
                {"-7", true, -7},
                {"100", true, 100},
                {"007", true, 7},
                {"-100", true, -100},
                {"101", false, 0},
                {"-101", false, 0},
                {"", false, 0},
                {"-", false, 0},
                {"+1", false, 0},
                {" 1", false, 0},
                {"1 ", false, 0},
                {"0x10", false, 0},
                {"1e1", false, 0},
                {"1.0", false, 0},
                {"--1", false, 0},
                {"99999999999999999999", false, 0},
                {"-99999999999999999999", false, 0}};
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++) {
        int64_t got = 0;
        bool ok = parse_i64(ints[i].text, -100, 100, &got);
        CHECK(ok == ints[i].ok && got == ints[i].want, "'%s'", ints[i].text);
    }
    int64_t extreme = 0;
    CHECK(parse_i64("-9223372036854775808", INT64_MIN, INT64_MAX, &extreme) &&
              extreme == INT64_MIN,
          "smallest");
    static const struct {
        const char *text;
        bool ok;
        double want;
    } reals[] = {{"0", true, 0},      {"0.5", true, 0.5},  {".5", true, 0.5},
                 {"1.", true, 1},     {"-2e1", true, -20}, {"1E-2", true, 0.01},
                 {"1e+2", true, 100}, {"", false, 0},      {".", false, 0},
                 {"-", false, 0},     {"e5", false, 0},    {"1e", false, 0},
                 {"1e+", false, 0},   {"nan", false, 0},   {"inf", false, 0},
                 {"0x1p3", false, 0}, {" 1", false, 0},    {"1 ", false, 0},
                 {"+1", false, 0},    {"101", false, 0},   {"1e999", false, 0},
                 {"1,5", false, 0},   {"1.5.2", false, 0}};
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        double got = 0;
        bool ok = parse_f64(reals[i].text, -100, 100, &got);
        CHECK(ok == reals[i].ok && got == reals[i].want, "'%s'", reals[i].text);
    }
}

static void check_bytes(void)
{
    static const uint8_t b[9] = {0xee, 1, 2, 3, 4, 5, 6, 7, 0x88};
    CHECK(load_u16(b + 1) == 0x0201 && load_u32(b + 1) == 0x04030201, "loads");
    CHECK(load_u64(b + 1) == 0x8807060504030201, "load_u64");
    uint8_t out[9] = {0};
    store_u64(out + 1, 0x8807060504030201);
    CHECK(memcmp(out + 1, b + 1, 8) == 0, "store_u64");
    store_f32(out, -1.5f);
    CHECK(load_u32(out) == 0xbfc00000 && load_f32(out) == -1.5f, "f32");
    store_f64(out + 1, -2.0);
    CHECK(load_u64(out + 1) == 0xc000000000000000 && load_f64(out + 1) == -2.0, "f64");
    store_u16(out, 0xabcd);
    store_u32(out + 3, 0xdeadbeef);
    CHECK(load_u16(out) == 0xabcd && load_u32(out + 3) == 0xdeadbeef, "u16, u32");
    uint64_t r = 0;
    CHECK(mul_u64(1ull << 32, (1ull << 32) - 1, &r) && r == 0xffffffff00000000, "mul");
    CHECK(!mul_u64(1ull << 32, 1ull << 32, &r) && mul_u64(UINT64_MAX, 0, &r) && r == 0,
          "mul");
    CHECK(add_u64(UINT64_MAX, 0, &r) && !add_u64(UINT64_MAX, 1, &r), "add");
    CHECK(round_up(0, 64) == 0 && round_up(1, 64) == 64 && round_up(64, 64) == 64,
          "round_up");
}

static void check_buffer_and_errors(void)
{
    struct buffer b = {0};
    for (uint32_t i = 0; i < 1000; i++) {
        buffer_add_u32(&b, i);
    }
    buffer_add(&b, "x", 1);
    buffer_pad(&b, 4096);
    buffer_add_u64(&b, 7);
    CHECK(!b.failed && b.n_bytes == 4104, "%zu bytes", b.n_bytes);
    CHECK(load_u32(b.data + 4 * 999) == 999 && b.data[4000] == 'x' && b.data[4001] == 0,
          "content");
    CHECK(load_u64(b.data + 4096) == 7, "after the padding");
    buffer_free(&b);
    CHECK(b.data == NULL && b.n_bytes == 0, "freed");
    struct buffer huge = {0};
    buffer_add(&huge, "x", 1);
    buffer_add(&huge, "x", SIZE_MAX);
    CHECK(huge.failed && huge.n_bytes == 1, "overflow");
    buffer_free(&huge);

    struct bitnet_error err = {0};
    CHECK(!fail(&err, BITNET_BAD, "%s: line\nbreak\x1b[2J", "a.bnp"), "returns false");
    CHECK(!fail(&err, BITNET_FAILED, "second"), "returns false");
    CHECK(err.code == BITNET_BAD && strcmp(err.msg, "a.bnp: line?break?[2J") == 0, "'%s'",
          err.msg);
    CHECK(!fail(NULL, BITNET_BAD, "nobody listens"), "returns false");
    uint64_t before = now_ns();
    CHECK(now_ns() >= before && before != 0, "clock");
}

int main(void)
{
    check_hash();
    check_halves();
    check_numbers();
    check_bytes();
    check_buffer_and_errors();
    return check_done();
}
