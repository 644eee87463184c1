/* test_answer.c: what a stream of token bytes prints: whole characters, stops, lines,
 * sentences, limits. Each case is fed whole, byte by byte and in random pieces: the text
 * must be the same. */
#include <stdlib.h>
#include <string.h>

#include "src/cmd_answer.h"
#include "tests/check.h"

struct test {
    const char *in, *stop, *stop2;
    enum until until;
    uint64_t max_bytes;
    const char *out;
    enum finish finish;
};

static const struct test tests[] = {
    {"plain text", NULL, NULL, UNTIL_END, 0, "plain text", FINISH_EOS},
    {"", NULL, NULL, UNTIL_END, 0, "", FINISH_EOS},
    {"one STOP two", "STOP", NULL, UNTIL_END, 0, "one ", FINISH_STOP},
    {"one STO two", "STOP", NULL, UNTIL_END, 0, "one STO two", FINISH_EOS},
    {"ends in STO", "STOP", NULL, UNTIL_END, 0, "ends in STO", FINISH_EOS},
    {"aaab", "aab", NULL, UNTIL_END, 0, "a", FINISH_STOP},
    {"x\nUser: y", "\nUser:", NULL, UNTIL_END, 0, "x", FINISH_STOP},
    {"first END then STOP", "STOP", "END", UNTIL_END, 0, "first ", FINISH_STOP},
    {"h\xc3\xa9!", "\xc3\xa9", NULL, UNTIL_END, 0, "h", FINISH_STOP},
    {"h\xc3\xa9llo", NULL, NULL, UNTIL_END, 0, "h\xc3\xa9llo", FINISH_EOS},
    {"half \xe2\x82", NULL, NULL, UNTIL_END, 0, "half ", FINISH_EOS},
    {"bad \xff byte", NULL, NULL, UNTIL_END, 0, "bad \xef\xbf\xbd byte", FINISH_EOS},
    {"cut \xe2\x82x", NULL, NULL, UNTIL_END, 0, "cut \xef\xbf\xbd\xef\xbf\xbdx", FINISH_EOS},
    {"\n\n  a line\nmore", NULL, NULL, UNTIL_NEWLINE, 0, "a line", FINISH_UNTIL},
    {"no newline", NULL, NULL, UNTIL_NEWLINE, 0, "no newline", FINISH_EOS},
    {"\n \n", NULL, NULL, UNTIL_NEWLINE, 0, "", FINISH_EOS},
    {" A cat. A dog.", NULL, NULL, UNTIL_SENTENCE, 0, "A cat.", FINISH_UNTIL},
    {"It is 3.14 now. Yes", NULL, NULL, UNTIL_SENTENCE, 0, "It is 3.14 now.", FINISH_UNTIL},
    {"Mr. Fox ran! He", NULL, NULL, UNTIL_SENTENCE, 0, "Mr. Fox ran!", FINISH_UNTIL},
    {"J. Doe sat. He", NULL, NULL, UNTIL_SENTENCE, 0, "J. Doe sat.", FINISH_UNTIL},
    {"\"Why?\" said", NULL, NULL, UNTIL_SENTENCE, 0, "\"Why?\"", FINISH_UNTIL},
    {"What?! No", NULL, NULL, UNTIL_SENTENCE, 0, "What?!", FINISH_UNTIL},
    {"a title\ntext", NULL, NULL, UNTIL_SENTENCE, 0, "a title", FINISH_UNTIL},
    {"\xe5\xa5\xbd\xe3\x80\x82\xe5\xa5\xbd", NULL, NULL, UNTIL_SENTENCE, 0,
     "\xe5\xa5\xbd\xe3\x80\x82", FINISH_UNTIL},
    {"the end.", NULL, NULL, UNTIL_SENTENCE, 0, "the end.", FINISH_EOS},
    {"12345678", NULL, NULL, UNTIL_END, 5, "12345", FINISH_BYTES},
    {"1234\xc3\xa9", NULL, NULL, UNTIL_END, 5, "1234", FINISH_BYTES},
    {"12345", NULL, NULL, UNTIL_END, 5, "12345", FINISH_EOS},
    {"123 STOP", "STOP", NULL, UNTIL_END, 6, "123 ", FINISH_STOP},
};

static void run(const struct test *t, int pieces)
{
    const char *stops[2] = {t->stop, t->stop2};
    struct answer_rules rules = {.stops = stops, .until = t->until, .max_bytes = t->max_bytes};
    struct answer a = {0};
    size_t n = strlen(t->in), n_printed = 0;
    char printed[128] = "";
    bool grows = true;
    rules.n_stops = (t->stop != NULL) + (t->stop2 != NULL);
    answer_begin(&a, &rules);
    for (size_t at = 0; at < n && a.finish == FINISH_NONE;) {
        size_t k = pieces == 0 ? n : pieces == 1 ? 1 : 1 + (size_t)rand() % 4;
        k = k < n - at ? k : n - at;
        answer_add(&a, t->in + at, k);
        at += k;
        if (n_printed < a.n_start)
            n_printed = a.n_start;
        grows = grows && a.n_ready >= n_printed;
        if (a.n_ready > n_printed) { /* what is out cannot be taken back */
            strncat(printed, (const char *)a.text.data + n_printed, a.n_ready - n_printed);
            n_printed = a.n_ready;
        }
    }
    answer_end(&a, FINISH_EOS);
    if (a.n_ready > n_printed)
        strncat(printed, (const char *)a.text.data + n_printed, a.n_ready - n_printed);
    CHECK(grows, "'%s' took bytes back", t->in);
    CHECK(strcmp(printed, t->out) == 0, "'%s' (%d): '%s', not '%s'", t->in, pieces, printed,
          t->out);
    /* Fed whole, a later rule may be seen together with an earlier one; the earliest
     * counts. */
    CHECK(a.finish == t->finish, "'%s' (%d): %s, not %s", t->in, pieces, finish_name(a.finish),
          finish_name(t->finish));
    answer_free(&a);
}

int main(void)
{
    srand(7);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        for (int pieces = 0; pieces < 6; pieces++)
            run(&tests[i], pieces);
    }
    return check_done();
}
