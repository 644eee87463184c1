/* cmd_out.c: writing and flushing; numbers and texts as JSON. */
#include "src/cmd_out.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/json.h"

/* A reader that went away is the common end of a pipe: the process ends as if SIGPIPE had
 * come, without a word, also where the parent had it ignored. */
static bool cannot_write(struct bitnet_error *err)
{
    if (errno == EPIPE)
        return fail(err, 128 + SIGPIPE, "closed pipe");
    return fail(err, BITNET_FAILED, "standard output: %s", strerror(errno));
}

bool out_flush(struct bitnet_error *err)
{
    return fflush(stdout) == 0 || cannot_write(err);
}

bool out_text(const void *text, size_t n_bytes, struct bitnet_error *err)
{
    static uint64_t flushed_ns;
    if (n_bytes > 0 && fwrite(text, 1, n_bytes, stdout) != n_bytes)
        return cannot_write(err);
    uint64_t now = now_ns();
    if (!isatty(1) && now - flushed_ns < 50000000)
        return true;
    flushed_ns = now;
    return out_flush(err);
}

bool out_color(int fd, const char *when)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    if (strcmp(when, "auto") != 0)
        return strcmp(when, "always") == 0;
    return isatty(fd) && (no == NULL || no[0] == '\0') && term != NULL &&
           strcmp(term, "dumb") != 0;
}

void out_key(struct buffer *b, const char *key)
{
    uint8_t last = b->n_bytes > 0 ? b->data[b->n_bytes - 1] : '{';
    if (last != '{' && last != '[')
        buffer_add(b, ",", 1);
    json_add_string(b, key, strlen(key));
    buffer_add(b, ":", 1);
}

void out_string(struct buffer *b, const char *key, const char *text, size_t n_bytes)
{
    out_key(b, key);
    if (text != NULL)
        json_add_string(b, text, n_bytes);
    else
        buffer_add(b, "null", 4);
}

void out_number(struct buffer *b, const char *key, double value)
{
    char digits[40] = "null";
    if (isfinite(value))
        snprintf(digits, sizeof digits, "%.17g", value);
    out_key(b, key);
    buffer_add(b, digits, strlen(digits));
}

void out_whole(struct buffer *b, const char *key, int64_t value)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%lld", (long long)value);
    out_key(b, key);
    buffer_add(b, digits, strlen(digits));
}

void out_ids(struct buffer *b, const char *key, const struct bitnet_ids *ids)
{
    out_key(b, key);
    buffer_add(b, "[", 1);
    for (size_t i = 0; i < ids->n_ids; i++) {
        char digits[16];
        int n = snprintf(digits, sizeof digits, "%s%d", i > 0 ? "," : "", (int)ids->ids[i]);
        buffer_add(b, digits, (size_t)n);
    }
    buffer_add(b, "]", 1);
}

void out_choices(struct buffer *b, const struct host *h, const struct choices *c)
{
    const char *answer = c->undecided ? NULL : c->items[c->best].text;
    out_string(b, "answer", answer, answer != NULL ? strlen(answer) : 0);
    out_number(b, "margin", c->items[c->best].logprob - c->items[c->second].logprob);
    out_key(b, "choices");
    buffer_add(b, "[", 1);
    for (size_t i = 0; i < c->n; i++) {
        const struct choice *item = &c->items[i];
        buffer_add(b, i > 0 ? ",{" : "{", i > 0 ? 2 : 1);
        out_string(b, "text", item->text, strlen(item->text));
        out_number(b, "logprob", item->logprob);
        out_whole(b, "n_tokens", (int64_t)item->n_tokens);
        buffer_add(b, "}", 1);
    }
    buffer_add(b, "]", 1);
    out_whole(b, "n_prompt", (int64_t)c->n_prompt);
    out_string(b, "model", h->model_name, strlen(h->model_name));
}

static void add_token(struct buffer *b, const struct host *h, int32_t id, double logprob)
{
    size_t n;
    const char *text = bitnet_token_name(h->tokenizer, id, &n);
    out_whole(b, "id", id);
    out_string(b, "text", text, n);
    out_number(b, "logprob", logprob);
}

static void add_logprobs(struct buffer *b, const struct host *h, const struct job *j)
{
    out_key(b, "logprobs");
    buffer_add(b, "[", 1);
    for (size_t i = 0; i < j->n_logprobs; i++) {
        const struct logprob *l = &j->logprobs[i];
        buffer_add(b, i > 0 ? ",{" : "{", i > 0 ? 2 : 1);
        add_token(b, h, j->out.ids[i], l->own);
        out_key(b, "top");
        buffer_add(b, "[", 1);
        for (size_t k = 0; k < l->n_top; k++) {
            buffer_add(b, k > 0 ? ",{" : "{", k > 0 ? 2 : 1);
            add_token(b, h, l->top_ids[k], l->top[k]);
            buffer_add(b, "}", 1);
        }
        buffer_add(b, "]}", 2);
    }
    buffer_add(b, "]", 1);
}

void out_answer(struct buffer *b, const struct host *h, const struct job *j, uint64_t seed,
                bool times)
{
    const struct answer *a = &j->answer;
    double read_ms = (double)(j->first_ns - j->start_ns) / 1e6;
    double write_ms = (double)(j->end_ns - j->first_ns) / 1e6;
    const char *text = a->text.n_bytes > 0 ? (const char *)a->text.data + a->n_start : "";
    out_string(b, "text", text, a->n_ready - a->n_start);
    out_ids(b, "ids", &j->out);
    out_string(b, "finish", finish_name(a->finish), strlen(finish_name(a->finish)));
    out_whole(b, "n_prompt", (int64_t)j->n_ids);
    out_whole(b, "n_generated", (int64_t)j->out.n_ids);
    out_whole(b, "seed", (int64_t)seed);
    out_string(b, "model", h->model_name, strlen(h->model_name));
    if (times) {
        out_number(b, "prompt_ms", read_ms);
        out_number(b, "generate_ms", write_ms);
        out_number(b, "tok_per_s", write_ms > 0 ? (double)j->out.n_ids * 1e3 / write_ms : 0);
    }
    if (j->want_logprobs)
        add_logprobs(b, h, j);
}
