/* test_unicode.c: character classes and normal form C of every code point, and of texts
 * drawn from those that decompose, combine or compose, by the checksums that
 * tests/make_data.py wrote. */
#include <stdlib.h>
#include <string.h>

#include "src/unicode.h"
#include "src/utf8.h"
#include "tests/check.h"

static uint32_t crc32(const uint8_t *p, size_t n_bytes)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < n_bytes; i++) {
        crc ^= p[i];
        for (int k = 0; k < 8; k++) {
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
        }
    }
    return ~crc;
}

static void check_sum(FILE *in, const char *name, const struct buffer *b)
{
    char have[32];
    size_t n_bytes = 0;
    unsigned want = 0;
    int n = fscanf(in, "%31s %zu %x", have, &n_bytes, &want);
    CHECK(n == 3 && strcmp(have, name) == 0, "no line for %s", name);
    CHECK(b->n_bytes == n_bytes, "%s: %zu bytes, wanted %zu", name, b->n_bytes, n_bytes);
    CHECK(crc32(b->data, b->n_bytes) == want, "%s: other bytes", name);
}

static bool is_scalar(uint32_t code)
{
    return code < 0xd800 || (code > 0xdfff && code < 0x110000);
}

static void add_code(struct buffer *b, uint32_t code)
{
    char c[4];
    buffer_add(b, c, utf8_encode(code, c));
}

static void check_small(void)
{
    static const struct {
        const char *text, *want;
    } known[] = {
        {"", ""},
        {"abc", "abc"},
        {"e\xcc\x81", "\xc3\xa9"},
        {"ae\xcc\x81"
         "b",
         "a\xc3\xa9"
         "b"},
        {"\xc3\xa9", "\xc3\xa9"},
        {"e\xcc\xa3\xcc\x81", "\xe1\xba\xb9\xcc\x81"},
        {"e\xcc\x81\xcc\xa3", "\xe1\xba\xb9\xcc\x81"},
        {"\xe2\x84\xab", "\xc3\x85"},
        {"\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab", "\xed\x95\x9c"},
        {"e\xff\xcc\x81", "e\xff\xcc\x81"},
        {"\xcc\x81", "\xcc\x81"},
        {"e\xcc", "e\xcc"},
        {"\xef\xac\x81", "\xef\xac\x81"},
        {"\xff\xfe\xe2\x84\xab\x80", "\xff\xfe\xc3\x85\x80"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct buffer out = {0};
        unicode_nfc(known[i].text, strlen(known[i].text), &out);
        CHECK(out.n_bytes == strlen(known[i].want) &&
                  (out.n_bytes == 0 || memcmp(out.data, known[i].want, out.n_bytes) == 0),
              "%s", known[i].text);
        buffer_free(&out);
    }
    /* A long run of marks is sorted in n log n. */
    struct buffer marks = {0}, out = {0};
    add_code(&marks, 'e');
    for (uint32_t i = 0; i < 300000; i++) {
        add_code(&marks, 0x300 + i * 7919 % 0x6f);
    }
    uint64_t start = now_ns();
    unicode_nfc((char *)marks.data, marks.n_bytes, &out);
    CHECK(now_ns() - start < 3000000000, "%.1f s", (double)(now_ns() - start) / 1e9);
    struct buffer again = {0};
    unicode_nfc((char *)out.data, out.n_bytes, &again);
    CHECK(again.n_bytes == out.n_bytes && memcmp(again.data, out.data, out.n_bytes) == 0,
          "stable");
    buffer_free(&marks);
    buffer_free(&out);
    buffer_free(&again);
}

int main(void)
{
    check_small();
    FILE *in = fopen("tests/data/unicode.txt", "r");
    char version[32];
    CHECK(in != NULL && fscanf(in, "version %31s", version) == 1,
          "tests/data/unicode.txt");
    if (in == NULL) {
        return check_done();
    }
    struct buffer classes = {0}, singles = {0}, source = {0}, mixed = {0};
    for (uint32_t code = 0; code < 0x110000; code++) {
        uint8_t class = (uint8_t)unicode_class(code);
        buffer_add(&classes, &class, 1);
        if (is_scalar(code)) {
            struct buffer one = {0};
            add_code(&one, code);
            buffer_add(&singles, "\n", code > 0);
            unicode_nfc((char *)one.data, one.n_bytes, &singles);
            buffer_free(&one);
        }
    }
    check_sum(in, "classes", &classes);
    check_sum(in, "singles", &singles);
    uint32_t *busy = malloc(0x110000 * sizeof *busy);
    size_t n_busy = 0;
    unsigned code;
    int n_codes = 0;
    for (int n = fscanf(in, " busy %d", &n_codes); n == 1 && n_busy < (size_t)n_codes;
         n_busy++) {
        if (fscanf(in, "%x", &code) != 1) {
            break;
        }
        busy[n_busy] = code;
    }
    CHECK(n_busy > 1000, "%zu characters to draw from", n_busy);
    uint64_t state = 1;
    for (int i = 0; i < 200000 && n_busy > 0; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        add_code(&source, busy[(state >> 33) % n_busy]);
    }
    unicode_nfc((char *)source.data, source.n_bytes, &mixed);
    check_sum(in, "mixed", &mixed);
    free(busy);
    buffer_free(&classes);
    buffer_free(&singles);
    buffer_free(&source);
    buffer_free(&mixed);
    fclose(in);
    return check_done();
}
