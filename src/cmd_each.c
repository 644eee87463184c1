/* cmd_each.c: --each-line, -0 and --jsonl. Up to --batch records are decoded beside each
 * other; as one ends, the next takes its place. Output keeps the order of the input: a
 * record may wait for those before it in a window of a few batches, so memory stays
 * bounded on endless input. What all prompts start with is read once, into sequence 0,
 * and copied. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/cmd_each.h"
#include "src/cmd_out.h"
#include "src/cmd_reader.h"
#include "src/progress.h"

enum { MAX_BATCH = 64, WINDOW = 4 * MAX_BATCH, N_CTX_MOST = 2048 };

struct slot {
    bool busy;
    uint64_t index;
    struct record record;
    struct job job;
    struct bitnet_ids ids;
    struct rendered rendered;
    bool default_sampler; /* the sampler has the options' parameters */
};

struct result {
    bool done;
    struct buffer line;
};

struct each {
    const struct args *args;
    struct host host;
    struct prompt prompt; /* instruction and system of every record */
    char *instruction, *system;
    bool json, escape_lines, choosing, yesno, have_prefix;
    char delimiter;
    struct reader reader;
    struct slot slots[MAX_BATCH];
    size_t n_slots;
    struct result window[WINDOW];
    uint64_t n_read, n_written, n_failed, n_cut, n_undecided, n_tokens;
    struct bitnet_ids prefix; /* held by sequence 0 */
    struct choices choices;
    struct progress bar;
};

bool each_is_wanted(const struct args *a)
{
    return args_flag(a, "--each-line") || args_flag(a, "--null") || args_flag(a, "--jsonl");
}

/* --- results --- */

static struct buffer *line_of(struct each *e, uint64_t index)
{
    struct result *r = &e->window[index % WINDOW];
    r->line.n_bytes = 0;
    r->done = true;
    return &r->line;
}

static void add_escaped(struct buffer *b, const char *text, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++) {
        char c = text[i];
        if (c == '\n' || c == '\r' || c == '\\') {
            char two[2] = {'\\', c == '\n' ? 'n' : c == '\r' ? 'r' : '\\'};
            buffer_add(b, two, 2);
        } else {
            buffer_add(b, &c, 1);
        }
    }
}

static void open_object(struct buffer *b, const struct record *r, uint64_t index)
{
    buffer_add(b, "{", 1);
    out_whole(b, "version", 1);
    out_whole(b, "i", (int64_t)index);
    if (r != NULL && r->id.n_bytes > 0) {
        out_key(b, "id");
        buffer_add(b, r->id.data, r->id.n_bytes);
    }
}

static void close_line(struct each *e, struct buffer *b)
{
    buffer_add(b, e->json ? "}\n" : &e->delimiter, e->json ? 2 : 1);
}

/* A record that failed: an error object or an empty line, and a line on stderr. */
static void put_error(struct each *e, uint64_t index, const struct record *r,
                      const struct bitnet_error *err)
{
    struct buffer *b = line_of(e, index);
    progress_clear(&e->bar);
    fprintf(stderr, "bitnet: record %llu: %s\n", (unsigned long long)index + 1, err->msg);
    if (e->json) {
        open_object(b, r, index);
        out_string(b, "error", err->msg, strlen(err->msg));
    }
    close_line(e, b);
    e->n_failed++;
}

static void put_answer(struct each *e, struct slot *s)
{
    struct buffer *b = line_of(e, s->index);
    const struct answer *a = &s->job.answer;
    const char *text = a->text.n_bytes > 0 ? (const char *)a->text.data + a->n_start : "";
    if (e->json) {
        open_object(b, &s->record, s->index);
        out_answer(b, &e->host, &s->job, s->record.sampling.seed, false);
    } else if (e->escape_lines) {
        add_escaped(b, text, a->n_ready - a->n_start);
    } else {
        buffer_add(b, text, a->n_ready - a->n_start);
    }
    close_line(e, b);
    e->n_cut += finish_is_limit(a->finish) || s->record.prompt.was_cut;
    e->n_tokens += s->job.out.n_ids;
}

static void put_choice(struct each *e, struct slot *s)
{
    struct buffer *b = line_of(e, s->index);
    const struct choices *c = &e->choices;
    if (e->json) {
        open_object(b, &s->record, s->index);
        out_choices(b, &e->host, c);
    } else if (!c->undecided) {
        buffer_add(b, c->items[c->best].text, strlen(c->items[c->best].text));
    }
    close_line(e, b);
    e->n_undecided += c->undecided;
    e->n_cut += s->record.prompt.was_cut;
}

static bool write_ready(struct each *e, struct bitnet_error *err)
{
    for (;;) {
        struct result *r = &e->window[e->n_written % WINDOW];
        if (!r->done)
            return true;
        if (r->line.failed)
            return fail(err, BITNET_FAILED, "out of memory for an answer");
        progress_clear(&e->bar);
        if (!out_text(r->line.data, r->line.n_bytes, err))
            return false;
        r->done = false;
        e->n_written++;
        progress_set(&e->bar, e->n_written);
    }
}

/* --- records --- */

static size_t n_common(const struct bitnet_ids *a, const struct bitnet_ids *b)
{
    size_t n = 0;
    while (n < a->n_ids && n < b->n_ids && a->ids[n] == b->ids[n])
        n++;
    return n;
}

/* What the first prompt shares with a prompt of another text is what all share. */
static bool read_prefix(struct each *e, const struct slot *s, struct bitnet_error *err)
{
    struct prompt other = s->record.prompt;
    struct rendered r = {0};
    other.text = s->record.prompt.n_text > 0 && s->record.prompt.text[0] == 'Q' ? "Z" : "Q";
    other.n_text = 1;
    if (!prompt_encode(&e->host, &other, &r, &e->prefix, err)) {
        rendered_free(&r);
        return false;
    }
    rendered_free(&r);
    e->prefix.n_ids = n_common(&e->prefix, &s->ids);
    for (size_t at = 0; at < e->prefix.n_ids;) {
        struct bitnet_input in[128];
        size_t n = e->prefix.n_ids - at < e->host.max_batch ? e->prefix.n_ids - at
                                                            : e->host.max_batch;
        for (size_t i = 0; i < n; i++)
            in[i] = (struct bitnet_input){e->prefix.ids[at + i], 0, false};
        if (!host_eval(&e->host, in, n, err))
            return false;
        at += n;
    }
    e->have_prefix = true;
    return true;
}

static bool set_sampler(struct each *e, struct slot *s, struct bitnet_error *err)
{
    struct job *j = &s->job;
    if (j->sampler == NULL || !s->default_sampler || s->record.own_sampling) {
        if (j->sampler != NULL)
            bitnet_sampler_close(j->sampler);
        j->sampler = NULL;
        if (!bitnet_sampler_open(&j->sampler, e->host.model, &s->record.sampling, err))
            return false;
        s->default_sampler = !s->record.own_sampling;
    }
    bitnet_sampler_reset(j->sampler, s->record.sampling.seed);
    return true;
}

static bool begin_answer(struct each *e, struct slot *s, struct bitnet_error *err)
{
    struct job *j = &s->job;
    double limit = args_seconds(e->args, "--time-limit");
    if (!prompt_encode(&e->host, &s->record.prompt, &s->rendered, &s->ids, err) ||
        (!e->have_prefix && !read_prefix(e, s, err)) || !set_sampler(e, s, err))
        return false;
    size_t n_kept = n_common(&e->prefix, &s->ids);
    if (n_kept == s->ids.n_ids)
        n_kept -= n_kept > 0; /* its last row must be computed */
    j->ids = s->ids.ids;
    j->n_ids = s->ids.n_ids;
    j->n_fed = n_kept;
    j->rules = &s->record.rules;
    j->n_predict = s->record.n_predict;
    j->deadline_ns = limit > 0 ? now_ns() + (uint64_t)(limit * 1e9) : 0;
    bitnet_seq_copy(e->host.session, j->seq, 0, n_kept);
    if (!job_begin(&e->host, j, err))
        return false;
    s->busy = true;
    return true;
}

static void begin(struct each *e, struct slot *s, enum reader_result got, const char *bytes,
                  size_t n_bytes)
{
    struct bitnet_error err = {0};
    s->index = e->n_read++;
    e->window[s->index % WINDOW].done = false;
    if (got == READER_TOO_LONG)
        fail(&err, BITNET_FAILED, "longer than %d MiB", RECORD_MAX_BYTES >> 20);
    else if (!record_read(&s->record, &e->host, &e->prompt, e->json, bytes, n_bytes, &err))
        ;
    else if (!e->choosing)
        begin_answer(e, s, &err);
    else if (choices_score(&e->choices, &e->host, &s->record.prompt, &e->prefix, &err))
        put_choice(e, s);
    if (err.code != BITNET_OK && cmd_signal() == 0) /* a signal is no error of the record */
        put_error(e, s->index, got == READER_TOO_LONG ? NULL : &s->record, &err);
}

static size_t n_busy(const struct each *e)
{
    size_t n = 0;
    for (size_t i = 0; i < e->n_slots; i++)
        n += e->slots[i].busy;
    return n;
}

/* Gives records to free slots, as far as they have come and the window reaches. Waits for
 * one only when there is nothing else to do. */
static bool fill(struct each *e, bool *at_end, struct bitnet_error *err)
{
    for (size_t i = 0; i < e->n_slots && !*at_end; i++) {
        while (!e->slots[i].busy && e->n_read - e->n_written < WINDOW && cmd_signal() == 0) {
            const char *bytes;
            size_t n_bytes;
            bool idle = n_busy(e) == 0;
            if (!write_ready(e, err) || (idle && !out_flush(err)))
                return false;
            enum reader_result got = reader_next(&e->reader, idle, &bytes, &n_bytes, err);
            if (got == READER_FAILED)
                return false;
            *at_end = got == READER_END;
            if (got == READER_LATER && !(idle && cmd_signal() == 0))
                return true;
            if (*at_end)
                break;
            if (got != READER_LATER)
                begin(e, &e->slots[i], got, bytes, n_bytes);
        }
    }
    return true;
}

static bool step(struct each *e, struct bitnet_error *err)
{
    struct job *jobs[MAX_BATCH];
    size_t n = 0;
    for (size_t i = 0; i < e->n_slots; i++) {
        if (e->slots[i].busy)
            jobs[n++] = &e->slots[i].job;
    }
    if (n == 0)
        return true;
    if (!job_step(&e->host, jobs, n, err))
        return false;
    for (size_t i = 0; i < e->n_slots; i++) {
        struct slot *s = &e->slots[i];
        if (s->busy && s->job.end_ns != 0) {
            struct bitnet_error own = {0};
            if (job_check(&s->job, &own))
                put_answer(e, s);
            else
                put_error(e, s->index, &s->record, &own);
            s->busy = false;
        }
    }
    return true;
}

static bool run_records(struct each *e, struct bitnet_error *err)
{
    bool at_end = false;
    progress_start(&e->bar, "records", "records", 0, args_flag(e->args, "--quiet"));
    while (cmd_signal() == 0 && (!at_end || n_busy(e) > 0)) {
        if (!fill(e, &at_end, err) || !step(e, err) || !write_ready(e, err))
            break;
    }
    progress_clear(&e->bar);
    return err->code == BITNET_OK && out_flush(err);
}

static bool open_each(struct each *e, struct bitnet_error *err)
{
    const struct args *a = e->args;
    const char *file = args_text(a, "--file");
    e->json = args_flag(a, "--jsonl");
    e->delimiter = args_flag(a, "--null") && !e->json ? '\0' : '\n';
    e->escape_lines = e->delimiter == '\n';
    e->yesno = args_flag(a, "--yesno");
    e->choosing = e->yesno || args_given(a, "--choices");
    e->n_slots = e->choosing ? 1 : (size_t)args_int(a, "--batch");
    if (file == NULL && isatty(0) && !args_flag(a, "--quiet"))
        cmd_note(a, "reading records from the terminal; end with Ctrl-D");
    if (!prompt_instruction(a, &e->instruction, err) ||
        !prompt_text(a, "--system", &e->system, err) ||
        (e->choosing && !choices_open(&e->choices, a, e->yesno, err)) ||
        !reader_open(&e->reader, file != NULL ? file : "-", e->delimiter, err) ||
        !host_open(&e->host, a, N_CTX_MOST, err))
        return false;
    e->prompt = (struct prompt){.instruction = e->instruction, .system = e->system};
    e->prompt.n_system = e->system != NULL ? strlen(e->system) : 0;
    if (!prompt_options(&e->host, &e->prompt, err))
        return false;
    if (args_flag(a, "--dry-run"))
        return fail(err, BITNET_USAGE, "--dry-run shows one prompt; leave out --each-line");
    for (size_t i = 0; i < e->n_slots; i++) {
        e->slots[i].job.seq = (uint32_t)i + 1;
        e->slots[i].job.want_logprobs = args_given(a, "--logprobs");
        e->slots[i].job.n_top = (size_t)args_int(a, "--logprobs");
    }
    return host_start(&e->host, e->choosing ? CHOOSE_SEQS : e->n_slots + 1,
                      e->choosing ? CHOOSE_ROWS : e->n_slots, err);
}

static void close_each(struct each *e)
{
    for (size_t i = 0; i < e->n_slots; i++) {
        struct slot *s = &e->slots[i];
        if (s->job.sampler != NULL)
            bitnet_sampler_close(s->job.sampler);
        job_free(&s->job);
        bitnet_ids_free(&s->ids);
        rendered_free(&s->rendered);
        record_free(&s->record);
    }
    for (size_t i = 0; i < WINDOW; i++)
        buffer_free(&e->window[i].line);
    bitnet_ids_free(&e->prefix);
    choices_close(&e->choices);
    reader_close(&e->reader);
    host_close(&e->host);
    free(e->instruction);
    free(e->system);
    free(e);
}

int each_main(const struct args *a)
{
    struct bitnet_error err = {0};
    struct each *e = calloc(1, sizeof *e);
    if (e == NULL)
        return BITNET_FAILED;
    e->args = a;
    cmd_watch_signals();
    uint64_t start = now_ns();
    int status = BITNET_OK;
    if (!open_each(e, &err) || !run_records(e, &err)) {
        status = cmd_fail(&err);
    } else if (cmd_signal() != 0) {
        status = 128 + cmd_signal();
    } else {
        double seconds = (double)(now_ns() - start) / 1e9;
        if (args_flag(a, "--verbose"))
            cmd_note(a, "%llu records, %llu failed, %llu tokens in %.2f s",
                     (unsigned long long)e->n_read, (unsigned long long)e->n_failed,
                     (unsigned long long)e->n_tokens, seconds);
        if (e->n_failed > 0)
            status = BITNET_FAILED;
        else if (e->n_undecided > 0)
            status = BITNET_UNSURE;
        else if (e->n_cut > 0 && args_flag(a, "--strict"))
            status = BITNET_CUT;
    }
    close_each(e);
    return status;
}
