/* args.h: the table of commands and options, and the one parser that reads argv by it.
 *
 * Everything that people see of an option comes from its row: the parser, `--help`,
 * `bitnet help`, the man pages and the shell completions (src/args_help.c, args_man.c,
 * args_complete.c). The rows stand in src/args_table.c, args_run.c and args_tools.c. This
 * module knows nothing of models and prints nothing.
 *
 * A command's function parses with cmd_begin (src/cmd.h) and then asks by the option's
 * first name:
 *
 *     struct args a;
 *     int status;
 *     if (!cmd_begin(&a, "verify", argc, argv, &status))   // argv[0] is the command's name
 *         return status;                                       // --help, or a wrong option
 *     const char *file = a.operands[0];                        // count checked by the row
 *     if (args_flag(&a, "--json")) ...
 *     int64_t n_ctx = args_int(&a, "--ctx-size");              // in range: the row says which
 *     args_free(&a);
 *
 * Asking for an option that the command's rows lack is our own mistake and aborts.
 */
#ifndef BITNET_ARGS_H
#define BITNET_ARGS_H

#include <stdio.h>

#include "src/base.h"

enum arg_kind {
    ARG_FLAG, /* takes no value */
    ARG_INT,  /* a whole number, min..max */
    ARG_REAL, /* a number, min..max */
    ARG_TIME, /* seconds, or with a unit: 500ms, 2s, 1.5m */
    ARG_TEXT,
    ARG_FILE, /* completed as a file name; "-" is stdin or stdout */
    ARG_WORD, /* one of `words` */
};

enum {
    ARG_BRIEF = 1, /* --help shows it in full; the others it only names */
    ARG_MANY = 2,  /* each use adds one; else the last one counts */
};

struct arg_option {
    const char *names; /* every spelling, the first is the name: "--predict -n --n-predict" */
    const char *metavar;
    enum arg_kind kind;
    unsigned flags;
    double min, max;
    const char *words;    /* "error|head|tail" */
    const char *standard; /* what holds when it is not given, as one would type it, or NULL */
    const char *help;     /* one line, lower case, no full stop */
    const char *more;     /* further sentences for the man page, or NULL */
};

struct arg_group {
    const char *title;
    const struct arg_option *options; /* ends with names NULL */
};

struct arg_example {
    const char *line, *note; /* what to type, what it does */
};

#define ARGS_MAX_GROUPS 8

struct arg_command {
    const char *name;    /* "run", "bench kernels" */
    const char *summary; /* one line, lower case, no full stop */
    const char *usage;   /* what follows "bitnet NAME" */
    const struct arg_example *examples; /* ends with line NULL */
    const char *about;   /* paragraphs for the man page, separated by an empty line */
    const struct arg_group *groups[ARGS_MAX_GROUPS];
    int min_operands, max_operands; /* -1: no limit */
};

/* All commands in the order of the help; ends with NULL. */
extern const struct arg_command *const arg_commands[];
const struct arg_command *args_command(const char *name); /* or NULL */
/* The command that text was probably meant to be, or NULL. */
const char *args_nearest_command(const char *text);

struct arg_given {
    const struct arg_option *option;
    const char *value; /* NULL for a flag */
};
struct args {
    const struct arg_command *command;
    struct arg_given *given;
    size_t n_given;
    const char **operands;
    size_t n_operands;
};

/* Reads argv[1..]; --help ends the reading and is the only option then. */
bool args_parse(struct args *a, const struct arg_command *command, int argc, char **argv,
                struct bitnet_error *err);
void args_free(struct args *a);

bool args_flag(const struct args *a, const char *name);
bool args_given(const struct args *a, const char *name); /* by the user, not by default */
const char *args_text(const struct args *a, const char *name); /* or NULL */
int64_t args_int(const struct args *a, const char *name);
double args_real(const struct args *a, const char *name);
double args_seconds(const struct args *a, const char *name);
const char *args_nth(const struct args *a, const char *name, size_t i); /* or NULL */

/* Walks the rows of a command: *i from 0; the group's title comes with its first row. */
const struct arg_option *args_row(const struct arg_command *c, size_t i, const char **title);
/* The i-th spelling of an option, its bytes in *n_bytes, or NULL. */
const char *args_spelling(const struct arg_option *o, size_t i, size_t *n_bytes);
/* The value of text for an option: false and a message when it is out of range. */
bool args_check(const struct arg_option *o, const char *spelling, const char *text,
                struct bitnet_error *err);
bool args_parse_seconds(const char *text, double *out);

/* Help, man page and completions, from the table. command NULL: of bitnet itself. */
void args_print_help(FILE *out, const struct arg_command *command, bool all);
void args_print_man(FILE *out, const struct arg_command *command);
void args_print_completion(FILE *out, const char *shell); /* "bash", "zsh", "fish" */

/* Facts that help and man pages share; they end with line NULL. command NULL: of bitnet itself. */
const struct arg_example *args_exit_codes(const struct arg_command *command);
extern const struct arg_example arg_environment[];
extern const char arg_date[];

#endif
