/* args_help.c: the table as help for a terminal. A command's --help shows its examples
 * and the options most people want, and names the rest; `bitnet help --all COMMAND` shows
 * everything. */
#include "src/args.h"

#include <string.h>

enum { WIDTH = 90, COLUMN = 26 };

/* "-m, --model FILE": the first one-letter spelling, the name, the value. */
static size_t print_names(FILE *out, const struct arg_option *o)
{
    size_t n, n_name, n_out = 0;
    const char *s, *name = args_spelling(o, 0, &n_name);
    for (size_t i = 0; (s = args_spelling(o, i, &n)) != NULL; i++) {
        if (n == 2 && n_out == 0)
            n_out += (size_t)fprintf(out, "%.*s, ", (int)n, s);
    }
    if (n_out == 0)
        n_out += (size_t)fprintf(out, "    ");
    n_out += (size_t)fprintf(out, "%.*s", (int)n_name, name);
    if (o->metavar != NULL)
        n_out += (size_t)fprintf(out, " %s", o->metavar);
    return n_out;
}

/* Words of text from column `at` on, broken before WIDTH and continued at column
 * `indent`. */
static void print_wrapped(FILE *out, const char *text, size_t at, size_t indent)
{
    while (*text != '\0') {
        size_t n = strcspn(text, " ");
        if (at > indent && at + 1 + n > WIDTH) {
            fprintf(out, "\n%*s", (int)indent, "");
            at = indent;
        } else if (at > indent) {
            fputc(' ', out);
            at++;
        }
        fprintf(out, "%.*s", (int)n, text);
        at += n;
        text += n;
        text += strspn(text, " ");
    }
}

static void print_option(FILE *out, const struct arg_option *o, bool all)
{
    char line[512];
    const char *in = o->words != NULL && strstr(o->help, o->words) == NULL ? o->words : NULL;
    fprintf(out, "  ");
    size_t n = 2 + print_names(out, o);
    snprintf(line, sizeof line, "%s%s%s%s%s%s%s", o->help, in ? " (" : "", in ? in : "",
             in ? ")" : "", o->standard ? " [" : "", o->standard ? o->standard : "",
             o->standard ? "]" : "");
    if (n + 2 > COLUMN) {
        fputc('\n', out);
        n = 0;
    }
    fprintf(out, "%*s", (int)(COLUMN - n), "");
    print_wrapped(out, line, COLUMN, COLUMN);
    if (all && o->more != NULL) {
        fprintf(out, "\n%*s", COLUMN, "");
        print_wrapped(out, o->more, COLUMN, COLUMN);
    }
    if (all && strchr(o->names, ' ') != NULL) {
        fprintf(out, "\n%*s", COLUMN, "");
        snprintf(line, sizeof line, "spelled %s", o->names);
        print_wrapped(out, line, COLUMN, COLUMN);
    }
    fputc('\n', out);
}

static void print_examples(FILE *out, const struct arg_example *e)
{
    for (; e->line != NULL; e++)
        fprintf(out, "  %-52s  # %s\n", e->line, e->note);
}

static void print_list(FILE *out, const char *title, const struct arg_example *e)
{
    fprintf(out, "\n%s:\n", title);
    for (; e->line != NULL; e++) {
        fprintf(out, "  %-16s", e->line);
        print_wrapped(out, e->note, 18, 18);
        fputc('\n', out);
    }
}

static void print_rest(FILE *out, const struct arg_command *c)
{
    const struct arg_option *o;
    size_t at = 2, n_rest = 0;
    for (size_t i = 0; (o = args_row(c, i, NULL)) != NULL; i++) {
        size_t n;
        const char *name = args_spelling(o, 0, &n);
        if (o->flags & ARG_BRIEF)
            continue;
        if (n_rest++ == 0)
            fprintf(out, "Also (bitnet help --all %s):\n ", c->name);
        if (at + 1 + n > WIDTH) {
            fprintf(out, "\n ");
            at = 2;
        }
        fprintf(out, " %.*s", (int)n, name);
        at += n + 1;
    }
    if (n_rest > 0)
        fputc('\n', out);
}

static void print_command(FILE *out, const struct arg_command *c, bool all)
{
    const struct arg_option *o;
    const char *title;
    fprintf(out, "bitnet %s: %s\n", c->name, c->summary);
    print_examples(out, c->examples);
    fprintf(out, "Usage: bitnet %s %s\n", c->name, c->usage);
    if (all) {
        fputc('\n', out);
        for (const char *p = c->about; *p != '\0'; p += strspn(p, "\n")) {
            char paragraph[1200];
            size_t n = strcspn(p, "\n");
            snprintf(paragraph, sizeof paragraph, "%.*s", (int)n, p);
            print_wrapped(out, paragraph, 0, 0);
            fputs("\n\n", out);
            p += n;
        }
    }
    for (size_t i = 0; (o = args_row(c, i, &title)) != NULL; i++) {
        if (all && title != NULL)
            fprintf(out, "%s%s:\n", i > 0 ? "\n" : "", title);
        if (all || (o->flags & ARG_BRIEF))
            print_option(out, o, all);
    }
    if (all)
        print_list(out, "Exit codes", args_exit_codes(c));
    else
        print_rest(out, c);
}

void args_print_help(FILE *out, const struct arg_command *command, bool all)
{
    if (command != NULL) {
        print_command(out, command, all);
        return;
    }
    fprintf(out, "bitnet: run 1-bit language models\n");
    print_examples(out, args_command("run")->examples);
    fprintf(out, "  %-52s  # %s\n", "bitnet", "on a terminal: chat");
    fprintf(out, "Usage: bitnet [COMMAND] [options]\n");
    for (size_t i = 0; arg_commands[i] != NULL; i++)
        fprintf(out, "  %-14s %s\n", arg_commands[i]->name, arg_commands[i]->summary);
    fprintf(out, "bitnet help COMMAND explains a command, bitnet --version tells version and CPU "
                 "tier.\n");
    if (all) {
        print_list(out, "Exit codes", args_exit_codes(NULL));
        print_list(out, "Environment", arg_environment);
    }
}
