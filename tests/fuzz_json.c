/* fuzz_json.c: any bytes as JSON; what is read is walked, and its strings written and
 * read again. */
#include <stdlib.h>
#include <string.h>

#include "src/json.h"
#include "tests/fuzz.h"

static size_t walk(const struct json *v, struct buffer *out)
{
    size_t n = 1;
    double number;
    int64_t whole;
    json_f64(v, &number);
    json_i64(v, &whole);
    if (v->kind == JSON_STRING) {
        out->n_bytes = 0;
        json_add_string(out, v->text, v->text_bytes);
        struct json_doc again;
        struct bitnet_error err = {0};
        if (!json_parse(&again, (char *)out->data, out->n_bytes, "fuzz", &err) ||
            again.root->text_bytes != v->text_bytes ||
            memcmp(again.root->text, v->text, v->text_bytes) != 0) {
            abort();
        }
        json_free(&again);
    }
    for (const struct json *item = json_first(v); item != NULL; item = json_next(item)) {
        n += walk(item, out);
    }
    if (n != v->span) {
        abort();
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct json_doc doc;
    struct bitnet_error err = {0};
    struct buffer out = {0};
    if (json_parse(&doc, (const char *)data, n_bytes, "fuzz", &err)) {
        walk(doc.root, &out);
        json_free(&doc);
    } else if (err.code == BITNET_OK || err.msg[0] == 0) {
        abort();
    }
    buffer_free(&out);
    return 0;
}

bool fuzz_seed(size_t i, struct buffer *out)
{
    static const char *const seeds[] = {
        "{\"a\":[1,-2.5e+3,\"x\\u00e9\\ud83d\\ude00\\n\",true,false,null],\"b\":{\"c\":{}"
        "}}",
        "[[[[]]],\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\",0,-0,1E5,0.1]",
        "{\"1\":1,\"2\":2,\"3\":3,\"4\":4,\"5\":5,\"6\":6,\"7\":7,\"8\":8,\"9\":9,\"10\":"
        "10}"};
    if (i < 3) {
        buffer_add(out, seeds[i], strlen(seeds[i]));
    }
    return i < 3;
}
