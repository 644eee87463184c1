/* test_args.c: the parser, and that help, man pages and completions say what the parser
 * does. */
#include <stdlib.h>
#include <string.h>

#include "src/args.h"
#include "tests/check.h"

static bool parse(struct args *a, const char *command, const char *words, struct bitnet_error *err)
{
    static char copy[512];
    static char *argv[64];
    int argc = 1;
    *err = (struct bitnet_error){0};
    snprintf(copy, sizeof copy, "%s", words);
    argv[0] = (char *)"x";
    for (char *p = strtok(copy, " "); p != NULL && argc < 63; p = strtok(NULL, " "))
        argv[argc++] = strcmp(p, "''") == 0 ? (char *)"" : p;
    argv[argc] = NULL;
    return args_parse(a, args_command(command), argc, argv, err);
}

/* Everything that a printer writes. */
static char *printed(void (*print)(FILE *, const struct arg_command *, const char *),
                     const struct arg_command *c, const char *name)
{
    FILE *f = tmpfile();
    print(f, c, name);
    long n = ftell(f);
    char *text = calloc(1, (size_t)n + 1);
    rewind(f);
    if (fread(text, 1, (size_t)n, f) != (size_t)n)
        text[0] = '\0';
    fclose(f);
    return text;
}

static void help_all(FILE *f, const struct arg_command *c, const char *name)
{
    (void)name;
    args_print_help(f, c, true);
}

static void help_brief(FILE *f, const struct arg_command *c, const char *name)
{
    (void)name;
    args_print_help(f, c, false);
}

static void man(FILE *f, const struct arg_command *c, const char *name)
{
    (void)name;
    args_print_man(f, c);
}

static void completion(FILE *f, const struct arg_command *c, const char *name)
{
    (void)c;
    args_print_completion(f, name);
}

/* A man page spells a dash as \-. */
static void as_man(const char *name, size_t n, char *out)
{
    *out++ = '"';
    for (size_t i = 1; i < n; i++) {
        if (name[i] == '-')
            *out++ = '\\';
        *out++ = name[i];
    }
    *out++ = '"';
    *out = '\0';
}

static void check_row(const struct arg_command *c, const struct arg_option *o, const char *all,
                      const char *brief, const char *page)
{
    size_t n;
    const char *s;
    char word[96], mdoc[160];
    CHECK(o->help != NULL && o->help[0] != '\0', "%s %s", c->name, o->names);
    CHECK((o->kind == ARG_FLAG) == (o->metavar == NULL), "%s %s", c->name, o->names);
    CHECK(o->kind != ARG_WORD || o->words != NULL, "%s %s", c->name, o->names);
    CHECK(o->names[0] == '-' && o->names[1] == '-', "%s %s", c->name, o->names);
    for (size_t i = 0; (s = args_spelling(o, i, &n)) != NULL; i++) {
        snprintf(word, sizeof word, "%.*s", (int)n, s);
        as_man(s, n, mdoc);
        CHECK(strstr(all, word) != NULL, "help --all %s lacks %s", c->name, word);
        CHECK(i > 0 || strstr(brief, word) != NULL, "help %s lacks %s", c->name, word);
        CHECK(strstr(page, mdoc) != NULL, "man page of %s lacks %s", c->name, mdoc);
    }
    if (o->standard != NULL) {
        struct bitnet_error err = {0};
        CHECK(args_check(o, "x", o->standard, &err), "%s %s: %s", c->name, o->names, err.msg);
    }
}

/* No spelling stands for two options, and one takes a value everywhere or nowhere. */
static void check_unique(void)
{
    for (size_t i = 0; arg_commands[i] != NULL; i++) {
        const struct arg_option *o, *p;
        for (size_t k = 0; (o = args_row(arg_commands[i], k, NULL)) != NULL; k++) {
            for (size_t l = 0; l < k; l++) {
                p = args_row(arg_commands[i], l, NULL);
                size_t n_a, n_b;
                const char *a, *b;
                for (size_t x = 0; (a = args_spelling(o, x, &n_a)) != NULL; x++) {
                    for (size_t y = 0; (b = args_spelling(p, y, &n_b)) != NULL; y++)
                        CHECK(n_a != n_b || memcmp(a, b, n_a) != 0, "%s: %.*s stands twice",
                              arg_commands[i]->name, (int)n_a, a);
                }
            }
        }
    }
}

static void test_table(void)
{
    char *bash = printed(completion, NULL, "bash"), *zsh = printed(completion, NULL, "zsh");
    char *fish = printed(completion, NULL, "fish");
    for (size_t i = 0; arg_commands[i] != NULL; i++) {
        const struct arg_command *c = arg_commands[i];
        const struct arg_option *o;
        char *all = printed(help_all, c, NULL), *brief = printed(help_brief, c, NULL);
        char *page = printed(man, c, NULL), form[160];
        size_t n_lines = 0, n;
        for (const char *p = brief; *p != '\0'; p++)
            n_lines += *p == '\n';
        CHECK(n_lines <= 28, "help %s has %zu lines", c->name, n_lines);
        for (size_t k = 0; (o = args_row(c, k, NULL)) != NULL; k++) {
            const char *name = args_spelling(o, 0, &n);
            check_row(c, o, all, brief, page);
            snprintf(form, sizeof form, "%.*s", (int)n, name);
            CHECK(strstr(bash, form) != NULL, "bash lacks %s", form);
            snprintf(form, sizeof form, "'*%.*s[", (int)n, name);
            CHECK(strstr(zsh, form) != NULL, "zsh lacks %s", form);
            snprintf(form, sizeof form, "-l %.*s ", (int)n - 2, name + 2);
            CHECK(strstr(fish, form) != NULL, "fish lacks %s", form);
        }
        free(all);
        free(brief);
        free(page);
    }
    free(bash);
    free(zsh);
    free(fish);
}

/* Values that no option of a kind takes; each must be refused with the spelling in the
 * message. */
static void test_bad_values(void)
{
    static const char *const numbers[] = {"", "x", "1x", "0x10", "1e", "nan", "inf", "--", " 1",
                                          "1 ", "99999999999999999999", "-99999999999999999999"};
    for (size_t i = 0; arg_commands[i] != NULL; i++) {
        const struct arg_option *o;
        for (size_t k = 0; (o = args_row(arg_commands[i], k, NULL)) != NULL; k++) {
            bool is_number = o->kind == ARG_INT || o->kind == ARG_REAL || o->kind == ARG_TIME;
            for (size_t v = 0; v < sizeof numbers / sizeof *numbers && is_number; v++) {
                struct bitnet_error err = {0};
                CHECK(!args_check(o, "--spelled", numbers[v], &err) && err.code == BITNET_USAGE &&
                          strstr(err.msg, "--spelled") != NULL,
                      "%s %s takes '%s'", arg_commands[i]->name, o->names, numbers[v]);
            }
            struct bitnet_error err = {0};
            char text[64];
            if (o->kind == ARG_INT || o->kind == ARG_REAL) {
                snprintf(text, sizeof text, "%.0f", o->max + (o->max > 1e15 ? o->max : 1));
                CHECK(!args_check(o, "x", text, &err), "%s takes %s", o->names, text);
                snprintf(text, sizeof text, "%.0f", o->min - 1);
                CHECK(!args_check(o, "x", text, &err), "%s takes %s", o->names, text);
                snprintf(text, sizeof text, "%.17g", o->max);
                CHECK(o->kind == ARG_INT || args_check(o, "x", text, &err), "%s refuses %s",
                      o->names, text);
            } else if (o->kind == ARG_WORD) {
                CHECK(!args_check(o, "x", "", &err), "%s takes nothing", o->names);
                CHECK(!args_check(o, "x", o->words, &err), "%s takes %s", o->names, o->words);
                CHECK(!args_check(o, "x", "nonsense", &err), "%s takes nonsense", o->names);
            } else if (o->kind == ARG_FILE) {
                CHECK(!args_check(o, "x", "", &err), "%s takes an empty name", o->names);
            }
        }
    }
}

static void test_forms(void)
{
    struct args a;
    struct bitnet_error err;
    static const char *const six[] = {"-n 6", "-n6", "-n=6", "--predict 6", "--predict=6",
                                      "--n-predict=6", "-vn6", "-n 5 -n 6"};
    for (size_t i = 0; i < sizeof six / sizeof *six; i++) {
        CHECK(parse(&a, "run", six[i], &err) && args_int(&a, "--predict") == 6, "%s", six[i]);
        args_free(&a);
    }
    CHECK(parse(&a, "run", "-n -1 -- -p", &err) && args_int(&a, "--predict") == -1 &&
              a.n_operands == 1 && strcmp(a.operands[0], "-p") == 0 && !args_given(&a, "--prompt"),
          "%s", err.msg);
    args_free(&a);
    CHECK(parse(&a, "grep", "what - --count -v x", &err) && a.n_operands == 3 &&
              strcmp(a.operands[1], "-") == 0 && args_flag(&a, "--count") &&
              args_flag(&a, "--invert-match"), "%s", err.msg);
    args_free(&a);
    CHECK(parse(&a, "run", "--stop a -r b --stop=c", &err) &&
              strcmp(args_nth(&a, "--stop", 1), "b") == 0 && args_nth(&a, "--stop", 3) == NULL,
          "%s", err.msg);
    args_free(&a);
    CHECK(parse(&a, "run", "--prompt=a=b", &err) && strcmp(args_text(&a, "--prompt"), "a=b") == 0,
          "%s", err.msg);
    args_free(&a);
    CHECK(parse(&a, "run", "--prompt=", &err) && args_text(&a, "--prompt")[0] == '\0', "empty");
    args_free(&a);
    CHECK(parse(&a, "run", "", &err) && args_real(&a, "--temp") == 0.8 &&
              !args_given(&a, "--temp") && args_int(&a, "--threads") == 0, "defaults");
    args_free(&a);
}

static void test_complaints(void)
{
    static const struct {
        const char *command, *words, *message;
    } cases[] = {
        {"run", "--tmep 1", "did you mean '--temp'?"},
        {"run", "--promt x", "did you mean '--prompt'?"},
        {"run", "--each-lines", "did you mean '--each-line'?"},
        {"run", "--wholly-unknown", "unknown option '--wholly-unknown'"},
        {"run", "-ngl 99", "no GPU layers"},
        {"run", "-Z", "unknown option '-Z'"},
        {"run", "-vZ", "unknown option '-vZ'"},
        {"run", "-n", "-n needs a value"},
        {"run", "--model", "--model needs a value"},
        {"run", "-m ''", "name of the file is empty"},
        {"run", "--verbose=1", "--verbose takes no value"},
        {"run", "a b", "'b' is one argument too many"},
        {"grep", "", "too few arguments"},
        {"run", "--fit most", "must be one of error|head|tail|middle"},
        {"run", "--time-limit 5x", "must be a time"},
        {"run", "--time-limit 0", "must be a time"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct args a;
        struct bitnet_error err;
        CHECK(!parse(&a, cases[i].command, cases[i].words, &err) && err.code == BITNET_USAGE &&
                  strstr(err.msg, cases[i].message) != NULL,
              "%s %s: '%s'", cases[i].command, cases[i].words, err.msg);
        args_free(&a);
    }
}

static void test_times(void)
{
    double s = 0;
    CHECK(args_parse_seconds("2", &s) && s == 2, "2");
    CHECK(args_parse_seconds("2s", &s) && s == 2, "2s");
    CHECK(args_parse_seconds("500ms", &s) && s == 0.5, "500ms");
    CHECK(args_parse_seconds("1.5m", &s) && s == 90, "1.5m");
    CHECK(args_parse_seconds("1h", &s) && s == 3600, "1h");
    CHECK(!args_parse_seconds("", &s) && !args_parse_seconds("s", &s) &&
              !args_parse_seconds("-1", &s) && !args_parse_seconds("1.2.3", &s), "bad times");
}

static void test_commands(void)
{
    CHECK(args_command("run") != NULL && args_command("bench kernels") != NULL, "commands");
    CHECK(args_command("nothing") == NULL, "no such command");
    const char *near = args_nearest_command("chta");
    CHECK(near != NULL && strcmp(near, "chat") == 0, "chta");
    near = args_nearest_command("convrt");
    CHECK(near != NULL && strcmp(near, "convert") == 0, "convrt");
    CHECK(args_nearest_command("zzzzzz") == NULL, "zzzzzz is near nothing");
}

int main(void)
{
    test_table();
    check_unique();
    test_bad_values();
    test_forms();
    test_complaints();
    test_times();
    test_commands();
    return check_done();
}
