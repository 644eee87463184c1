/* cmd_grep.c: `bitnet grep`: lines for which yes is likelier than no. Everything that all
 * prompts start with, the question, is read once. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/cmd_each.h"
#include "src/cmd_out.h"
#include "src/cmd_reader.h"

struct grep {
    const struct args *args;
    struct host host;
    struct choices choices;
    struct prompt prompt;
    struct bitnet_ids kept;
    char *instruction;
    bool invert, count, number, quiet, list, with_name, any_undecided, any_failed;
    uint64_t n_matches; /* in all files */
};

enum { N_CTX_MOST = 2048 };

static bool make_instruction(struct grep *g, struct bitnet_error *err)
{
    static const char form[] = "Question: %s\nText: {}\nAnswer with yes or no.\nAnswer:";
    const char *question = g->args->operands[0];
    size_t n = strlen(question) + sizeof form;
    g->instruction = malloc(n);
    if (g->instruction == NULL)
        return fail(err, BITNET_FAILED, "out of memory for the question");
    if (strstr(question, "{}") != NULL)
        memcpy(g->instruction, question, strlen(question) + 1);
    else
        snprintf(g->instruction, n, form, question);
    const char *system = args_text(g->args, "--system");
    g->prompt = (struct prompt){.instruction = g->instruction, .system = system};
    g->prompt.n_system = system != NULL ? strlen(system) : 0;
    return true;
}

static bool print_line(struct grep *g, const char *name, uint64_t number, const char *bytes,
                       size_t n_bytes, struct bitnet_error *err)
{
    char before[32];
    int n = snprintf(before, sizeof before, "%llu:", (unsigned long long)number);
    return (!g->with_name || (out_text(name, strlen(name), err) && out_text(":", 1, err))) &&
           (!g->number || out_text(before, (size_t)n, err)) && out_text(bytes, n_bytes, err) &&
           out_text("\n", 1, err);
}

/* A line that cannot be judged is told on stderr; the others go on. */
static bool judge(struct grep *g, const char *name, uint64_t number, const char *bytes,
                  size_t n_bytes, bool *match, struct bitnet_error *err)
{
    struct bitnet_error own = {0};
    *match = false;
    g->prompt.text = bytes;
    g->prompt.n_text = n_bytes;
    if (!choices_score(&g->choices, &g->host, &g->prompt, &g->kept, &own)) {
        if (own.code == BITNET_BAD || cmd_signal() != 0) {
            *err = own;
            return false;
        }
        fprintf(stderr, "bitnet: %s: line %llu: %s\n", name, (unsigned long long)number, own.msg);
        g->any_failed = true;
        return true;
    }
    g->any_undecided = g->any_undecided || g->choices.undecided;
    *match = !g->choices.undecided && (g->choices.best == 0) != g->invert;
    return true;
}

/* One file; false ends the command: a broken output, or -q has its answer. */
static bool search(struct grep *g, struct reader *r, const char *name, struct bitnet_error *err)
{
    uint64_t number = 0, n_matches = 0;
    char count[32];
    bool match;
    while (cmd_signal() == 0) {
        const char *bytes;
        size_t n_bytes;
        enum reader_result got = reader_next(r, false, &bytes, &n_bytes, err);
        if (got == READER_LATER) {
            if (!out_flush(err))
                return false;
            got = reader_next(r, true, &bytes, &n_bytes, err);
        }
        if (got == READER_FAILED)
            return false;
        if (got == READER_END)
            break;
        if (got == READER_LATER)
            continue;
        number++;
        if (got == READER_TOO_LONG) {
            fprintf(stderr, "bitnet: %s: line %llu is longer than %d MiB\n", name,
                    (unsigned long long)number, RECORD_MAX_BYTES >> 20);
            g->any_failed = true;
            continue;
        }
        if (!judge(g, name, number, bytes, n_bytes, &match, err))
            return false;
        n_matches += match;
        if (match && g->quiet)
            break;
        if (match && g->list)
            break;
        n_bytes += r->n_end == 2; /* a line is printed as it stands, with its \r */
        if (match && !g->count && !print_line(g, name, number, bytes, n_bytes, err))
            return false;
    }
    g->n_matches += n_matches;
    if (g->quiet || cmd_signal() != 0)
        return n_matches == 0;
    if (g->list) /* before -c, as in grep */
        return n_matches == 0 ||
               (out_text(name, strlen(name), err) && out_text("\n", 1, err));
    if (g->count) {
        int n = snprintf(count, sizeof count, "%llu\n", (unsigned long long)n_matches);
        return (!g->with_name || (out_text(name, strlen(name), err) && out_text(":", 1, err))) &&
               out_text(count, (size_t)n, err);
    }
    return true;
}

/* A file that cannot be read is told and passed over, as grep does. */
static void search_all(struct grep *g, struct bitnet_error *err)
{
    const struct args *a = g->args;
    size_t n_files = a->n_operands - 1;
    for (size_t i = 0; i < n_files || (i == 0 && n_files == 0); i++) {
        const char *path = n_files > 0 ? a->operands[1 + i] : "-";
        const char *name = strcmp(path, "-") == 0 ? "(standard input)" : path;
        struct bitnet_error own = {0};
        struct reader r;
        bool go_on = true;
        if (reader_open(&r, path, '\n', &own)) {
            go_on = search(g, &r, name, &own);
            reader_close(&r);
        }
        if (own.code == BITNET_FAILED && !ferror(stdout)) {
            fprintf(stderr, "bitnet: %s\n", own.msg);
            g->any_failed = true;
        } else if (own.code != BITNET_OK) {
            *err = own;
            return;
        }
        if ((!go_on && own.code == BITNET_OK) || cmd_signal() != 0)
            return;
    }
}

static bool open_grep(struct grep *g, struct bitnet_error *err)
{
    const struct args *a = g->args;
    g->invert = args_flag(a, "--invert-match");
    g->count = args_flag(a, "--count");
    g->number = args_flag(a, "--line-number");
    g->quiet = args_flag(a, "--quiet");
    g->list = args_flag(a, "--files-with-matches");
    g->with_name = (a->n_operands > 2 || args_flag(a, "--with-filename")) &&
                   !args_flag(a, "--no-filename");
    for (size_t i = 1; i < a->n_operands || i == 1; i++) {
        if (!cmd_check_stdin(a, i < a->n_operands ? a->operands[i] : "-", "the lines", err))
            return false;
    }
    return make_instruction(g, err) && choices_open(&g->choices, a, true, err) &&
           host_open(&g->host, a, N_CTX_MOST, err) &&
           host_start(&g->host, CHOOSE_SEQS, CHOOSE_ROWS, err);
}

int cmd_grep(int argc, char **argv)
{
    struct args a;
    int status;
    struct bitnet_error err = {0};
    if (!cmd_begin(&a, "grep", argc, argv, &status))
        return status;
    struct grep g = {.args = &a};
    cmd_watch_signals();
    if (open_grep(&g, &err))
        search_all(&g, &err);
    if (err.code == BITNET_OK)
        out_flush(&err);
    if (err.code != BITNET_OK) {
        status = cmd_fail(&err);
        status = status == BITNET_FAILED ? BITNET_USAGE : status; /* 1 is: no line matched */
    } else if (cmd_signal() != 0)
        status = 128 + cmd_signal();
    else if (g.quiet && g.n_matches > 0)
        status = BITNET_OK;
    else if (g.any_failed)
        status = BITNET_USAGE;
    else if (g.n_matches > 0)
        status = BITNET_OK;
    else
        status = g.any_undecided ? BITNET_UNSURE : BITNET_FAILED;
    choices_close(&g.choices);
    host_close(&g.host);
    bitnet_ids_free(&g.kept);
    free(g.instruction);
    args_free(&a);
    return status;
}
