/* cmd.c: beginning, complaints and signals of every command. */
#include "src/cmd.h"

#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t seen_signal;

bool cmd_begin(struct args *a, const char *command, int argc, char **argv, int *status)
{
    struct bitnet_error err = {0};
    const struct arg_command *c = args_command(command);
    if (!args_parse(a, c, argc, argv, &err)) {
        fprintf(stderr, "bitnet: %s (bitnet help %s)\n", err.msg, command);
        args_free(a);
        *status = err.code;
        return false;
    }
    if (args_flag(a, "--help")) {
        args_print_help(stdout, c, false);
        args_free(a);
        *status = BITNET_OK;
        return false;
    }
    return true;
}

const char *cmd_model(const char *named)
{
    const char *env = getenv("BITNET_MODEL");
    return named != NULL ? named : env != NULL && env[0] != '\0' ? env : NULL;
}

bool cmd_check_stdin(const struct args *a, const char *path, const char *what,
                     struct bitnet_error *err)
{
    const char *model = cmd_model(args_text(a, "--model"));
    if (model == NULL || path == NULL || strcmp(model, "-") != 0 || strcmp(path, "-") != 0)
        return true;
    return fail(err, BITNET_USAGE, "standard input is used twice, for the model and for %s: name a "
                "file for one of them", what);
}

int cmd_fail(const struct bitnet_error *err)
{
    fflush(stdout);
    if (cmd_signal() != 0) /* a call that it cut short is no error of its own */
        return 128 + cmd_signal();
    if (err->code < 128)
        fprintf(stderr, "bitnet: %s\n", err->msg);
    return err->code;
}

int cmd_fail_filter(const struct bitnet_error *err)
{
    int status = cmd_fail(err);
    return status == BITNET_FAILED ? BITNET_BAD : status;
}

void cmd_note(const struct args *a, const char *format, ...)
{
    va_list list;
    if (args_flag(a, "--quiet"))
        return;
    fflush(stdout);
    va_start(list, format);
    fputs("bitnet: ", stderr);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
}

static void on_signal(int number)
{
    if (seen_signal != 0)
        _exit(128 + number);
    seen_signal = number;
}

void cmd_watch_signals(void)
{
    /* Without SA_RESTART a read that waits for input ends, so that its loop sees the
     * flag. */
    struct sigaction action = {.sa_handler = on_signal}, before;
    const int numbers[] = {SIGINT, SIGTERM};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        /* A signal that is ignored from the start stays so: a script's background job is not
         * for the terminal's Ctrl-C. */
        if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(numbers[i], &action, NULL);
    }
}

int cmd_signal(void)
{
    return seen_signal;
}

void cmd_signal_clear(void)
{
    seen_signal = 0;
}
