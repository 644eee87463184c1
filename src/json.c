/* json.c: see json.h. One recursive descent fills a flat array of values and one block
 * of text that is never longer than the source. */
#include "src/json.h"

#include <errno.h>
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/utf8.h"

enum { max_depth = 128 };

struct parser {
    const char *start, *at, *end, *name;
    struct json *values;
    size_t n_values, n_alloc;
    char *text; /* where the next string goes */
    size_t depth;
    struct bitnet_error *err;
};

static bool complain(struct parser *p, const char *at, const char *what)
{
    size_t line = 1, column = 1;
    for (const char *c = p->start; c < at; c++) {
        column = *c == '\n' ? 1 : column + 1;
        line += *c == '\n';
    }
    if (at == p->end) {
        return fail(p->err, BITNET_BAD,
                    "%s: line %zu column %zu: %s, found the end (cut short?)", p->name,
                    line, column, what);
    }
    unsigned char c = (unsigned char)*at;
    if (c > 0x20 && c < 0x7f) {
        return fail(p->err, BITNET_BAD, "%s: line %zu column %zu: %s, found '%c'",
                    p->name, line, column, what, c);
    }
    return fail(p->err, BITNET_BAD, "%s: line %zu column %zu: %s, found byte 0x%02x",
                p->name, line, column, what, c);
}

static void skip_blanks(struct parser *p)
{
    while (p->at < p->end &&
           (*p->at == ' ' || *p->at == '\n' || *p->at == '\r' || *p->at == '\t')) {
        p->at++;
    }
}

static bool new_value(struct parser *p, enum json_kind kind, size_t *idx)
{
    if (p->n_values == p->n_alloc) {
        size_t n_alloc = p->n_alloc == 0 ? 16 : 2 * p->n_alloc;
        struct json *values = realloc(p->values, n_alloc * sizeof *values);
        if (values == NULL) {
            return fail(p->err, BITNET_FAILED, "%s: not enough memory for its JSON",
                        p->name);
        }
        p->values = values;
        p->n_alloc = n_alloc;
    }
    *idx = p->n_values++;
    p->values[*idx] = (struct json){.kind = (uint8_t)kind, .span = 1};
    return true;
}

static bool hex4(struct parser *p, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++, p->at++) {
        unsigned c = p->at < p->end ? (unsigned char)*p->at : 0;
        unsigned digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) - 'a' + 10;
        if (!(c >= '0' && c <= '9') && !((c | 32) >= 'a' && (c | 32) <= 'f')) {
            return complain(p, p->at, "expected four hexadecimal digits after \\u");
        }
        *out = *out << 4 | digit;
    }
    return true;
}

/* After the backslash. */
static bool parse_escape(struct parser *p)
{
    static const char plain[] = "\"\\/bfnrt", meaning[] = "\"\\/\b\f\n\r\t";
    const char *at = p->at;
    const char *hit = at < p->end && *at != 0 ? strchr(plain, *at) : NULL;
    if (hit != NULL) {
        *p->text++ = meaning[hit - plain];
        p->at++;
        return true;
    }
    if (at == p->end || *at != 'u') {
        return complain(p, at, "expected one of \"\\/bfnrtu after a backslash");
    }
    p->at++;
    uint32_t code, low;
    if (!hex4(p, &code)) {
        return false;
    }
    if (code >= 0xd800 && code < 0xdc00) {
        if (p->end - p->at < 2 || p->at[0] != '\\' || p->at[1] != 'u') {
            return complain(p, p->at, "expected the second half of a surrogate pair");
        }
        p->at += 2;
        at = p->at;
        if (!hex4(p, &low)) {
            return false;
        }
        if (low < 0xdc00 || low > 0xdfff) {
            return complain(p, at, "expected the second half of a surrogate pair");
        }
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (code >= 0xdc00 && code < 0xe000) {
        return complain(p, at, "the second half of a surrogate pair stands alone");
    }
    p->text += utf8_encode(code, p->text);
    return true;
}

static bool parse_string(struct parser *p, const char **text, uint32_t *n_bytes)
{
    char *begin = p->text;
    for (p->at++;;) {
        unsigned char c = p->at < p->end ? (unsigned char)*p->at : 0;
        if (c == '"') {
            break;
        }
        uint32_t code;
        if (c == '\\') {
            p->at++;
            if (!parse_escape(p)) {
                return false;
            }
        } else if (c < 0x20) {
            return complain(p, p->at,
                            p->at < p->end ? "a string needs control characters escaped"
                                           : "expected the closing quote of a string");
        } else if (c < 0x80) {
            *p->text++ = *p->at++;
        } else {
            size_t n = utf8_decode(p->at, (size_t)(p->end - p->at), &code);
            if (n == 0) {
                return complain(p, p->at, "expected valid UTF-8");
            }
            memcpy(p->text, p->at, n);
            p->text += n;
            p->at += n;
        }
    }
    p->at++;
    *text = begin;
    *n_bytes = (uint32_t)(p->text - begin);
    *p->text++ = 0;
    return true;
}

static const char *skip_digits(const struct parser *p, const char *at)
{
    while (at < p->end && *at >= '0' && *at <= '9') {
        at++;
    }
    return at;
}

static bool parse_number(struct parser *p, const char **text, uint32_t *n_bytes)
{
    const char *begin = p->at, *at = begin + (*begin == '-');
    const char *digits = at;
    at = skip_digits(p, at);
    if (at == digits || (at - digits > 1 && *digits == '0')) {
        return complain(p, digits,
                        at == digits ? "expected a digit"
                                     : "a number starts with no needless zero");
    }
    if (at < p->end && *at == '.') {
        digits = at + 1;
        at = skip_digits(p, digits);
        if (at == digits) {
            return complain(p, at, "expected a digit after the point");
        }
    }
    if (at < p->end && (*at == 'e' || *at == 'E')) {
        at++;
        at += at < p->end && (*at == '+' || *at == '-');
        digits = at;
        at = skip_digits(p, at);
        if (at == digits) {
            return complain(p, at, "expected a digit in the exponent");
        }
    }
    *n_bytes = (uint32_t)(at - begin);
    *text = memcpy(p->text, begin, *n_bytes);
    p->text += *n_bytes;
    *p->text++ = 0;
    p->at = at;
    return true;
}

static bool same_key(const struct json *a, const struct json *b)
{
    return a->key_bytes == b->key_bytes && memcmp(a->key, b->key, a->key_bytes) == 0;
}

static bool duplicate(struct parser *p, const struct json *v)
{
    return fail(p->err, BITNET_BAD, "%s: the key '%.80s' stands twice in one object",
                p->name, v->key);
}

static bool check_keys(struct parser *p, size_t object)
{
    const struct json *v = &p->values[object];
    if (v->n_items <= 8) {
        for (const struct json *a = json_first(v); a != NULL; a = json_next(a)) {
            for (const struct json *b = json_next(a); b != NULL; b = json_next(b)) {
                if (same_key(a, b)) {
                    return duplicate(p, b);
                }
            }
        }
        return true;
    }
    /* Vocabularies have 150,000 keys: a table of value numbers, 0 for empty, at most
     * half full. */
    size_t n_slots = 32;
    while (n_slots < 2 * (size_t)v->n_items) {
        n_slots *= 2;
    }
    uint32_t *slots = calloc(n_slots, sizeof *slots);
    if (slots == NULL) {
        return fail(p->err, BITNET_FAILED, "%s: not enough memory for its JSON", p->name);
    }
    for (const struct json *a = json_first(v); a != NULL; a = json_next(a)) {
        size_t i = hash64(a->key, a->key_bytes) & (n_slots - 1);
        for (; slots[i] != 0; i = (i + 1) & (n_slots - 1)) {
            if (same_key(a, &p->values[slots[i]])) {
                free(slots);
                return duplicate(p, a);
            }
        }
        slots[i] = (uint32_t)(a - p->values);
    }
    free(slots);
    return true;
}

static bool parse_value(struct parser *p, size_t *idx);

static bool parse_key(struct parser *p, const char **key, uint32_t *key_bytes)
{
    if (p->at == p->end || *p->at != '"') {
        return complain(p, p->at, "expected a key in quotes");
    }
    if (!parse_string(p, key, key_bytes)) {
        return false;
    }
    skip_blanks(p);
    if (p->at == p->end || *p->at != ':') {
        return complain(p, p->at, "expected ':' after a key");
    }
    p->at++;
    skip_blanks(p);
    return true;
}

/* Arrays and objects: what stands between the brackets. */
static bool parse_items(struct parser *p, size_t idx, char closing)
{
    bool is_object = closing == '}';
    if (++p->depth > max_depth) {
        return complain(p, p->at, "more than 128 levels of nesting");
    }
    p->at++;
    skip_blanks(p);
    uint32_t n_items = 0;
    if (p->at < p->end && *p->at == closing) {
        p->at++;
        p->depth--;
        return true;
    }
    for (;; n_items++) {
        const char *key = NULL;
        uint32_t key_bytes = 0;
        size_t item;
        skip_blanks(p);
        if (is_object && !parse_key(p, &key, &key_bytes)) {
            return false;
        }
        if (!parse_value(p, &item)) {
            return false;
        }
        p->values[item].key = key;
        p->values[item].key_bytes = key_bytes;
        skip_blanks(p);
        if (p->at < p->end && *p->at == closing) {
            p->values[item].last = true;
            break;
        }
        if (p->at == p->end || *p->at != ',') {
            return complain(p, p->at,
                            is_object ? "expected ',' or '}' in an object"
                                      : "expected ',' or ']' in an array");
        }
        p->at++;
    }
    p->at++;
    p->depth--;
    p->values[idx].n_items = n_items + 1;
    p->values[idx].span = (uint32_t)(p->n_values - idx);
    return !is_object || check_keys(p, idx);
}

static bool parse_word(struct parser *p, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(p->end - p->at) < n || memcmp(p->at, word, n) != 0) {
        return complain(p, p->at, "expected a value");
    }
    p->at += n;
    return true;
}

static bool parse_value(struct parser *p, size_t *idx)
{
    char c = p->at < p->end ? *p->at : 0;
    enum json_kind kind = c == '{'               ? JSON_OBJECT
                          : c == '['             ? JSON_ARRAY
                          : c == '"'             ? JSON_STRING
                          : c == 't' || c == 'f' ? JSON_BOOL
                          : c == 'n'             ? JSON_NULL
                                                 : JSON_NUMBER;
    if (kind == JSON_NUMBER && c != '-' && !(c >= '0' && c <= '9')) {
        return complain(p, p->at, "expected a value");
    }
    if (!new_value(p, kind, idx)) {
        return false;
    }
    struct json *v = &p->values[*idx];
    switch (kind) {
    case JSON_OBJECT: return parse_items(p, *idx, '}');
    case JSON_ARRAY: return parse_items(p, *idx, ']');
    case JSON_STRING: return parse_string(p, &v->text, &v->text_bytes);
    case JSON_NUMBER: return parse_number(p, &v->text, &v->text_bytes);
    case JSON_BOOL:
        v->truth = c == 't';
        return parse_word(p, c == 't' ? "true" : "false");
    case JSON_NULL: return parse_word(p, "null");
    }
    return false;
}

bool json_parse(struct json_doc *doc, const char *bytes, size_t n_bytes, const char *name,
                struct bitnet_error *err)
{
    *doc = (struct json_doc){0};
    if (n_bytes >= (size_t)1 << 31) {
        return fail(err, BITNET_BAD, "%s: %zu bytes of JSON, at most 2 GiB can be read",
                    name, n_bytes);
    }
    /* A string or number gives up at least its quotes or the byte after it; the
     * document's last byte may be a digit, hence one more for its NUL. */
    char *text = malloc(n_bytes + 1);
    if (text == NULL) {
        return fail(err, BITNET_FAILED, "%s: not enough memory for its JSON", name);
    }
    struct parser p = {.start = bytes,
                       .at = bytes,
                       .end = bytes + n_bytes,
                       .name = name,
                       .text = text,
                       .err = err};
    size_t root;
    skip_blanks(&p);
    bool ok = parse_value(&p, &root);
    if (ok) {
        skip_blanks(&p);
        ok = p.at == p.end || complain(&p, p.at, "expected nothing after the value");
    }
    if (!ok) {
        free(p.values);
        free(text);
        return false;
    }
    p.values[0].last = true;
    *doc = (struct json_doc){p.values, text};
    return true;
}

bool json_read(struct json_doc *doc, const char *path, struct bitnet_error *err)
{
    *doc = (struct json_doc){0};
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        return fail(err, BITNET_FAILED, "%s: %s", path, strerror(errno));
    }
    struct buffer b = {0};
    char piece[16384];
    size_t n;
    while ((n = fread(piece, 1, sizeof piece, f)) > 0 && !b.failed &&
           b.n_bytes < 1u << 31) {
        buffer_add(&b, piece, n);
    }
    bool ok = ferror(f) == 0 || fail(err, BITNET_FAILED, "%s: %s", path, strerror(errno));
    fclose(f);
    ok = ok && (!b.failed ||
                fail(err, BITNET_FAILED, "%s: not enough memory to read it", path));
    ok = ok && json_parse(doc, (const char *)b.data, b.n_bytes, path, err);
    buffer_free(&b);
    return ok;
}

void json_free(struct json_doc *doc)
{
    free(doc->root);
    free(doc->text);
    *doc = (struct json_doc){0};
}

bool json_absent(const struct json *v)
{
    return v == NULL || v->kind == JSON_NULL;
}

const struct json *json_first(const struct json *v)
{
    return v != NULL && v->n_items > 0 ? v + 1 : NULL;
}

const struct json *json_next(const struct json *v)
{
    return v == NULL || v->last ? NULL : v + v->span;
}

const struct json *json_get(const struct json *v, const char *key)
{
    if (v == NULL || v->kind != JSON_OBJECT) {
        return NULL;
    }
    size_t n = strlen(key);
    for (v = json_first(v); v != NULL; v = json_next(v)) {
        if (v->key_bytes == n && memcmp(v->key, key, n) == 0) {
            return v;
        }
    }
    return NULL;
}

const struct json *json_array(const struct json *v, const char *key)
{
    v = json_get(v, key);
    return v != NULL && v->kind == JSON_ARRAY ? v : NULL;
}

const struct json *json_object(const struct json *v, const char *key)
{
    v = json_get(v, key);
    return v != NULL && v->kind == JSON_OBJECT ? v : NULL;
}

const char *json_text(const struct json *v)
{
    if (v == NULL || v->kind != JSON_STRING ||
        memchr(v->text, 0, v->text_bytes) != NULL) {
        return NULL;
    }
    return v->text;
}

bool json_is(const struct json *v, const char *text)
{
    const char *have = json_text(v);
    return have != NULL && strcmp(have, text) == 0;
}

bool json_true(const struct json *v)
{
    return v != NULL && v->kind == JSON_BOOL && v->truth;
}

bool json_i64(const struct json *v, int64_t *out)
{
    return v != NULL && v->kind == JSON_NUMBER &&
           parse_i64(v->text, INT64_MIN, INT64_MAX, out);
}

bool json_f64(const struct json *v, double *out)
{
    return v != NULL && v->kind == JSON_NUMBER &&
           parse_f64(v->text, -DBL_MAX, DBL_MAX, out);
}

void json_add_string(struct buffer *b, const char *text, size_t n_bytes)
{
    static const char hex[] = "0123456789abcdef";
    buffer_add(b, "\"", 1);
    for (size_t i = 0; i < n_bytes;) {
        unsigned char c = (unsigned char)text[i];
        uint32_t code;
        size_t n = utf8_decode(text + i, n_bytes - i, &code);
        static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
        const char *hit = c != 0 ? strchr(from, c) : NULL;
        if (hit != NULL) {
            buffer_add(b, (char[2]){'\\', to[hit - from]}, 2);
        } else if (c < 0x20 || c == 0x7f) {
            buffer_add(b, (char[6]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
        } else if (n == 0) {
            buffer_add(b, "\xef\xbf\xbd", 3);
        } else {
            buffer_add(b, text + i, n);
        }
        i += n == 0 ? 1 : n;
    }
    buffer_add(b, "\"", 1);
}
