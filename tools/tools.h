/* tools.h: the entry points of the offline commands, which main.c calls. argv[0] is the command's
 * name; the result is the exit status. */
#ifndef TOOLS_TOOLS_H
#define TOOLS_TOOLS_H

int tool_verify(int argc, char **argv);
int tool_info(int argc, char **argv);
int tool_tokenize(int argc, char **argv);
int tool_synth(int argc, char **argv);
int tool_bench(int argc, char **argv);
int tool_bench_kernels(int argc, char **argv);
int tool_selftest(int argc, char **argv);
int tool_convert(int argc, char **argv);

#endif
