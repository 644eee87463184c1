/* cmd_chat.c: `bitnet chat`. Sequence 0 of the session holds the whole chat, so a turn
 * reads only what is new. ids is what the sequence holds or is about to: answers stay the
 * ids that were drawn, and are not tokenized again. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/cmd_each.h"
#include "src/cmd_out.h"
#include "src/json.h"
#include "src/lineedit.h"
#include "src/cmd_file.h"
#include "src/progress.h"

struct message {
    enum role role;
    char *text;
    size_t n_bytes;
};
struct chat {
    const struct args *args;
    struct host host;
    const struct template *template;
    struct lineedit edit;
    bool color, quit;
    bool one_line; /* the message is a line as it was typed: what starts with / is a command */
    char *system;
    struct message *messages;
    size_t n_messages, n_alloc;
    struct bitnet_ids ids;
    struct job job;
    size_t n_turns, n_drawn;
    double draw_s, read_s;
    size_t n_read;
    int status;
};

static const char help[] =
    "/reset          forget the chat\n"
    "/save FILE      keep it, one JSON object per message\n"
    "/load FILE      go on with a saved chat\n"
    "/system [TEXT]  change the system message and start anew\n"
    "/stats          tokens, speed, room\n"
    "/quit           end; so does Ctrl-D\n"
    "A line that ends in \\ goes on in the next; \"\"\" starts and ends many lines.\n"
    "Only one line as it was typed is a command: between \"\"\" a text may start with /.\n"
    "Ctrl-C stops the answer; twice it ends the chat.\n";

static void say(const struct chat *c, const char *text)
{
    if (!args_flag(c->args, "--quiet"))
        fputs(text, stderr);
}

/* --- messages --- */

static bool add_message(struct chat *c, enum role role, const char *text, size_t n_bytes,
                        struct bitnet_error *err)
{
    if (c->n_messages == c->n_alloc) {
        size_t n = c->n_alloc * 2 + 16;
        struct message *p = realloc(c->messages, n * sizeof *p);
        if (p == NULL)
            return fail(err, BITNET_FAILED, "out of memory for the chat");
        c->messages = p;
        c->n_alloc = n;
    }
    char *copy = malloc(n_bytes + 1);
    if (copy == NULL)
        return fail(err, BITNET_FAILED, "out of memory for the chat");
    if (n_bytes > 0)
        memcpy(copy, text, n_bytes);
    copy[n_bytes] = '\0';
    c->messages[c->n_messages++] = (struct message){role, copy, n_bytes};
    return true;
}

static void drop_messages(struct chat *c, size_t from, size_t n)
{
    if (n == 0)
        return;
    for (size_t i = from; i < from + n; i++)
        free(c->messages[i].text);
    memmove(c->messages + from, c->messages + from + n,
            (c->n_messages - from - n) * sizeof *c->messages);
    c->n_messages -= n;
}

static bool reset(struct chat *c, struct bitnet_error *err)
{
    drop_messages(c, 0, c->n_messages);
    c->ids.n_ids = 0;
    bitnet_seq_cut(c->host.session, 0, 0);
    return c->system == NULL ||
           add_message(c, ROLE_SYSTEM, c->system, strlen(c->system), err);
}

/* --- tokens --- */

/* Ids of all messages, and of the opening of the answer. */
static bool encode_all(struct chat *c, struct bitnet_ids *ids, struct bitnet_error *err)
{
    struct rendered r = {0};
    for (size_t i = 0; i < c->n_messages; i++)
        template_message(&r, c->template, c->messages[i].role, c->messages[i].text,
                         c->messages[i].n_bytes);
    template_reply(&r, c->template);
    bool good = host_encode(&c->host, &r, true, ids, err);
    rendered_free(&r);
    return good;
}

/* What follows an answer: its closing mark, the new message, the opening of the next
 * answer. */
static bool encode_turn(struct chat *c, struct bitnet_ids *ids, struct bitnet_error *err)
{
    struct rendered r = {0};
    const struct message *m = &c->messages[c->n_messages - 1];
    template_close(&r, c->template, ROLE_ASSISTANT);
    template_message(&r, c->template, m->role, m->text, m->n_bytes);
    template_reply(&r, c->template);
    bool good = host_encode(&c->host, &r, false, ids, err);
    rendered_free(&r);
    return good;
}

static bool append_ids(struct bitnet_ids *to, const int32_t *ids, size_t n,
                       struct bitnet_error *err)
{
    if (to->n_alloc - to->n_ids < n) {
        size_t n_alloc = to->n_alloc * 2 + n;
        int32_t *p = realloc(to->ids, n_alloc * sizeof *p);
        if (p == NULL)
            return fail(err, BITNET_FAILED, "out of memory for %zu tokens", n_alloc);
        to->ids = p;
        to->n_alloc = n_alloc;
    }
    if (n > 0)
        memcpy(to->ids + to->n_ids, ids, n * sizeof *ids);
    to->n_ids += n;
    return true;
}

/* Replaces the chat's ids; the sequence keeps what both start with. */
static void set_ids(struct chat *c, struct bitnet_ids *ids)
{
    size_t n = 0, n_held = bitnet_seq_length(c->host.session, 0);
    while (n < n_held && n < ids->n_ids && c->ids.ids[n] == ids->ids[n])
        n++;
    bitnet_seq_cut(c->host.session, 0, n);
    bitnet_ids_free(&c->ids);
    c->ids = *ids;
}

static size_t answer_room(const struct chat *c)
{
    int64_t n = args_int(c->args, "--predict");
    size_t quarter = c->host.n_ctx / 4;
    return n >= 0 && (size_t)n < quarter ? (size_t)n : quarter;
}

/* The context is full: the oldest turns go until half of it is free. The system message
 * and the newest message stay. */
static bool make_room(struct chat *c, struct bitnet_error *err)
{
    struct bitnet_ids ids = {0};
    size_t first = c->n_messages > 0 && c->messages[0].role == ROLE_SYSTEM, n_dropped = 0;
    if (!encode_all(c, &ids, err))
        return false;
    while (ids.n_ids > c->host.n_ctx / 2 && c->n_messages > first + 1) {
        size_t n = c->n_messages > first + 2 ? 2 : 1; /* a question and its answer */
        drop_messages(c, first, n);
        n_dropped += n;
        ids.n_ids = 0;
        if (!encode_all(c, &ids, err))
            return false;
    }
    if (ids.n_ids + 1 > c->host.n_ctx) {
        size_t n_ids = ids.n_ids;
        bitnet_ids_free(&ids);
        return fail(err, BITNET_FAILED, "the message is too long: %zu tokens, the context holds "
                    "%zu%s", n_ids, c->host.n_ctx, host_remedy(&c->host));
    }
    set_ids(c, &ids);
    if (n_dropped > 0)
        cmd_note(c->args, "the context of %zu tokens is full: the oldest %zu messages were dropped",
                 c->host.n_ctx, n_dropped);
    return true;
}

static bool add_turn(struct chat *c, struct bitnet_error *err)
{
    struct bitnet_ids ids = {0};
    bool fresh = c->ids.n_ids == 0;
    if (!(fresh ? encode_all(c, &ids, err) : encode_turn(c, &ids, err)))
        return false;
    size_t n_after = c->ids.n_ids + ids.n_ids;
    bool good = n_after + answer_room(c) > c->host.n_ctx
                    ? make_room(c, err)
                    : append_ids(&c->ids, ids.ids, ids.n_ids, err);
    bitnet_ids_free(&ids);
    return good;
}

/* --- a turn --- */

static bool stream(struct chat *c, struct bitnet_error *err)
{
    struct job *j = &c->job;
    struct progress bar;
    size_t n_out = 0;
    progress_start(&bar, "reading", "tok", j->n_ids, args_flag(c->args, "--quiet"));
    while (j->end_ns == 0 && cmd_signal() == 0 && err->code == BITNET_OK) {
        if (!job_step(&c->host, &j, 1, err))
            break;
        if (j->n_fed < j->n_ids) {
            progress_set(&bar, j->n_fed);
            continue;
        }
        progress_clear(&bar);
        if (n_out < j->answer.n_ready)
            out_text(j->answer.text.data + n_out, j->answer.n_ready - n_out, err);
        n_out = j->answer.n_ready;
    }
    progress_clear(&bar);
    job_end(j, FINISH_INTERRUPT);
    if (err->code == BITNET_OK && n_out < j->answer.n_ready)
        out_text(j->answer.text.data + n_out, j->answer.n_ready - n_out, err);
    return err->code == BITNET_OK && out_text("\n", 1, err) && out_flush(err) && job_check(j, err);
}

/* The answer becomes a message. Where its text was cut before a stop text, the tokens
 * behind the cut are forgotten: its text is tokenized again. */
static bool keep_answer(struct chat *c, struct bitnet_error *err)
{
    struct job *j = &c->job;
    const char *text = j->answer.text.n_bytes > 0 ? (const char *)j->answer.text.data : "";
    size_t n_bytes = j->answer.text.n_bytes, n_before = c->ids.n_ids;
    if (j->answer.finish == FINISH_STOP) {
        struct bitnet_ids again = {0};
        if (!append_ids(&again, c->ids.ids, n_before, err) ||
            !bitnet_encode(c->host.tokenizer, text, n_bytes, 0, &again, err))
            return false;
        append_ids(&c->ids, j->out.ids, j->out.n_ids, err);
        set_ids(c, &again);
    } else if (!append_ids(&c->ids, j->out.ids, j->out.n_ids, err)) {
        return false;
    }
    if (j->answer.finish == FINISH_CONTEXT)
        cmd_note(c->args, "the context of %zu tokens is full; the next message drops the oldest",
                 c->host.n_ctx);
    return add_message(c, ROLE_ASSISTANT, text, n_bytes, err);
}

static bool turn(struct chat *c, const char *text, size_t n_bytes, struct bitnet_error *err)
{
    struct job *j = &c->job;
    struct bitnet_error own = {0};
    if (!add_message(c, ROLE_USER, text, n_bytes, err))
        return false;
    if (!add_turn(c, &own)) { /* too long a message: the chat goes on without it */
        drop_messages(c, c->n_messages - 1, 1);
        c->ids.n_ids = 0;
        bitnet_seq_cut(c->host.session, 0, 0);
        cmd_fail(&own);
        c->status = own.code;
        return true;
    }
    bitnet_sampler_reset(j->sampler, c->host.sampling.seed + c->n_turns++);
    j->ids = c->ids.ids;
    j->n_ids = c->ids.n_ids;
    j->n_fed = bitnet_seq_length(c->host.session, 0);
    if (j->n_fed > 0 && j->n_fed == j->n_ids) /* what make_room kept may all be held */
        bitnet_seq_cut(c->host.session, 0, --j->n_fed); /* its last row must be computed */
    size_t n_new = j->n_ids - j->n_fed;
    j->n_predict = args_int(c->args, "--predict");
    if (!job_begin(&c->host, j, err) || !stream(c, err))
        return false;
    c->n_read += n_new;
    c->n_drawn += j->out.n_ids;
    c->read_s += (double)(j->first_ns - j->start_ns) / 1e9;
    c->draw_s += (double)(j->end_ns - j->first_ns) / 1e9;
    if (args_flag(c->args, "--verbose"))
        cmd_note(c->args, "read %zu of %zu tokens, answered with %zu", n_new, j->n_ids,
                 j->out.n_ids);
    return keep_answer(c, err);
}

/* --- commands --- */

static bool save(const struct chat *c, const char *path, struct bitnet_error *err)
{
    struct out_file f;
    struct buffer b = {0};
    for (size_t i = 0; i < c->n_messages; i++) {
        const struct message *m = &c->messages[i];
        buffer_add(&b, "{", 1);
        out_string(&b, "role", role_name(m->role), strlen(role_name(m->role)));
        out_string(&b, "content", m->text, m->n_bytes);
        buffer_add(&b, "}\n", 2);
    }
    bool good = (!b.failed || fail(err, BITNET_FAILED, "out of memory")) &&
                out_file_open(&f, path, err);
    if (good) {
        out_file_write(&f, b.data, b.n_bytes, err);
        good = out_file_close(&f, err);
    }
    buffer_free(&b);
    return good;
}

static bool load_line(struct chat *c, const char *path, size_t number, const char *line, size_t n,
                      struct bitnet_error *err)
{
    struct json_doc doc = {0};
    char name[300];
    snprintf(name, sizeof name, "%.250s: line %zu", path, number);
    if (!json_parse(&doc, line, n, name, err))
        return false;
    const struct json *role = json_get(doc.root, "role"), *text = json_get(doc.root, "content");
    size_t r = 0;
    while (r < N_ROLES && !json_is(role, role_name((enum role)r)))
        r++;
    bool good = r < N_ROLES && text != NULL && text->kind == JSON_STRING;
    if (!good)
        fail(err, BITNET_BAD, "%s: needs role (system, user, assistant) and content", name);
    else
        good = add_message(c, (enum role)r, text->text, text->text_bytes, err);
    json_free(&doc);
    return good;
}

/* A chat that was saved with a system message keeps it; others begin with that of this one. */
static bool lead_with_system(struct chat *c, struct bitnet_error *err)
{
    if (c->system == NULL || (c->n_messages > 0 && c->messages[0].role == ROLE_SYSTEM))
        return true;
    if (!add_message(c, ROLE_SYSTEM, c->system, strlen(c->system), err))
        return false;
    struct message first = c->messages[c->n_messages - 1];
    memmove(c->messages + 1, c->messages, (c->n_messages - 1) * sizeof first);
    c->messages[0] = first;
    return true;
}

/* All or nothing: on an error the chat is what it was. */
static bool load(struct chat *c, const char *path, struct bitnet_error *err)
{
    struct buffer text = {0};
    struct message *old = c->messages;
    size_t n_old = c->n_messages, n_old_alloc = c->n_alloc, number = 0;
    bool good = prompt_read_file(path, &text, err);
    c->messages = NULL;
    c->n_messages = c->n_alloc = 0;
    for (size_t at = 0; good && at < text.n_bytes;) {
        const char *line = (const char *)text.data + at;
        const char *end = memchr(line, '\n', text.n_bytes - at);
        size_t n = end != NULL ? (size_t)(end - line) : text.n_bytes - at;
        good = load_line(c, path, ++number, line, n, err);
        at += n + 1;
    }
    good = good && lead_with_system(c, err);
    buffer_free(&text);
    struct message *now = c->messages;
    size_t n_now = c->n_messages, n_now_alloc = c->n_alloc;
    c->messages = good ? old : now;
    c->n_messages = good ? n_old : n_now;
    drop_messages(c, 0, c->n_messages);
    free(c->messages);
    c->messages = good ? now : old;
    c->n_messages = good ? n_now : n_old;
    c->n_alloc = good ? n_now_alloc : n_old_alloc;
    if (good) {
        c->ids.n_ids = 0;
        bitnet_seq_cut(c->host.session, 0, 0);
    }
    return good;
}

static void stats(const struct chat *c)
{
    fprintf(stderr, "%zu messages, %zu of %zu tokens in the context\n", c->n_messages, c->ids.n_ids,
            c->host.n_ctx);
    fprintf(stderr, "read %zu tokens (%.1f/s), wrote %zu (%.1f/s)\n", c->n_read,
            c->read_s > 0 ? (double)c->n_read / c->read_s : 0, c->n_drawn,
            c->draw_s > 0 ? (double)c->n_drawn / c->draw_s : 0);
}

static bool is_word(const char *text, const char *word, const char **rest)
{
    size_t n = strlen(word);
    if (strncmp(text, word, n) != 0 || (text[n] != '\0' && text[n] != ' '))
        return false;
    *rest = text + n + strspn(text + n, " ");
    return true;
}

/* A typed line that starts with a slash. Its errors are told and the chat goes on. */
static bool command(struct chat *c, const char *text, struct bitnet_error *err)
{
    const char *rest;
    struct bitnet_error own = {0};
    if (is_word(text, "/help", &rest)) {
        fputs(help, stderr);
    } else if (is_word(text, "/quit", &rest) || is_word(text, "/exit", &rest)) {
        c->quit = true;
    } else if (is_word(text, "/stats", &rest)) {
        stats(c);
    } else if (is_word(text, "/reset", &rest)) {
        return reset(c, err);
    } else if (is_word(text, "/system", &rest)) {
        free(c->system);
        c->system = rest[0] != '\0' ? strdup(rest) : NULL;
        return reset(c, err);
    } else if (is_word(text, "/save", &rest) && rest[0] != '\0') {
        save(c, rest, &own);
    } else if (is_word(text, "/load", &rest) && rest[0] != '\0') {
        load(c, rest, &own);
    } else if (is_word(text, "/save", &rest) || is_word(text, "/load", &rest)) {
        fail(&own, BITNET_USAGE, "%.5s needs the name of a file: %.5s FILE", text, text);
    } else {
        fail(&own, BITNET_USAGE, "'%s' is no command of the chat; /help lists them", text);
    }
    if (own.code != BITNET_OK)
        c->status = cmd_fail(&own);
    return true;
}

/* --- input --- */

/* One message: a line, lines joined by backslashes, or lines between triple quotes. */
static enum line_result read_message(struct chat *c, struct buffer *out)
{
    bool quoted = false;
    size_t n_lines = 0;
    out->n_bytes = 0;
    for (bool more = true; more;) {
        const char *prompt = out->n_bytes > 0 || quoted ? "... " : "> ";
        enum line_result got = lineedit_read(&c->edit, prompt, c->color);
        const struct buffer *line = &c->edit.line;
        size_t n = line->n_bytes;
        c->one_line = ++n_lines == 1 && !c->edit.pasted;
        if (got != LINE_TEXT)
            return got == LINE_END && out->n_bytes > 0 ? LINE_TEXT : got;
        if (n > 0 && line->data[n - 1] == '\r')
            n--;
        bool is_quote = n == 3 && memcmp(line->data, "\"\"\"", 3) == 0;
        if (!is_quote)
            lineedit_remember(&c->edit, n > 0 ? (const char *)line->data : "", n);
        more = quoted ? !is_quote : is_quote || (n > 0 && line->data[n - 1] == '\\');
        if (is_quote) {
            quoted = !quoted;
            continue;
        }
        n -= more && !quoted;
        if (n > 0)
            buffer_add(out, line->data, n);
        if (more)
            buffer_add(out, "\n", 1);
    }
    if (out->n_bytes > 0 && out->data[out->n_bytes - 1] == '\n')
        out->n_bytes--;
    return LINE_TEXT;
}

static bool talk(struct chat *c, struct bitnet_error *err)
{
    struct buffer text = {0};
    int n_interrupts = 0;
    while (!c->quit && err->code == BITNET_OK && cmd_signal() != SIGTERM) {
        /* A Ctrl-C between two lines came as a signal, not as a key. */
        enum line_result got =
            cmd_signal() == SIGINT ? LINE_INTERRUPTED : read_message(c, &text);
        if (got == LINE_END)
            break;
        if (got == LINE_INTERRUPTED) {
            if (cmd_signal() == SIGTERM)
                break;
            cmd_signal_clear();
            if (++n_interrupts == 2) {
                c->status = 128 + SIGINT;
                break;
            }
            say(c, "(Ctrl-C again or Ctrl-D ends the chat)\n");
            continue;
        }
        if (text.n_bytes == 0)
            continue;
        n_interrupts = 0;
        buffer_add(&text, "", 1);
        const char *line = (const char *)text.data;
        bool is_command = line[0] == '/' && c->one_line && strchr(line, '\n') == NULL;
        if (is_command ? !command(c, line, err) : !turn(c, line, text.n_bytes - 1, err))
            break;
        if (cmd_signal() == SIGINT) { /* it stopped the answer */
            cmd_signal_clear();
            n_interrupts = 1;
        }
    }
    if (cmd_signal() == SIGTERM)
        c->status = 128 + SIGTERM;
    buffer_free(&text);
    return err->code == BITNET_OK;
}

static bool open_chat(struct chat *c, struct bitnet_error *err)
{
    const struct args *a = c->args;
    const char *model = cmd_model(args_text(a, "--model"));
    if (model != NULL && strcmp(model, "-") == 0)
        return fail(err, BITNET_USAGE, "the model is -: a chat reads standard input; name a file");
    if (!prompt_text(a, "--system", &c->system, err) || !host_open(&c->host, a, 0, err) ||
        !host_start(&c->host, 1, 1, err) ||
        !bitnet_sampler_open(&c->job.sampler, c->host.model, &c->host.sampling, err))
        return false;
    c->template = c->host.template != NULL ? c->host.template : template_find("plain");
    c->color = out_color(2, args_text(a, "--color"));
    lineedit_open(&c->edit, "history");
    c->edit.signalled = cmd_signal;
    if (c->edit.prompts) {
        char line[200];
        snprintf(line, sizeof line, "%.120s, template %s; /help lists commands\n",
                 c->host.model_name, c->template->name);
        say(c, line);
    }
    return reset(c, err);
}

int chat_main(const struct args *a)
{
    struct bitnet_error err = {0};
    struct chat c = {.args = a};
    const char *file = strcmp(a->command->name, "chat") == 0 ? args_text(a, "--load") : NULL;
    cmd_watch_signals();
    if (!open_chat(&c, &err) || (file != NULL && !load(&c, file, &err)) || !talk(&c, &err))
        c.status = cmd_fail(&err);
    if (c.job.sampler != NULL)
        bitnet_sampler_close(c.job.sampler);
    drop_messages(&c, 0, c.n_messages);
    free(c.messages);
    free(c.system);
    bitnet_ids_free(&c.ids);
    job_free(&c.job);
    lineedit_close(&c.edit);
    host_close(&c.host);
    return c.status;
}

int cmd_chat(int argc, char **argv)
{
    struct args a;
    int status;
    if (!cmd_begin(&a, "chat", argc, argv, &status))
        return status;
    status = chat_main(&a);
    args_free(&a);
    return status;
}
