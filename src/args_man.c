/* args_man.c: the table as man pages in mdoc, one for bitnet and one for each command. */
#include "src/args.h"

#include <ctype.h>
#include <string.h>

/* Running text: a new line after each sentence, as mdoc wants, and nothing that roff would take
 * for a request or an escape. */
static void print_text(FILE *out, const char *text, size_t n_bytes)
{
    bool line_start = true;
    for (size_t i = 0; i < n_bytes; i++) {
        char c = text[i];
        if (line_start && (c == '.' || c == '\''))
            fputs("\\&", out);
        line_start = false;
        if (c == '\\') {
            fputs("\\e", out);
        } else if (c == '-') {
            fputs("\\-", out);
        } else if (c == ' ' && i > 0 && strchr(".:;", text[i - 1]) != NULL &&
                   text[i - 1] == '.') {
            fputc('\n', out);
            line_start = true;
        } else {
            fputc(c, out);
        }
    }
    fputc('\n', out);
}

static void print_string(FILE *out, const char *text)
{
    print_text(out, text, strlen(text));
}

static void print_paragraphs(FILE *out, const char *text)
{
    for (const char *p = text; *p != '\0'; p += strspn(p, "\n")) {
        size_t n = strcspn(p, "\n");
        if (p != text)
            fputs(".Pp\n", out);
        print_text(out, p, n);
        p += n;
    }
}

/* An argument of a macro: quoted, since it may hold blanks or be the name of a macro itself. */
static void print_argument(FILE *out, const char *text, size_t n_bytes)
{
    fputc('"', out);
    for (size_t i = 0; i < n_bytes; i++) {
        if (text[i] == '"')
            fputs("\\(dq", out);
        else if (text[i] == '\\')
            fputs("\\e", out);
        else if (text[i] == '-')
            fputs("\\-", out);
        else
            fputc(text[i], out);
    }
    fputc('"', out);
}

static void print_option(FILE *out, const struct arg_option *o)
{
    size_t n;
    const char *s;
    fputs(".It", out);
    for (size_t i = 0; (s = args_spelling(o, i, &n)) != NULL; i++) {
        fputs(i > 0 ? " , Fl " : " Fl ", out);
        print_argument(out, s + 1, n - 1);
        if (o->metavar != NULL) {
            fputs(" Ar ", out);
            print_argument(out, o->metavar, strlen(o->metavar));
        }
    }
    fputc('\n', out);
    char first = o->help[0];
    char line[512];
    snprintf(line, sizeof line, "%c%s.", toupper((unsigned char)first), o->help + 1);
    print_string(out, line);
    if (o->words != NULL) {
        snprintf(line, sizeof line, "The value is one of %s.", o->words);
        for (char *p = line; (p = strchr(p, '|')) != NULL;)
            *p = ' ';
        print_string(out, line);
    }
    if (o->kind == ARG_INT && o->max < 1e15) {
        snprintf(line, sizeof line, "A whole number from %.0f to %.0f.", o->min, o->max);
        print_string(out, line);
    } else if (o->kind == ARG_REAL) {
        snprintf(line, sizeof line, "A number from %g to %g.", o->min, o->max);
        print_string(out, line);
    }
    if (o->more != NULL)
        print_string(out, o->more);
    if (o->standard != NULL) {
        snprintf(line, sizeof line, "The default is %s", o->standard);
        print_string(out, line);
    }
}

static void print_list(FILE *out, const struct arg_example *e, const char *macro)
{
    fputs(".Bl -tag -width Ds\n", out);
    for (; e->line != NULL; e++) {
        fprintf(out, ".It %s ", macro);
        print_argument(out, e->line, strlen(e->line));
        fputc('\n', out);
        char line[512];
        snprintf(line, sizeof line, "%c%s.", toupper((unsigned char)e->note[0]), e->note + 1);
        print_string(out, line);
    }
    fputs(".El\n", out);
}

static void print_examples(FILE *out, const struct arg_example *e)
{
    fputs(".Sh EXAMPLES\n", out);
    for (size_t i = 0; e[i].line != NULL; i++) {
        char line[512];
        if (i > 0)
            fputs(".Pp\n", out);
        snprintf(line, sizeof line, "%c%s:", toupper((unsigned char)e[i].note[0]), e[i].note + 1);
        print_string(out, line);
        fputs(".Dl ", out);
        print_text(out, e[i].line, strlen(e[i].line));
    }
}

static void print_header(FILE *out, const char *command)
{
    char title[64];
    snprintf(title, sizeof title, "bitnet%s%s", command != NULL ? "-" : "",
             command != NULL ? command : "");
    for (char *p = title; *p != '\0'; p++)
        *p = *p == ' ' ? '-' : (char)toupper((unsigned char)*p);
    fprintf(out, ".Dd %s\n.Dt %s 1\n.Os\n.Sh NAME\n", arg_date, title);
    for (char *p = title; *p != '\0'; p++)
        *p = (char)tolower((unsigned char)*p);
    fprintf(out, ".Nm %s\n", title);
}

static void print_see_also(FILE *out, const struct arg_command *but)
{
    const char *comma = "";
    fputs(".Sh SEE ALSO\n", out);
    if (but != NULL) {
        fputs(".Xr bitnet 1", out);
        comma = " ,\n";
    }
    for (size_t i = 0; arg_commands[i] != NULL; i++) {
        char name[64];
        if (arg_commands[i] == but)
            continue;
        snprintf(name, sizeof name, "%s", arg_commands[i]->name);
        for (char *p = name; (p = strchr(p, ' ')) != NULL;)
            *p = '-';
        fprintf(out, "%s.Xr bitnet-%s 1", comma, name);
        comma = " ,\n";
    }
    fputc('\n', out);
}

static void print_overview(FILE *out)
{
    print_header(out, NULL);
    fputs(".Nd run 1-bit language models\n.Sh SYNOPSIS\n.Nm bitnet\n.Op Ar command\n"
          ".Op Ar options\n.Sh DESCRIPTION\n.Nm\n"
          "runs language models with weights of one bit or one trit.\n"
          "Without a command it is\n.Xr bitnet-run 1 .\n"
          "Options stand in any order;\n.Fl \\-name Ns = Ns Ar value\n"
          "is understood,\n.Fl \\-\nends the options, and a file named\n.Sq \\-\n"
          "is standard input or output.\nThe commands:\n.Bl -tag -width Ds\n",
          out);
    for (size_t i = 0; arg_commands[i] != NULL; i++) {
        fprintf(out, ".It Cm %s\n", arg_commands[i]->name);
        fprintf(out, "%c%s.\n", toupper((unsigned char)arg_commands[i]->summary[0]),
                arg_commands[i]->summary + 1);
    }
    fputs(".El\n.Sh ENVIRONMENT\n", out);
    print_list(out, arg_environment, "Ev");
    fputs(".Sh EXIT STATUS\n", out);
    print_list(out, arg_exit_codes, "Li");
    print_examples(out, args_command("run")->examples);
    print_see_also(out, NULL);
}

void args_print_man(FILE *out, const struct arg_command *command)
{
    const struct arg_option *o;
    const char *title;
    if (command == NULL) {
        print_overview(out);
        return;
    }
    print_header(out, command->name);
    fprintf(out, ".Nd %s\n.Sh SYNOPSIS\n.Nm bitnet\n.Cm %s\n", command->summary, command->name);
    fputs(".Op Ar options\n", out);
    if (command->max_operands != 0)
        fprintf(out, ".%s Ar %s\n", command->min_operands > 0 ? "" : "Op", "...");
    fputs(".Sh DESCRIPTION\n", out);
    print_paragraphs(out, command->about);
    for (size_t i = 0; (o = args_row(command, i, &title)) != NULL; i++) {
        if (title != NULL) {
            if (i > 0)
                fputs(".El\n", out);
            fprintf(out, ".Ss %s\n.Bl -tag -width Ds\n", title);
        }
        print_option(out, o);
    }
    fputs(".El\n.Sh EXIT STATUS\n", out);
    print_list(out, arg_exit_codes, "Li");
    print_examples(out, command->examples);
    print_see_also(out, command);
}
