/* main.c: picks the command and owns the exit code. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/cmd.h"
#include "tools/tools.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} routes[] = {
    {"run", cmd_run},
    {"chat", cmd_chat},
    {"grep", cmd_grep},
    {"embed", cmd_embed},
    {"perplexity", cmd_perplexity},
    {"logits", cmd_logits},
    {"doctor", cmd_doctor},
    {"help", cmd_help},
    {"convert", tool_convert},
    {"info", tool_info},
    {"verify", tool_verify},
    {"tokenize", tool_tokenize},
    {"synth", tool_synth},
    {"bench", tool_bench},
    {"bench kernels", tool_bench_kernels},
    {"selftest", tool_selftest},
};

/* A program that is started without stdin, stdout or stderr would get the next file it
 * opens in their place, and then write its text into it. So the gaps are filled with
 * /dev/null, opened the wrong way round: reading and writing still fail. */
static void fill_standard_files(void)
{
    for (int fd = 0; fd < 3; fd++) {
        if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
            _exit(BITNET_FAILED);
    }
}

static int call(const char *name, int argc, char **argv)
{
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (strcmp(routes[i].name, name) == 0)
            return routes[i].run(argc, argv);
    }
    fprintf(stderr, "bitnet: '%s' has no function\n", name);
    abort();
}

static void print_details(const bitnet_engine *e)
{
    const char *name;
    bool usable;
    printf("tiers:");
    for (size_t i = 0; (name = bitnet_tier(i, &usable)) != NULL; i++) {
        if (usable)
            printf(" %s", name);
    }
    printf("\nself-test: %s\nmodel file: .bnp version 1\ncompiler: %s\n",
           bitnet_engine_note(e)[0] != '\0' ? bitnet_engine_note(e) : "passed", __VERSION__);
}

static int version(bool verbose)
{
    struct bitnet_error err = {0};
    bitnet_engine *e;
    if (!bitnet_engine_open(&e, NULL, 1, &err))
        return cmd_fail(&err);
    printf("bitnet %s (%s)\n", bitnet_version(), bitnet_engine_tier(e));
    if (verbose)
        print_details(e);
    bitnet_engine_close(e);
    return BITNET_OK;
}

/* --version and -v, in either order, first or behind a command's name. */
static bool asks_version(int argc, char **argv, bool *verbose)
{
    bool asks = false;
    *verbose = false;
    for (int i = argc > 1 && args_command(argv[1]) != NULL ? 2 : 1; i < argc; i++) {
        if (strcmp(argv[i], "--version") == 0 || strcmp(argv[i], "-V") == 0)
            asks = true;
        else if (strcmp(argv[i], "-v") == 0 || strcmp(argv[i], "--verbose") == 0)
            *verbose = true;
        else
            break;
    }
    return asks;
}

static int dispatch(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";
    bool verbose;
    if (argc > 1 && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)) {
        args_print_help(stdout, NULL, false);
        return BITNET_OK;
    }
    if (asks_version(argc, argv, &verbose))
        return version(verbose);
    if (argc > 2 && strcmp(word, "bench") == 0 && strcmp(argv[2], "kernels") == 0)
        return call("bench kernels", argc - 2, argv + 2);
    if (args_command(word) != NULL)
        return call(word, argc - 1, argv + 1);
    if (argc > 1 && word[0] != '-' && strchr(word, ' ') == NULL) {
        const char *near = args_nearest_command(word);
        fprintf(stderr, "bitnet: no command '%s'%s%s%s (a prompt goes behind -p; bitnet help)\n",
                word, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
        return BITNET_USAGE;
    }
    return call("run", argc, argv);
}

int main(int argc, char **argv)
{
    fill_standard_files();
    int status = dispatch(argc, argv);
    errno = 0; /* a write that failed before the last flush leaves its mark and not its reason */
    if (status == BITNET_OK && (fflush(stdout) != 0 || ferror(stdout))) {
        if (errno == EPIPE)
            return 128 + SIGPIPE;
        fprintf(stderr, "bitnet: standard output: %s\n",
                errno != 0 ? strerror(errno) : "not all of the text could be written");
        return BITNET_FAILED;
    }
    return status;
}
