/* cmd.h: what every command does first and last, and the commands that main.c calls. The
 * tools' functions use it too. argv[0] is the command's name; the result is the exit
 * code. */
#ifndef BITNET_CMD_H
#define BITNET_CMD_H

#include "src/args.h"

/* Parses. False: the command is over, with help or a complaint printed; *status is its
 * code. */
bool cmd_begin(struct args *a, const char *command, int argc, char **argv, int *status);
/* The model named by an option or operand, or without one by $BITNET_MODEL; NULL: the built-in
 * one. */
const char *cmd_model(const char *named);
/* Refuses -m - where `path`, which `what` names, is "-" too: standard input comes once. path NULL
 * is none. */
bool cmd_check_stdin(const struct args *a, const char *path, const char *what,
                     struct bitnet_error *err);
/* Prints "bitnet: message" on stderr and returns the error's code; a closed pipe goes
 * quietly. */
int cmd_fail(const struct bitnet_error *err);
/* cmd_fail for commands whose exit 1 is an answer, no: a failure ends with BITNET_BAD, so that a
 * script never takes it for one. */
int cmd_fail_filter(const struct bitnet_error *err);
/* A note on stderr; nothing under -q. */
void cmd_note(const struct args *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Signals: cmd_watch_signals makes Ctrl-C and SIGTERM set a flag that loops look at
 * between tokens; a second signal ends the process at once. */
void cmd_watch_signals(void);
int cmd_signal(void);        /* 0, or the signal that came */
void cmd_signal_clear(void); /* as if it had not */

int cmd_run(int argc, char **argv);
int cmd_chat(int argc, char **argv);
int cmd_grep(int argc, char **argv);
int cmd_embed(int argc, char **argv);
int cmd_perplexity(int argc, char **argv);
int cmd_logits(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_help(int argc, char **argv);

#endif
