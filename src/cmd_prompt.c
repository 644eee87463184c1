/* cmd_prompt.c: reads, joins, renders and fits the prompt. */
#include "src/cmd_prompt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/cmd_reader.h"

enum { MAX_TEXT = 64 << 20 };

bool prompt_stdin_has_text(const struct args *a)
{
    const char *model = cmd_model(args_text(a, "--model"));
    struct stat st;
    return (model == NULL || strcmp(model, "-") != 0) && fstat(0, &st) == 0 &&
           (S_ISREG(st.st_mode) || S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode));
}

static bool read_all(FILE *in, const char *name, struct buffer *text, struct bitnet_error *err)
{
    char part[65536];
    size_t n;
    while ((n = fread(part, 1, sizeof part, in)) > 0) {
        buffer_add(text, part, n);
        if (text->failed || text->n_bytes > MAX_TEXT)
            return fail(err, BITNET_FAILED, "%s: more than %d MiB of text; --each-line reads any "
                        "length", name, MAX_TEXT >> 20);
        if (cmd_signal() != 0 || feof(in)) /* a terminal would be asked for a second Ctrl-D */
            break;
    }
    if (ferror(in) && cmd_signal() == 0)
        return fail(err, BITNET_FAILED, "%s: %s", name, strerror(errno));
    text->n_bytes -= line_end_bytes(text->data, text->n_bytes);
    return true;
}

bool prompt_read_file(const char *path, struct buffer *text, struct bitnet_error *err)
{
    if (strcmp(path, "-") == 0)
        return read_all(stdin, "standard input", text, err);
    FILE *in = fopen(path, "rb");
    if (in == NULL)
        return fail(err, BITNET_FAILED, "%s: %s", path, strerror(errno));
    bool good = read_all(in, path, text, err);
    fclose(in);
    return good;
}

static bool own_text(const struct args *a, const char *text, const char *name, char **out,
                     struct bitnet_error *err)
{
    *out = NULL;
    if (text == NULL)
        return true;
    *out = strdup(text);
    if (*out == NULL)
        return fail(err, BITNET_FAILED, "out of memory for %s", name);
    if (args_flag(a, "--escape"))
        host_unescape(*out);
    return true;
}

bool prompt_text(const struct args *a, const char *name, char **out, struct bitnet_error *err)
{
    return own_text(a, args_text(a, name), name, out, err);
}

bool prompt_instruction(const struct args *a, char **out, struct bitnet_error *err)
{
    const char *text = args_text(a, "--prompt");
    if (text == NULL && a->n_operands > 0)
        text = a->operands[0];
    return own_text(a, text, "the prompt", out, err);
}

bool prompt_given(const struct prompt *p, struct bitnet_error *err)
{
    return p->instruction != NULL || p->n_text > 0 ||
           fail(err, BITNET_USAGE, "no prompt: give -p TEXT, -f FILE, or pipe text in "
                                   "(bitnet help run)");
}

bool prompt_reserve(const struct host *h, struct prompt *p, int64_t n_predict,
                    struct bitnet_error *err)
{
    size_t quarter = h->n_ctx / 4 < 256 ? h->n_ctx / 4 : 256;
    p->n_reserve = n_predict >= 0 ? (size_t)n_predict : quarter;
    if (p->fit != FIT_ERROR && p->n_reserve >= h->n_ctx)
        return fail(err, BITNET_USAGE, "-n %zu leaves no room for a prompt in a context of %zu%s: "
                    "give a smaller -n%s", p->n_reserve, h->n_ctx,
                    host_can_grow(h) ? "" : ", as many as the model was trained for",
                    host_can_grow(h) ? " or a larger -c" : "");
    return true;
}

bool prompt_options(struct host *h, struct prompt *p, struct bitnet_error *err)
{
    static const char *const fits[] = {"error", "head", "tail", "middle"};
    const char *fit = args_text(h->args, "--fit");
    for (size_t i = 0; i < 4; i++) {
        if (strcmp(fits[i], fit) == 0)
            p->fit = (enum fit)i;
    }
    return prompt_reserve(h, p, args_int(h->args, "--predict"), err);
}

/* The instruction with the text in the place of each {}; without {} the text, an empty
 * line, the instruction. Text has two parts where its middle was cut out. */
static void join(const struct prompt *p, struct buffer *out, const struct buffer *text)
{
    const char *at = p->instruction != NULL ? p->instruction : "{}", *mark = strstr(at, "{}");
    const uint8_t *data = text->data != NULL ? text->data : (const uint8_t *)"";
    if (p->text == NULL) {
        buffer_add(out, at, strlen(at));
        return;
    }
    if (mark == NULL) {
        buffer_add(out, data, text->n_bytes);
        buffer_add(out, "\n\n", 2);
    }
    for (; mark != NULL; mark = strstr(at, "{}")) {
        buffer_add(out, at, (size_t)(mark - at));
        buffer_add(out, data, text->n_bytes);
        at = mark + 2;
    }
    buffer_add(out, at, strlen(at));
}

static void render_text(const struct host *h, const struct prompt *p, const struct buffer *text,
                        struct rendered *r)
{
    /* Without a template the texts stand as they are: the frame of "plain". */
    const struct template *t = h->template != NULL ? h->template : template_find("plain");
    struct buffer message = {0};
    join(p, &message, text);
    const char *bytes = message.n_bytes > 0 ? (const char *)message.data : "";
    r->failed = message.failed;
    if (p->system != NULL)
        template_message(r, t, ROLE_SYSTEM, p->system, p->n_system);
    template_message(r, t, ROLE_USER, bytes, message.n_bytes);
    template_reply(r, t);
    buffer_free(&message);
}

static size_t back_to_character(const char *text, size_t at)
{
    while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80)
        at--;
    return at;
}

/* n_keep bytes of the text, from its head, its tail or both ends. */
static void cut(const struct prompt *p, size_t n_keep, struct buffer *out)
{
    size_t n_head = p->fit == FIT_HEAD ? n_keep : p->fit == FIT_TAIL ? 0 : n_keep / 2;
    size_t n_tail = n_keep - n_head;
    out->n_bytes = 0;
    if (n_keep >= p->n_text) {
        buffer_add(out, p->text, p->n_text);
        return;
    }
    if (n_head > 0)
        buffer_add(out, p->text, back_to_character(p->text, n_head));
    if (p->fit == FIT_MIDDLE)
        buffer_add(out, " ... ", 5);
    if (n_tail > 0) {
        size_t at = p->n_text - n_tail;
        while (at < p->n_text && ((unsigned char)p->text[at] & 0xc0) == 0x80)
            at++;
        buffer_add(out, p->text + at, p->n_text - at);
    }
}

static bool encode_part(const struct host *h, const struct prompt *p, size_t n_keep,
                        struct rendered *r, struct bitnet_ids *ids, struct bitnet_error *err)
{
    struct buffer text = {0};
    if (p->text != NULL)
        cut(p, n_keep, &text);
    rendered_free(r);
    render_text(h, p, &text, r);
    buffer_free(&text);
    return host_encode(h, r, true, ids, err);
}

static bool too_long(const struct host *h, size_t n_ids, size_t n_room, struct bitnet_error *err)
{
    if (n_room == h->n_ctx)
        return fail(err, BITNET_FAILED, "the prompt has %zu tokens, the context holds %zu%s", n_ids,
                    h->n_ctx, host_remedy(h));
    return fail(err, BITNET_FAILED, "the prompt without its text has %zu tokens, with %zu kept for "
                "the answer the context of %zu is too small", n_ids, h->n_ctx - n_room, h->n_ctx);
}

bool prompt_encode(const struct host *h, struct prompt *prompt, struct rendered *r,
                   struct bitnet_ids *ids, struct bitnet_error *err)
{
    struct prompt p = *prompt;
    bool fits = p.fit != FIT_ERROR;
    size_t n_room = fits ? h->n_ctx - p.n_reserve : h->n_ctx;
    if (p.n_text == 0 && p.instruction != NULL && strstr(p.instruction, "{}") == NULL)
        p.text = NULL; /* no blank line in front of the instruction, and that may be cut */
    if (p.text == NULL && fits) { /* the instruction is the text */
        p.text = p.instruction;
        p.n_text = strlen(p.instruction);
        p.instruction = NULL;
    }
    /* No token that matters stands for more than 64 bytes of text, so what lies far
     * beyond the room need not be tokenized to know that it does not fit. */
    size_t n_most = n_room < p.n_text / 64 && fits ? n_room * 64 : p.n_text;
    if (!encode_part(h, &p, n_most, r, ids, err))
        return false;
    if (ids->n_ids <= n_room && n_most == p.n_text)
        return true;
    if (!fits)
        return too_long(h, ids->n_ids, n_room, err);
    size_t low = 0, high = n_most + 1; /* low fits, high does not */
    if (!encode_part(h, &p, 0, r, ids, err))
        return false;
    if (ids->n_ids > n_room)
        return too_long(h, ids->n_ids, n_room, err);
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (!encode_part(h, &p, middle, r, ids, err))
            return false;
        if (ids->n_ids <= n_room)
            low = middle;
        else
            high = middle;
    }
    prompt->was_cut = true;
    return encode_part(h, &p, low, r, ids, err);
}
