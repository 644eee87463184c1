/* utf8.c: see utf8.h. The byte ranges are those of the Unicode standard, table 3-7. */
#include "src/utf8.h"

/* The whole length that a first byte announces, 0 for none, and the range of the second
 * byte. */
static size_t announced(uint8_t first, uint8_t *low, uint8_t *high)
{
    *low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    *high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (first < 0xc2 || first > 0xf4) {
        return first < 0x80;
    }
    return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

size_t utf8_decode(const char *p, size_t n_bytes, uint32_t *code)
{
    const uint8_t *b = (const uint8_t *)p;
    if (b[0] < 0x80) {
        *code = b[0];
        return 1;
    }
    uint8_t low, high;
    size_t n = announced(b[0], &low, &high);
    if (n == 0 || n > n_bytes || b[1] < low || b[1] > high) {
        return 0;
    }
    uint32_t c = b[0] & (0x7f >> n);
    for (size_t i = 1; i < n; i++) {
        if ((b[i] & 0xc0) != 0x80) {
            return 0;
        }
        c = c << 6 | (b[i] & 0x3f);
    }
    *code = c;
    return n;
}

size_t utf8_encode(uint32_t code, char *out)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, code >>= 6) {
        out[i] = (char)(0x80 | (code & 0x3f));
    }
    static const uint8_t marks[5] = {0, 0, 0xc0, 0xe0, 0xf0};
    out[0] = (char)(marks[n] | code);
    return n;
}

size_t utf8_unfinished(const char *p, size_t n_bytes)
{
    for (size_t n = 1; n <= 3 && n <= n_bytes; n++) {
        const uint8_t *b = (const uint8_t *)p + n_bytes - n;
        if ((b[0] & 0xc0) == 0x80) {
            continue;
        }
        uint8_t low, high;
        size_t whole = announced(b[0], &low, &high);
        return whole > n && (n == 1 || (b[1] >= low && b[1] <= high)) ? n : 0;
    }
    return 0;
}
