/* json.h: a strict reader of JSON (RFC 8259) and the little that is needed to write it.
 *
 * The reader takes a whole document and gives an array of values in document order; the
 * values inside one follow it directly, so a walk is a few additions. Refused beside
 * what the grammar refuses: invalid UTF-8, lone surrogates, a key twice in one object,
 * more than 128 levels, bytes after the value, a byte order mark, 2 GiB or more.
 *
 *     for (const struct json *v = json_first(list); v != NULL; v = json_next(v)) ...
 */
#ifndef BITNET_JSON_H
#define BITNET_JSON_H

#include "src/base.h"

enum json_kind {
    JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT
};

struct json {
    const char *key;  /* of a member of an object, decoded, NUL-terminated; else NULL */
    const char *text; /* string: decoded, NUL-terminated; number: as written; else NULL */
    uint32_t key_bytes, text_bytes; /* a string may hold NUL bytes, so lengths count */
    uint32_t n_items;               /* array, object: how many values directly inside */
    uint32_t span;                  /* how many values in all, this one included */
    uint8_t kind;
    bool truth; /* of a JSON_BOOL */
    bool last;  /* no sibling follows */
};

struct json_doc {
    struct json *root; /* the document's value */
    char *text;        /* all keys and strings */
};

/* Reads a whole document. name is for messages, which say line and column. */
bool json_parse(struct json_doc *doc, const char *bytes, size_t n_bytes, const char *name,
                struct bitnet_error *err);
/* The same from a file. */
bool json_read(struct json_doc *doc, const char *path, struct bitnet_error *err);
void json_free(struct json_doc *doc);

bool json_absent(const struct json *v); /* NULL, or null */
/* All of these take NULL for an absent value and then say NULL, false or no. */
const struct json *json_first(const struct json *v); /* of an array or object, or NULL */
const struct json *json_next(const struct json *v);  /* the next sibling, or NULL */
const struct json *json_get(const struct json *v, const char *key); /* member, or NULL */
/* A member of that kind, or NULL. */
const struct json *json_array(const struct json *v, const char *key);
const struct json *json_object(const struct json *v, const char *key);
const char *json_text(const struct json *v); /* a string without NUL bytes, or NULL */
bool json_is(const struct json *v, const char *text); /* exactly this string */
bool json_true(const struct json *v);
/* An integer that fits ("1e3" and "1.0" are none); any number that does not overflow. */
bool json_i64(const struct json *v, int64_t *out);
bool json_f64(const struct json *v, double *out);

/* Appends text as a JSON string with its quotes; bytes that are not UTF-8 become
 * U+FFFD. */
void json_add_string(struct buffer *b, const char *text, size_t n_bytes);

#endif
