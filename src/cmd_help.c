/* cmd_help.c: `bitnet help`: help, man pages and completions out of the table. */
#include <string.h>

#include "src/cmd.h"

/* "bench kernels" may come as one word or two, or with the dash of its man page. */
static const struct arg_command *find(const struct args *a)
{
    char name[64];
    snprintf(name, sizeof name, "%s%s%s", a->operands[0], a->n_operands > 1 ? " " : "",
             a->n_operands > 1 ? a->operands[1] : "");
    for (char *p = name; (p = strchr(p, '-')) != NULL;)
        *p = ' ';
    return args_command(name);
}

int cmd_help(int argc, char **argv)
{
    struct args a;
    int status;
    const struct arg_command *c = NULL;
    if (!cmd_begin(&a, "help", argc, argv, &status))
        return status;
    if (a.n_operands > 0 && (c = find(&a)) == NULL) {
        const char *near = args_nearest_command(a.operands[0]);
        fprintf(stderr, "bitnet: no command '%s'%s%s%s (bitnet help lists all)\n", a.operands[0],
                near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
        args_free(&a);
        return BITNET_USAGE;
    }
    if (args_flag(&a, "--list")) {
        for (size_t i = 0; arg_commands[i] != NULL; i++)
            printf("%s\n", arg_commands[i]->name);
    } else if (args_given(&a, "--completion")) {
        args_print_completion(stdout, args_text(&a, "--completion"));
    } else if (args_flag(&a, "--man")) {
        args_print_man(stdout, c);
    } else {
        args_print_help(stdout, c, args_flag(&a, "--all"));
    }
    args_free(&a);
    return BITNET_OK;
}
