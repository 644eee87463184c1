/* base.c: errors, checked sizes, little-endian access, half floats, XXH64, the growing
 * buffer and the strict number parsers. Nothing here knows of models. */
#include "src/base.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

bool fail(struct bitnet_error *err, int code, const char *format, ...)
{
    if (err == NULL || err->code != BITNET_OK) {
        return false;
    }
    err->code = code;
    va_list args;
    va_start(args, format);
    vsnprintf(err->msg, sizeof err->msg, format, args);
    va_end(args);
    /* Names come from hostile files: a message stays one line and moves no cursor. */
    for (unsigned char *p = (unsigned char *)err->msg; *p != 0; p++) {
        if (*p < 0x20 || *p == 0x7f) {
            *p = '?';
        }
    }
    return false;
}

bool mul_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    if (b != 0 && a > UINT64_MAX / b) {
        return false;
    }
    *out = a * b;
    return true;
}

bool add_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    if (a > UINT64_MAX - b) {
        return false;
    }
    *out = a + b;
    return true;
}

uint64_t round_up(uint64_t n, uint64_t multiple)
{
    uint64_t rest = n % multiple;
    return rest == 0 ? n : n + (multiple - rest);
}

uint16_t load_u16(const void *p)
{
    const uint8_t *b = p;
    return (uint16_t)(b[0] | b[1] << 8);
}

uint32_t load_u32(const void *p)
{
    const uint8_t *b = p;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 |
           (uint32_t)b[3] << 24;
}

/* One load once it is inlined; the compilers' estimate, made before, says too large. */
__attribute__((always_inline)) static inline uint64_t get_u64(const uint8_t *b)
{
    return (uint64_t)b[0] | (uint64_t)b[1] << 8 | (uint64_t)b[2] << 16 |
           (uint64_t)b[3] << 24 | (uint64_t)b[4] << 32 | (uint64_t)b[5] << 40 |
           (uint64_t)b[6] << 48 | (uint64_t)b[7] << 56;
}

uint64_t load_u64(const void *p)
{
    return get_u64(p);
}

float load_f32(const void *p)
{
    uint32_t bits = load_u32(p);
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

double load_f64(const void *p)
{
    uint64_t bits = load_u64(p);
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

void store_u16(void *p, uint16_t v)
{
    uint8_t *b = p;
    b[0] = (uint8_t)v;
    b[1] = (uint8_t)(v >> 8);
}

void store_u32(void *p, uint32_t v)
{
    uint8_t *b = p;
    for (int i = 0; i < 4; i++) {
        b[i] = (uint8_t)(v >> (8 * i));
    }
}

void store_u64(void *p, uint64_t v)
{
    uint8_t *b = p;
    for (int i = 0; i < 8; i++) {
        b[i] = (uint8_t)(v >> (8 * i));
    }
}

void store_f32(void *p, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    store_u32(p, bits);
}

void store_f64(void *p, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    store_u64(p, bits);
}

static float float_of_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

float f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t exponent = (h >> 10) & 31, mantissa = h & 1023;
    if (exponent == 31) {
        return float_of_bits(sign | 0x7f800000 | mantissa << 13);
    }
    if (exponent == 0) {
        /* Zero or subnormal: mantissa * 2^-24, exact in f32. */
        float f = (float)mantissa * 0x1p-24f;
        return sign != 0 ? -f : f;
    }
    return float_of_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}

uint16_t f32_to_f16(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    uint32_t magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) { /* NaN stays one, quiet, with the top of its payload */
        return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
    }
    if (magnitude >= 0x477ff000) { /* 65520 and above round to infinity */
        return (uint16_t)(sign | 0x7c00);
    }
    uint32_t whole, rest, half;
    if (magnitude >= 0x38800000) { /* normal from 2^-14 on */
        whole = (magnitude - 0x38000000) >> 13;
        rest = magnitude & 0x1fff;
        half = 0x1000;
    } else {
        uint32_t exponent = magnitude >> 23;
        if (exponent < 102) { /* below 2^-25: nearer to zero than to 2^-24 */
            return sign;
        }
        uint32_t mantissa = (magnitude & 0x7fffff) | 0x800000;
        uint32_t shift = 126 - exponent; /* 14 .. 24 */
        whole = mantissa >> shift;
        rest = mantissa & ((1u << shift) - 1);
        half = 1u << (shift - 1);
    }
    /* A carry out of the mantissa lands in the exponent, which is the right number. */
    if (rest > half || (rest == half && (whole & 1) != 0)) {
        whole++;
    }
    return (uint16_t)(sign | whole);
}

float bf16_to_f32(uint16_t h)
{
    return float_of_bits((uint32_t)h << 16);
}

static const uint64_t prime1 = 0x9e3779b185ebca87, prime2 = 0xc2b2ae3d27d4eb4f,
                      prime3 = 0x165667b19e3779f9, prime4 = 0x85ebca77c2b2ae63,
                      prime5 = 0x27d4eb2f165667c5;

static uint64_t rotate(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

static uint64_t hash_round(uint64_t lane, uint64_t input)
{
    return rotate(lane + input * prime2, 31) * prime1;
}

static void hash_stripes(uint64_t lane[4], const uint8_t *p, size_t n_stripes)
{
    uint64_t a = lane[0], b = lane[1], c = lane[2], d = lane[3];
    for (size_t i = 0; i < n_stripes; i++, p += 32) {
        __builtin_prefetch(p + 8192, 0, 2); /* twice as fast from DRAM */
        a = hash_round(a, get_u64(p));
        b = hash_round(b, get_u64(p + 8));
        c = hash_round(c, get_u64(p + 16));
        d = hash_round(d, get_u64(p + 24));
    }
    lane[0] = a;
    lane[1] = b;
    lane[2] = c;
    lane[3] = d;
}

void hasher_init(struct hasher *h)
{
    *h = (struct hasher){.lane = {prime1 + prime2, prime2, 0, 0 - prime1}};
}

void hasher_add(struct hasher *h, const void *p, size_t n_bytes)
{
    const uint8_t *bytes = p;
    h->n_total += n_bytes;
    if (h->n_tail > 0 || n_bytes < 32) {
        size_t n = 32 - h->n_tail < n_bytes ? 32 - h->n_tail : n_bytes;
        if (n > 0) {
            memcpy(h->tail + h->n_tail, bytes, n);
            h->n_tail += n;
            bytes += n;
            n_bytes -= n;
        }
        if (h->n_tail < 32) {
            return;
        }
        hash_stripes(h->lane, h->tail, 1);
        h->n_tail = 0;
    }
    hash_stripes(h->lane, bytes, n_bytes / 32);
    h->n_tail = n_bytes % 32;
    if (h->n_tail > 0) {
        memcpy(h->tail, bytes + (n_bytes - h->n_tail), h->n_tail);
    }
}

uint64_t hasher_value(const struct hasher *h)
{
    uint64_t x = prime5;
    if (h->n_total >= 32) {
        x = rotate(h->lane[0], 1) + rotate(h->lane[1], 7) + rotate(h->lane[2], 12) +
            rotate(h->lane[3], 18);
        for (int i = 0; i < 4; i++) {
            x = (x ^ hash_round(0, h->lane[i])) * prime1 + prime4;
        }
    }
    x += h->n_total;
    const uint8_t *p = h->tail;
    size_t n = h->n_tail;
    for (; n >= 8; n -= 8, p += 8) {
        x = rotate(x ^ hash_round(0, load_u64(p)), 27) * prime1 + prime4;
    }
    if (n >= 4) {
        x = rotate(x ^ load_u32(p) * prime1, 23) * prime2 + prime3;
        n -= 4;
        p += 4;
    }
    for (; n > 0; n--, p++) {
        x = rotate(x ^ *p * prime5, 11) * prime1;
    }
    x = (x ^ x >> 33) * prime2;
    x = (x ^ x >> 29) * prime3;
    return x ^ x >> 32;
}

uint64_t hash64(const void *p, size_t n_bytes)
{
    struct hasher h;
    hasher_init(&h);
    hasher_add(&h, p, n_bytes);
    return hasher_value(&h);
}

uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void buffer_add(struct buffer *b, const void *p, size_t n_bytes)
{
    if (b->failed || n_bytes == 0) {
        return;
    }
    if (n_bytes > b->n_alloc - b->n_bytes) {
        size_t wanted = b->n_bytes + n_bytes;
        size_t doubled = b->n_alloc > SIZE_MAX / 2 ? SIZE_MAX : 2 * b->n_alloc;
        size_t n_alloc = wanted > doubled ? wanted : doubled;
        n_alloc = n_alloc < 64 ? 64 : n_alloc;
        uint8_t *data =
            n_bytes > SIZE_MAX - b->n_bytes ? NULL : realloc(b->data, n_alloc);
        if (data == NULL) {
            b->failed = true;
            return;
        }
        b->data = data;
        b->n_alloc = n_alloc;
    }
    memcpy(b->data + b->n_bytes, p, n_bytes);
    b->n_bytes += n_bytes;
}

void buffer_add_u32(struct buffer *b, uint32_t v)
{
    uint8_t bytes[4];
    store_u32(bytes, v);
    buffer_add(b, bytes, sizeof bytes);
}

void buffer_add_u64(struct buffer *b, uint64_t v)
{
    uint8_t bytes[8];
    store_u64(bytes, v);
    buffer_add(b, bytes, sizeof bytes);
}

void buffer_pad(struct buffer *b, size_t multiple)
{
    static const uint8_t zeros[64];
    size_t n = (size_t)round_up(b->n_bytes, multiple) - b->n_bytes;
    while (n > 0) {
        size_t piece = n < sizeof zeros ? n : sizeof zeros;
        buffer_add(b, zeros, piece);
        n -= piece;
    }
}

void buffer_free(struct buffer *b)
{
    free(b->data);
    *b = (struct buffer){0};
}

bool parse_i64(const char *text, int64_t min, int64_t max, int64_t *out)
{
    const char *digits = text + (*text == '-');
    if (*digits == 0 || digits[strspn(digits, "0123456789")] != 0) {
        return false;
    }
    errno = 0;
    long long value = strtoll(text, NULL, 10);
    if (errno != 0 || value < min || value > max) {
        return false;
    }
    *out = value;
    return true;
}

bool parse_f64(const char *text, double min, double max, double *out)
{
    /* strtod alone would take blanks, hexadecimal, "nan" and "inf" too. */
    const char *p = text + (*text == '-');
    size_t n_whole = strspn(p, "0123456789");
    p += n_whole;
    size_t n_fraction = 0;
    if (*p == '.') {
        n_fraction = strspn(p + 1, "0123456789");
        p += 1 + n_fraction;
    }
    if (n_whole + n_fraction == 0) {
        return false;
    }
    if (*p == 'e' || *p == 'E') {
        p += 1 + (p[1] == '-' || p[1] == '+');
        size_t n_exponent = strspn(p, "0123456789");
        if (n_exponent == 0) {
            return false;
        }
        p += n_exponent;
    }
    double value = strtod(text, NULL);
    if (*p != 0 || !(value >= min && value <= max)) {
        return false;
    }
    *out = value;
    return true;
}
