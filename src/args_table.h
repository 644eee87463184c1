/* args_table.h: the rows of options that several commands share. Private to
 * src/args_*.c. */
#ifndef BITNET_ARGS_TABLE_H
#define BITNET_ARGS_TABLE_H

#include "src/args.h"

extern const struct arg_group group_general, group_general_less, group_engine, group_prompt,
    group_sampling, group_answer, group_records;
extern const struct arg_command command_run, command_chat, command_grep, command_embed,
    command_perplexity, command_logits, command_doctor, command_help;
extern const struct arg_command command_convert, command_verify, command_info, command_synth,
    command_tokenize, command_bench, command_bench_kernels, command_selftest;

/* For rows: a whole number without a limit worth naming. */
#define ARG_HUGE 9007199254740992.0 /* 2^53, exact in the table's double */

#endif
