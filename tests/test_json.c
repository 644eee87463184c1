/* test_json.c: the grammar of RFC 8259 from both sides, values, and what is written
 * back. */
#include <stdlib.h>
#include <string.h>

#include "src/json.h"
#include "src/utf8.h"
#include "tests/check.h"

static const char *const good[] = {
    "0",
    "-0",
    "1.5e-3",
    "\"\"",
    "null",
    "true",
    "false",
    "[]",
    "{}",
    " [ ] ",
    "\t\r\n{\n}\n",
    "[1]",
    "[[],[[]],{}]",
    "{\"\":0}",
    "{\"a\":{\"a\":1},\"b\":[{\"a\":2}]}",
    "[1,2 , 3]",
    "1E+2",
    "12345678901234567890123",
    "[0.0,-1.0e10,1e0]",
    "\"\\u0000\"",
    "\"\\ud83d\\ude00\"",
    "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"",
    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
    "\"\x7f\"",
    "\"\xf4\x8f\xbf\xbf\"",
    "\"\\uDBFF\\uDFFF\"",
    "\"\\uabCD\"",
    "{\"a\":1,\"A\":1}",
};

static const struct {
    const char *text, *message; /* a part of it */
} bad[] = {
    {"", "expected a value, found the end"},
    {" ", "expected a value"},
    {"nul", "value"},
    {"True", "value"},
    {"nulll", "nothing after the value, found 'l'"},
    {"[1,]", "value"},
    {"[,1]", "value"},
    {"[1 2]", "expected ',' or ']'"},
    {"[1", "found the end (cut short?)"},
    {"[", "value"},
    {"]", "value"},
    {"{", "a key in quotes"},
    {"{a:1}", "a key in quotes"},
    {"{\"a\"}", "expected ':'"},
    {"{\"a\":}", "value"},
    {"{\"a\":1,}", "a key in quotes"},
    {"{\"a\" 1}", "expected ':'"},
    {"{\"a\":1 \"b\":2}", "expected ',' or '}'"},
    {"{1:2}", "a key in quotes"},
    {"{\"a\":1,\"b\":2,\"a\":3}", "'a' stands twice"},
    {"{\"a\":1,\"\\u0061\":3}", "'a' stands twice"},
    {"[1}", "expected ',' or ']'"},
    {"{\"a\":1]", "expected ',' or '}'"},
    {"01", "needless zero"},
    {"-01", "needless zero"},
    {"-", "expected a digit"},
    {"+1", "value"},
    {".5", "value"},
    {"1.", "after the point"},
    {"1.e5", "after the point"},
    {"1e", "exponent"},
    {"1e+", "exponent"},
    {"0x10", "nothing after"},
    {"NaN", "value"},
    {"Infinity", "value"},
    {"-Infinity", "expected a digit"},
    {"1 2", "nothing"},
    {"[] []", "nothing after"},
    {"'a'", "value"},
    {"\"a", "closing quote"},
    {"\"a\nb\"", "control"},
    {"\"\t\"", "control characters escaped, found byte 0x09"},
    {"\"\\x41\"", "after a backslash"},
    {"\"\\", "after a backslash"},
    {"\"\\u12\"", "four hexadecimal"},
    {"\"\\u12g4\"", "four"},
    {"\"\\u", "four hexadecimal"},
    {"\"\\ud800\"", "second half"},
    {"\"\\ud800x\"", "second half"},
    {"\"\\ud800\\n\"", "second half"},
    {"\"\\ud800\\u0041\"", "second half"},
    {"\"\\udc00\"", "stands alone"},
    {"\"\xff\"", "valid UTF-8, found byte 0xff"},
    {"\"\xc0\x80\"", "UTF-8"},
    {"\"\xed\xa0\x80\"", "UTF-8"},
    {"\"\xf4\x90\x80\x80\"", "UTF-8"},
    {"\"\xe2\x82\"", "UTF-8"},
    {"\"\xc3", "UTF-8"},
    {"\"\xe0\x80\x80\"", "UTF-8"},
    {"\"\xf0\x80\x80\x80\"", "UTF-8"},
    {"\"\x80\"", "UTF-8"},
    {"\"\xf5\x80\x80\x80\"", "UTF-8"},
    {"\xef\xbb\xbf[]", "line 1 column 1: expected a value, found byte 0xef"},
    {"[/**/]", "value"},
    {"{\n  \"a\": 1,\n  \"b\" 2}",
     "t: line 3 column 7: expected ':' after a key, found '2'"},
};

static bool parse(struct json_doc *doc, const char *text, size_t n,
                  struct bitnet_error *err)
{
    /* A copy of exactly this size, so that a sanitizer sees one byte read too far. */
    char *copy = malloc(n + (n == 0));
    memcpy(copy, text, n);
    *err = (struct bitnet_error){0};
    bool ok = json_parse(doc, copy, n, "t", err);
    free(copy);
    return ok;
}

static void check_grammar(void)
{
    struct json_doc doc;
    struct bitnet_error err;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        size_t n = strlen(good[i]);
        CHECK(parse(&doc, good[i], n, &err), "%s: %s", good[i], err.msg);
        json_free(&doc);
        for (size_t cut = 0; cut < n;
             cut++) { /* a cut document may be good (12 -> 1), not crash */
            if (parse(&doc, good[i], cut, &err)) {
                json_free(&doc);
            }
        }
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bool ok = parse(&doc, bad[i].text, strlen(bad[i].text), &err);
        CHECK(!ok && err.code == BITNET_BAD, "%s was taken", bad[i].text);
        CHECK(strstr(err.msg, bad[i].message) != NULL, "%s: %s", bad[i].text, err.msg);
    }
    CHECK(!parse(&doc, "[1]\0", 4, &err), "a NUL byte after the value");
    CHECK(!parse(&doc, "\"a\0b\"", 5, &err), "a NUL byte in a string");
    static char deep[400];
    for (size_t levels = 126; levels < 132; levels++) {
        memset(deep, '[', levels);
        memset(deep + levels, ']', levels);
        bool ok = parse(&doc, deep, 2 * levels, &err);
        CHECK(ok == (levels <= 128), "%zu levels: %s", levels, err.msg);
        json_free(&doc);
    }
}

static void check_values(void)
{
    static const char text[] = "{\"name\": \"a\\u00e9\\ud83d\\ude00\", \"n\": -42, "
                               "\"x\": 2.5e3, \"yes\": true, \"no\": false,"
                               " \"nul\": \"a\\u0000b\", \"none\": null, \"list\": [1, "
                               "[2, 3], {\"k\": [4]}, \"five\"],"
                               " \"big\": 9223372036854775807, \"huge\": "
                               "9223372036854775808, \"inf\": 1e999, \"real\": 1.0}";
    struct json_doc doc;
    struct bitnet_error err;
    CHECK(parse(&doc, text, strlen(text), &err), "%s", err.msg);
    const struct json *o = doc.root;
    int64_t i = 0;
    double d = 0;
    CHECK(o != NULL && o->kind == JSON_OBJECT && o->n_items == 12, "object");
    CHECK(json_is(json_get(o, "name"), "a\xc3\xa9\xf0\x9f\x98\x80"), "string");
    CHECK(json_i64(json_get(o, "n"), &i) && i == -42, "integer");
    CHECK(json_f64(json_get(o, "x"), &d) && d == 2500, "real");
    CHECK(!json_i64(json_get(o, "x"), &i) && !json_i64(json_get(o, "real"), &i),
          "no integers");
    CHECK(json_true(json_get(o, "yes")) && !json_true(json_get(o, "no")), "truth");
    CHECK(json_text(json_get(o, "nul")) == NULL && json_get(o, "nul")->text_bytes == 3,
          "NUL");
    CHECK(json_get(o, "none")->kind == JSON_NULL && json_get(o, "other") == NULL, "null");
    CHECK(json_i64(json_get(o, "big"), &i) && i == INT64_MAX, "big");
    CHECK(!json_i64(json_get(o, "huge"), &i) && !json_f64(json_get(o, "inf"), &d),
          "too big");
    CHECK(json_f64(json_get(o, "huge"), &d) && d == 0x1p63, "huge as a real");
    const struct json *list = json_array(o, "list");
    CHECK(list != NULL && list->n_items == 4 && list->span == 9, "array");
    const struct json *v = json_first(list);
    CHECK(json_i64(v, &i) && i == 1, "first");
    v = json_next(v);
    CHECK(v->n_items == 2 && json_next(json_next(json_first(v))) == NULL, "second");
    v = json_next(v);
    CHECK(json_i64(json_first(json_array(v, "k")), &i) && i == 4, "third");
    v = json_next(v);
    CHECK(json_is(v, "five") && json_next(v) == NULL, "fourth");
    CHECK(json_object(o, "list") == NULL && json_array(o, "name") == NULL, "kinds");
    CHECK(json_first(NULL) == NULL && json_get(NULL, "a") == NULL && !json_true(NULL),
          "absent");
    json_free(&doc);
}

/* 100,000 keys: all found distinct in little time, and one repeated is refused. */
static void check_many(void)
{
    struct buffer b = {0};
    char piece[64];
    for (int i = 0; i < 100000; i++) {
        int n = snprintf(piece, sizeof piece, "%s\"k%d\":%d", i == 0 ? "{" : ",", i, i);
        buffer_add(&b, piece, (size_t)n);
    }
    size_t n_open = b.n_bytes;
    buffer_add(&b, "}", 1);
    struct json_doc doc;
    struct bitnet_error err;
    CHECK(parse(&doc, (char *)b.data, b.n_bytes, &err), "%s", err.msg);
    CHECK(doc.root->n_items == 100000, "%u items", doc.root->n_items);
    json_free(&doc);
    b.n_bytes = n_open;
    buffer_add(&b, ",\"k77777\":0}", 12);
    CHECK(!parse(&doc, (char *)b.data, b.n_bytes, &err), "a repeated key");
    CHECK(strstr(err.msg, "'k77777' stands twice") != NULL, "%s", err.msg);
    buffer_free(&b);
}

static void check_writing(void)
{
    struct buffer b = {0};
    json_add_string(&b, "a\"\\\n\t\x01\x7f\xc3\xa9\xff\xf0\x9f\0z", 14);
    static const char want[] =
        "\"a\\\"\\\\\\n\\t\\u0001\\u007f\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd"
        "\xef\xbf\xbd\\u0000z\"";
    CHECK(b.n_bytes == sizeof want - 1 && memcmp(b.data, want, b.n_bytes) == 0, "%.*s",
          (int)b.n_bytes, (char *)b.data);
    b.n_bytes = 0;
    /* Every scalar value goes out and comes back. */
    struct buffer all = {0};
    for (uint32_t code = 0; code < 0x110000; code++) {
        char c[4];
        if (code < 0xd800 || code > 0xdfff) {
            buffer_add(&all, c, utf8_encode(code, c));
        }
    }
    json_add_string(&b, (char *)all.data, all.n_bytes);
    struct json_doc doc;
    struct bitnet_error err;
    CHECK(parse(&doc, (char *)b.data, b.n_bytes, &err), "%s", err.msg);
    CHECK(doc.root->text_bytes == all.n_bytes &&
              memcmp(doc.root->text, all.data, all.n_bytes) == 0,
          "not the same");
    json_free(&doc);
    buffer_free(&all);
    buffer_free(&b);
}

static void check_utf8(void)
{
    static const struct {
        const char *text;
        size_t n_unfinished;
    } ends[] = {{"", 0},
                {"a", 0},
                {"a\xc3", 1},
                {"\xc3\xa9", 0},
                {"\xe2", 1},
                {"\xe2\x82", 2},
                {"\xe2\x82\xac", 0},
                {"\xf0\x9f\x98", 3},
                {"\xf0\x9f\x98\x80", 0},
                {"\x80", 0},
                {"\xff", 0},
                {"a\x82\xac", 0},
                {"\x82\xac\x80\x80", 0},
                {"\xe0\x80", 0},
                {"\xed\xa0", 0},
                {"\xf4\x90", 0},
                {"\xc0", 0}};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        size_t n = utf8_unfinished(ends[i].text, strlen(ends[i].text));
        CHECK(n == ends[i].n_unfinished, "end %zu: %zu", i, n);
    }
    /* Triples of bytes against the definition by encoding; 7 reaches every pair of the
     * first two. */
    int n_bad = 0;
    for (uint32_t bits = 0; bits < 1u << 24; bits += 7) {
        char b[3] = {(char)(bits & 0xff), (char)(bits >> 8), (char)(bits >> 16)}, back[4];
        uint32_t code = 0;
        size_t n = utf8_decode(b, 3, &code);
        n_bad += n != 0 && (utf8_encode(code, back) != n || memcmp(b, back, n) != 0);
    }
    CHECK(n_bad == 0, "%d decode to something else", n_bad);
}

int main(void)
{
    check_grammar();
    check_values();
    check_many();
    check_writing();
    check_utf8();
    return check_done();
}
