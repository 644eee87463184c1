/* test_pretok.c: where texts are cut, against the regular expressions that the scanners
 * stand for (tests/make_data.py), and on bytes that no regular expression takes. */
#include <string.h>

#include "src/json.h"
#include "src/pretok.h"
#include "tests/check.h"

static const char *const families[] = {"none",   "gpt2",   "llama3", "qwen2",
                                       "qwen35", "falcon", "default"};

static void check_line(const struct json *record)
{
    const struct json *text = json_get(record, "text"),
                      *want = json_array(record, "chunks");
    struct pretok p = {0};
    for (int i = 1; i < 7; i++) {
        if (json_is(json_get(record, "family"), families[i])) {
            pretok_start(&p, (enum pretokenizer)i, text->text, text->text_bytes);
        }
    }
    bool same = p.family != PRETOK_NONE;
    int64_t length;
    for (want = json_first(want); want != NULL && same; want = json_next(want)) {
        same = json_i64(want, &length) && (size_t)length == pretok_next(&p);
    }
    CHECK(same && pretok_next(&p) == 0, "%s: '%s'", families[p.family], text->text);
}

/* What invalid bytes are: symbols, one each. */
static void check_bytes(void)
{
    static const struct {
        const char *text;
        enum pretokenizer family;
        size_t chunks[6];
    } cases[] = {
        {"a\xff\xfe b", PRETOK_GPT2, {1, 2, 2}},
        {"a\xff\xfe b", PRETOK_LLAMA3, {1, 2, 2}},
        {" \xff", PRETOK_LLAMA3, {2}},
        {"\xc3"
         "abc",
         PRETOK_LLAMA3,
         {4}},
        {"\xe4\xbd\xa0\xe4\xbd", PRETOK_QWEN2, {3, 2}},
        {"1\x80"
         "2",
         PRETOK_GPT2,
         {1, 1, 1}},
        {"a\xff.\xff", PRETOK_FALCON, {1, 1, 1, 1}},
        {"\xed\xa0\x80", PRETOK_DEFAULT, {3}},
        {"all of it", PRETOK_NONE, {9}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pretok p;
        pretok_start(&p, cases[i].family, cases[i].text, strlen(cases[i].text));
        for (size_t k = 0; k == 0 || cases[i].chunks[k - 1] > 0; k++) {
            size_t n = pretok_next(&p);
            CHECK(n == cases[i].chunks[k], "case %zu, chunk %zu: %zu", i, k, n);
        }
    }
}

int main(void)
{
    FILE *in = fopen("tests/data/chunks.jsonl", "r");
    char line[4096];
    size_t n_lines = 0;
    for (; in != NULL && fgets(line, sizeof line, in) != NULL; n_lines++) {
        struct json_doc doc;
        struct bitnet_error err = {0};
        CHECK(json_parse(&doc, line, strlen(line), "chunks.jsonl", &err), "%s", err.msg);
        if (doc.root != NULL) {
            check_line(doc.root);
        }
        json_free(&doc);
    }
    CHECK(n_lines > 1000, "%zu lines", n_lines);
    if (in != NULL) {
        fclose(in);
    }
    check_bytes();
    return check_done();
}
