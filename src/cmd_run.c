/* cmd_run.c: `bitnet run`, the default command: one prompt, one answer. Hands over to
 * chat when a terminal has nothing to say, and to cmd_each.c for many records. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/cmd_choose.h"
#include "src/cmd_each.h"
#include "src/cmd_out.h"
#include "src/progress.h"

struct run {
    const struct args *args;
    struct host host;
    struct prompt prompt;
    struct buffer text;
    char *instruction, *system;
    struct rendered rendered;
    struct bitnet_ids ids;
};

static bool check(const struct args *a, struct bitnet_error *err)
{
    bool choices = args_flag(a, "--yesno") || args_given(a, "--choices");
    const char *file = args_text(a, "--file");
    if (!cmd_check_stdin(a, file == NULL && each_is_wanted(a) ? "-" : file, "the text", err))
        return false;
    if (a->n_operands > 0 && args_given(a, "--prompt"))
        return fail(err, BITNET_USAGE, "two prompts: -p and '%s'", a->operands[0]);
    if (a->n_operands > 0 && args_command(a->operands[0]) != NULL)
        return fail(err, BITNET_USAGE, "the command goes first: bitnet %s ...", a->operands[0]);
    if (args_flag(a, "--yesno") && args_given(a, "--choices"))
        return fail(err, BITNET_USAGE, "--yesno and --choices exclude each other");
    if (args_given(a, "--margin") && !choices)
        return fail(err, BITNET_USAGE, "--margin needs --choices or --yesno");
    if (args_given(a, "--logprobs") && (choices || (!args_flag(a, "--json") &&
                                                    !args_flag(a, "--jsonl"))))
        return fail(err, BITNET_USAGE, "--logprobs needs --json or --jsonl, and no choices");
    if (args_flag(a, "--json") && each_is_wanted(a))
        return fail(err, BITNET_USAGE, "--json prints one object; for records there is --jsonl");
    return true;
}

/* -p or the operand is the instruction, -f or piped input the text; one of them alone is
 * both. */
static bool read_prompt(struct run *r, struct bitnet_error *err)
{
    const struct args *a = r->args;
    const char *file = args_text(a, "--file");
    if (!prompt_instruction(a, &r->instruction, err) ||
        !prompt_text(a, "--system", &r->system, err))
        return false;
    if (file == NULL && prompt_stdin_has_text(a))
        file = "-";
    if (file != NULL && !prompt_read_file(file, &r->text, err))
        return false;
    r->prompt.instruction = r->instruction;
    r->prompt.system = r->system;
    r->prompt.n_system = r->system != NULL ? strlen(r->system) : 0;
    if (file != NULL) {
        r->prompt.text = r->text.n_bytes > 0 ? (const char *)r->text.data : "";
        r->prompt.n_text = r->text.n_bytes;
    }
    return prompt_given(&r->prompt, err);
}

static int dry_run(struct run *r, struct bitnet_error *err)
{
    struct host *h = &r->host;
    struct bitnet_session_options o = host_session_options(h, 1, 1);
    double mb = (double)bitnet_session_bytes(h->model, &o) / 1e6;
    struct buffer b = {0};
    const char *text = r->rendered.text.n_bytes > 0 ? (const char *)r->rendered.text.data : "";
    if (args_flag(r->args, "--json")) {
        buffer_add(&b, "{", 1);
        out_whole(&b, "version", 1);
        out_string(&b, "prompt", text, r->rendered.text.n_bytes);
        out_ids(&b, "ids", &r->ids);
        out_whole(&b, "n_prompt", (int64_t)r->ids.n_ids);
        out_whole(&b, "n_ctx", (int64_t)h->n_ctx);
        out_whole(&b, "session_bytes", (int64_t)bitnet_session_bytes(h->model, &o));
        out_whole(&b, "file_bytes", (int64_t)bitnet_model_shape(h->model)->file_bytes);
        buffer_add(&b, "}\n", 2);
        out_text(b.data, b.n_bytes, err);
    } else {
        printf("prompt:\n");
        fwrite(text, 1, r->rendered.text.n_bytes, stdout); /* may hold NUL bytes */
        printf("\nids:");
        for (size_t i = 0; i < r->ids.n_ids; i++)
            printf(" %d", (int)r->ids.ids[i]);
        printf("\ntokens: %zu of %zu\ntemplate: %s\nmemory: %.1f MB for the session, %.1f MB of "
               "model file mapped\n", r->ids.n_ids, h->n_ctx,
               h->template != NULL ? h->template->name : "none", mb,
               (double)bitnet_model_shape(h->model)->file_bytes / 1e6);
    }
    buffer_free(&b);
    return err->code == BITNET_OK ? BITNET_OK : cmd_fail(err);
}

static void print_stats(const struct run *r, const struct job *j)
{
    double read_s = (double)(j->first_ns - j->start_ns) / 1e9;
    double write_s = (double)(j->end_ns - j->first_ns) / 1e9;
    if (!args_flag(r->args, "--verbose"))
        return;
    cmd_note(r->args, "prompt %zu tokens in %.3f s, %.1f tokens/s", j->n_ids, read_s,
             read_s > 0 ? (double)j->n_ids / read_s : 0);
    cmd_note(r->args, "answer %zu tokens in %.3f s, %.1f tokens/s, end: %s", j->out.n_ids, write_s,
             write_s > 0 ? (double)j->out.n_ids / write_s : 0, finish_name(j->answer.finish));
}

/* Streams: what is ready after each step goes out. */
static bool answer(struct run *r, struct job *j, bool stream, struct bitnet_error *err)
{
    size_t n_out = 0;
    struct progress bar;
    progress_start(&bar, "prompt", "tok", j->n_ids, args_flag(r->args, "--quiet"));
    while (j->end_ns == 0 && cmd_signal() == 0) {
        if (!job_step(&r->host, &j, 1, err))
            break;
        if (j->n_fed < j->n_ids) {
            progress_set(&bar, j->n_fed);
            continue;
        }
        progress_clear(&bar);
        if (n_out < j->answer.n_start)
            n_out = j->answer.n_start;
        if (stream && n_out < j->answer.n_ready) {
            if (!out_text(j->answer.text.data + n_out, j->answer.n_ready - n_out, err))
                break;
            n_out = j->answer.n_ready;
        }
    }
    progress_clear(&bar);
    job_end(j, FINISH_INTERRUPT);
    if (err->code == BITNET_OK && stream && n_out < j->answer.n_ready)
        out_text(j->answer.text.data + n_out, j->answer.n_ready - n_out, err);
    if (err->code == BITNET_OK && stream && isatty(1))
        out_text("\n", 1, err);
    return err->code == BITNET_OK && out_flush(err) && job_check(j, err);
}

static bool print_json(const struct run *r, const struct job *j, struct bitnet_error *err)
{
    struct buffer b = {0};
    buffer_add(&b, "{", 1);
    out_whole(&b, "version", 1);
    out_answer(&b, &r->host, j, r->host.sampling.seed, true);
    buffer_add(&b, "}\n", 2);
    bool good = out_text(b.data, b.n_bytes, err) && out_flush(err);
    buffer_free(&b);
    return good;
}

static int generate(struct run *r, struct bitnet_error *err)
{
    const struct args *a = r->args;
    struct job j = {.ids = r->ids.ids, .n_ids = r->ids.n_ids};
    bool json = args_flag(a, "--json");
    double limit = args_seconds(a, "--time-limit");
    j.n_predict = args_int(a, "--predict");
    j.want_logprobs = args_given(a, "--logprobs");
    j.n_top = (size_t)args_int(a, "--logprobs");
    j.deadline_ns = limit > 0 ? now_ns() + (uint64_t)(limit * 1e9) : 0;
    if (bitnet_sampler_open(&j.sampler, r->host.model, &r->host.sampling, err) &&
        job_begin(&r->host, &j, err) && answer(r, &j, !json, err) && json)
        print_json(r, &j, err);
    bool limited = finish_is_limit(j.answer.finish);
    if (err->code == BITNET_OK) {
        print_stats(r, &j);
        if (j.answer.finish == FINISH_CONTEXT)
            cmd_note(a, "the context of %zu tokens is full%s", r->host.n_ctx,
                     host_can_grow(&r->host) ? "; -c makes it larger"
                                             : ", as many as the model was trained for");
    }
    if (j.sampler != NULL)
        bitnet_sampler_close(j.sampler);
    job_free(&j);
    if (err->code != BITNET_OK)
        return cmd_fail(err);
    if (cmd_signal() != 0)
        return 128 + cmd_signal();
    if (!args_flag(a, "--strict") || (!limited && !r->prompt.was_cut))
        return BITNET_OK;
    cmd_note(a, "--strict: %s", limited ? "a limit cut the answer" : "the text was cut");
    return BITNET_CUT;
}

static int run_fail(const struct run *r, const struct bitnet_error *err)
{
    return args_flag(r->args, "--yesno") ? cmd_fail_filter(err) : cmd_fail(err);
}

static int choose(struct run *r, struct bitnet_error *err)
{
    const struct args *a = r->args;
    struct choices c;
    struct bitnet_ids kept = {0};
    bool yesno = args_flag(a, "--yesno");
    bool good = choices_open(&c, a, yesno, err) &&
                choices_score(&c, &r->host, &r->prompt, &kept, err);
    if (good && args_flag(a, "--json")) {
        struct buffer b = {0};
        buffer_add(&b, "{", 1);
        out_whole(&b, "version", 1);
        out_choices(&b, &r->host, &c);
        buffer_add(&b, "}\n", 2);
        good = out_text(b.data, b.n_bytes, err);
        buffer_free(&b);
    } else if (good && !c.undecided && !(yesno && args_flag(a, "--quiet"))) {
        good = out_text(c.items[c.best].text, strlen(c.items[c.best].text), err) &&
               out_text("\n", 1, err);
    }
    if (good && args_flag(a, "--verbose")) {
        for (size_t i = 0; i < c.n; i++)
            cmd_note(a, "%-12s ln p %.6f, %zu tokens", c.items[i].text, c.items[i].logprob,
                     c.items[i].n_tokens);
        cmd_note(a, "%zu tokens of prompt, %zu read in all", c.n_prompt, c.n_read);
    }
    good = good && out_flush(err);
    int status = !good                                           ? run_fail(r, err)
                 : c.undecided                                   ? BITNET_UNSURE
                 : args_flag(a, "--strict") && r->prompt.was_cut ? BITNET_CUT
                 : yesno                                         ? c.best != 0
                                                                 : BITNET_OK;
    bitnet_ids_free(&kept);
    choices_close(&c);
    return status;
}

static int run_one(struct run *r)
{
    const struct args *a = r->args;
    struct bitnet_error err = {0};
    bool choices = args_flag(a, "--yesno") || args_given(a, "--choices");
    if (!read_prompt(r, &err) || !host_open(&r->host, a, 0, &err) ||
        !prompt_options(&r->host, &r->prompt, &err) ||
        !prompt_encode(&r->host, &r->prompt, &r->rendered, &r->ids, &err))
        return run_fail(r, &err);
    if (cmd_signal() != 0)
        return 128 + cmd_signal();
    if (r->prompt.was_cut)
        cmd_note(a, "the text was cut to %zu tokens (--fit %s)", r->ids.n_ids,
                 args_text(a, "--fit"));
    if (args_flag(a, "--dry-run"))
        return dry_run(r, &err);
    if (!host_start(&r->host, choices ? CHOOSE_SEQS : 1, choices ? CHOOSE_ROWS : 1, &err))
        return run_fail(r, &err);
    return choices ? choose(r, &err) : generate(r, &err);
}

int cmd_run(int argc, char **argv)
{
    struct args a;
    int status;
    struct bitnet_error err = {0};
    if (!cmd_begin(&a, "run", argc, argv, &status))
        return status;
    if (!check(&a, &err)) {
        status = cmd_fail(&err);
    } else if (each_is_wanted(&a)) {
        status = each_main(&a);
    } else if (!args_given(&a, "--prompt") && !args_given(&a, "--file") && a.n_operands == 0 &&
               isatty(0)) {
        status = chat_main(&a);
    } else {
        struct run r = {.args = &a};
        cmd_watch_signals();
        status = run_one(&r);
        host_close(&r.host);
        rendered_free(&r.rendered);
        bitnet_ids_free(&r.ids);
        buffer_free(&r.text);
        free(r.instruction);
        free(r.system);
    }
    args_free(&a);
    return status;
}
