/* unicode.c: see unicode.h. The tables are searched by halves; ASCII goes through a
 * small table of its own, and text below U+0300 is in normal form already. */
#include "src/unicode.h"

#include <stdlib.h>

#include "src/unicode_tables.h"
#include "src/utf8.h"

/* The value that holds at code. The first entry is for code 0. */
static unsigned run_value(const uint32_t *runs, size_t n_runs, uint32_t code)
{
    size_t low = 0, high = n_runs;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (runs[middle] >> 8 <= code) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return runs[low] & 0xff;
}

unsigned unicode_class(uint32_t code)
{
    enum { L = UNICODE_LETTER, N = UNICODE_NUMBER, P = UNICODE_PUNCT, W = UNICODE_SPACE };
    static const uint8_t ascii[128] = {
        0, 0, 0, 0, 0, 0, 0, 0, 0, W, W, W, W, W, 0, 0, /* control */
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        W, P, P, P, 0, P, P, P, P, P, P, 0, P, P, P, P, /*  !"#$%&'()*+,-./ */
        N, N, N, N, N, N, N, N, N, N, P, P, 0, 0, 0, P, /* 0123456789:;<=>? */
        P, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, /* @A */
        L, L, L, L, L, L, L, L, L, L, L, P, P, P, 0, P, /* P [\]^_ */
        0, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, /* `a */
        L, L, L, L, L, L, L, L, L, L, L, P, 0, P, 0, 0, /* p {|}~ */
    };
    return code < 128 ? ascii[code]
                      : run_value(unicode_class_runs, n_unicode_class_runs, code);
}

/* A character in the making: combining class, then its place, then the code, so that
 * sorting the numbers is the canonical order. A byte that is no character is a starter
 * from no_code on. */
enum { place_shift = 22, class_shift = 54, no_code = 0x200000 };

static unsigned combining_class(uint32_t code)
{
    return code < 0x300 || code >= no_code
               ? 0
               : run_value(unicode_combining_runs, n_unicode_combining_runs, code);
}

static uint32_t code_of(uint64_t c)
{
    return (uint32_t)c & ((1u << place_shift) - 1);
}

struct run {
    uint64_t *chars;
    size_t n_chars, n_alloc;
    bool failed;
};

static void put(struct run *r, uint32_t code)
{
    if (r->n_chars == r->n_alloc) {
        size_t n_alloc = r->n_alloc == 0 ? 256 : 2 * r->n_alloc;
        uint64_t *chars = realloc(r->chars, n_alloc * sizeof *chars);
        if (chars == NULL) {
            r->failed = true;
            return;
        }
        r->chars = chars;
        r->n_alloc = n_alloc;
    }
    r->chars[r->n_chars] = (uint64_t)combining_class(code) << class_shift |
                           (uint64_t)(uint32_t)r->n_chars << place_shift | code;
    r->n_chars++;
}

/* Hangul syllables by arithmetic (Unicode standard, 3.12). */
enum {
    hangul_s = 0xac00,
    hangul_l = 0x1100,
    hangul_v = 0x1161,
    hangul_t = 0x11a7,
    n_hangul_l = 19,
    n_hangul_v = 21,
    n_hangul_t = 28,
    n_hangul_s = n_hangul_l * n_hangul_v * n_hangul_t
};

static void decompose(struct run *r, uint32_t code)
{
    if (code >= hangul_s && code < hangul_s + n_hangul_s) {
        uint32_t s = code - hangul_s;
        put(r, hangul_l + s / (n_hangul_v * n_hangul_t));
        put(r, hangul_v + s % (n_hangul_v * n_hangul_t) / n_hangul_t);
        if (s % n_hangul_t != 0) {
            put(r, hangul_t + s % n_hangul_t);
        }
        return;
    }
    size_t low = 0, high = code < 0xc0 ? 0 : n_unicode_decompositions / 3;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const uint32_t *row = unicode_decompositions + 3 * middle;
        if (row[0] == code) {
            decompose(
                r, row[1]); /* a second never decomposes further but is met here again */
            if (row[2] != 0) {
                decompose(r, row[2]);
            }
            return;
        }
        if (row[0] < code) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    put(r, code);
}

/* The code that first and second make together, or 0. */
static uint32_t composition(uint32_t first, uint32_t second)
{
    if (first >= hangul_l && first < hangul_l + n_hangul_l && second >= hangul_v &&
        second < hangul_v + n_hangul_v) {
        return hangul_s +
               ((first - hangul_l) * n_hangul_v + (second - hangul_v)) * n_hangul_t;
    }
    if (first >= hangul_s && first < hangul_s + n_hangul_s && second > hangul_t &&
        second < hangul_t + n_hangul_t && (first - hangul_s) % n_hangul_t == 0) {
        return first + (second - hangul_t);
    }
    size_t low = 0, high = n_unicode_compositions;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const uint32_t *row =
            unicode_decompositions + 3 * (size_t)unicode_compositions[middle];
        if (row[1] == first && row[2] == second) {
            return row[0];
        }
        if (row[1] < first || (row[1] == first && row[2] < second)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return 0;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void sort_marks(struct run *r)
{
    for (size_t i = 0; i < r->n_chars;) {
        size_t begin = i;
        while (i < r->n_chars && r->chars[i] >> class_shift != 0) {
            i++;
        }
        if (i - begin > 1) {
            qsort(r->chars + begin, i - begin, sizeof *r->chars, by_number);
        }
        i += i == begin;
    }
}

/* A mark joins the last starter unless one of its own class or higher stands between. */
static void compose(struct run *r)
{
    size_t n = 0, starter = SIZE_MAX;
    unsigned last_class = 0;
    for (size_t i = 0; i < r->n_chars; i++) {
        uint64_t c = r->chars[i];
        unsigned class = (unsigned)(c >> class_shift);
        bool adjacent = starter != SIZE_MAX && n == starter + 1;
        if (starter != SIZE_MAX && (adjacent || last_class < class)) {
            uint32_t both = composition(code_of(r->chars[starter]), code_of(c));
            if (both != 0) {
                r->chars[starter] = both;
                continue;
            }
        }
        if (class == 0) {
            starter = n;
        }
        last_class = class;
        r->chars[n++] = c;
    }
    r->n_chars = n;
}

static void normalize(struct run *r, const char *text, size_t n_bytes, struct buffer *out)
{
    r->n_chars = 0;
    for (size_t at = 0, n; at < n_bytes; at += n) {
        uint32_t code;
        n = utf8_decode(text + at, n_bytes - at, &code);
        if (n == 0) {
            n = 1;
            put(r, no_code + (uint8_t)text[at]);
        } else {
            decompose(r, code);
        }
    }
    sort_marks(r);
    compose(r);
    for (size_t i = 0; i < r->n_chars; i++) {
        uint32_t code = code_of(r->chars[i]);
        char c[4] = {(char)code};
        buffer_add(out, c, code >= no_code ? 1 : utf8_encode(code, c));
    }
}

void unicode_nfc(const char *text, size_t n_bytes, struct buffer *out)
{
    struct run r = {0};
    /* An ASCII character never joins what stands before it, so the text is cut there. */
    for (size_t at = 0; at < n_bytes && !r.failed;) {
        size_t end = at;
        while (end < n_bytes && (uint8_t)text[end] < 0x80) {
            end++;
        }
        size_t begin = end > at && end < n_bytes ? end - 1 : end;
        buffer_add(out, text + at, begin - at);
        bool is_plain = true;
        while (end < n_bytes && (uint8_t)text[end] >= 0x80) {
            is_plain = is_plain && (uint8_t)text[end] < 0xcc; /* below U+0300 */
            end++;
        }
        if (is_plain) {
            buffer_add(out, text + begin, end - begin);
        } else {
            normalize(&r, text + begin, end - begin, out);
        }
        at = end;
    }
    out->failed = out->failed || r.failed;
    free(r.chars);
}
