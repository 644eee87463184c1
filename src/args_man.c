/* args_man.c: the table as man pages in mdoc, one for bitnet and one for each command. */
#include "src/args.h"

#include <ctype.h>
#include <string.h>

/* Running text: lines of less than 80 bytes, a new one after each sentence, as mdoc
 * wants, and nothing that roff would take for a request or an escape. */
static void print_text(FILE *out, const char *text, size_t n_bytes)
{
    size_t column = 0;
    for (size_t i = 0; i < n_bytes; i++) {
        const char *blank = memchr(text + i + 1, ' ', n_bytes - i - 1);
        size_t n_word = blank != NULL ? (size_t)(blank - text) - i - 1 : n_bytes - i - 1;
        char c = text[i];
        if (c == ' ' && i > 0 && (text[i - 1] == '.' || column + 2 + n_word > 70)) {
            fputc('\n', out);
            column = 0;
            continue;
        }
        if (column == 0 && (c == '.' || c == '\''))
            fputs("\\&", out);
        if (c == '\\')
            fputs("\\e", out);
        else if (c == '-')
            fputs("\\-", out);
        else
            fputc(c, out);
        column += c == '-' || c == '\\' ? 2 : 1;
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

/* An argument of a macro: quoted, since it may hold blanks or be the name of a macro
 * itself. */
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
        snprintf(line, sizeof line, "The default is %s.", o->standard);
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
        print_argument(out, e[i].line, strlen(e[i].line));
        fputc('\n', out);
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

/* In alphabetical order, as mandoc wants. */
static void print_see_also(FILE *out)
{
    const char *last = "";
    fputs(".Sh SEE ALSO\n", out);
    for (;;) {
        const char *next = NULL;
        for (size_t i = 0; arg_commands[i] != NULL; i++) {
            const char *name = arg_commands[i]->name;
            if (strcmp(name, last) > 0 && (next == NULL || strcmp(name, next) < 0))
                next = name;
        }
        if (next == NULL)
            break;
        fprintf(out, "%s.Xr bitnet-", last[0] != '\0' ? " ,\n" : "");
        for (const char *p = next; *p != '\0'; p++)
            fputc(*p == ' ' ? '-' : *p, out);
        fputs(" 1", out);
        last = next;
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
    print_list(out, args_exit_codes(NULL), "Li");
    print_examples(out, args_command("run")->examples);
    print_see_also(out);
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
    const char *operands = strchr(command->usage, ']');
    if (operands != NULL && operands[1] == ' ') {
        fputs(".Ar ", out);
        print_argument(out, operands + 2, strlen(operands + 2));
        fputc('\n', out);
    }
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
    print_list(out, args_exit_codes(command), "Li");
    print_examples(out, command->examples);
    fputs(".Sh SEE ALSO\n.Xr bitnet 1\n", out);
}
