/* cmd_host.c: options -> model, template, sampling, session. */
#include "src/cmd_host.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/cache.h"

static bool has_row(const struct args *a, const char *name)
{
    const struct arg_option *o;
    for (size_t i = 0; (o = args_row(a->command, i, NULL)) != NULL; i++) {
        size_t n;
        const char *s = args_spelling(o, 0, &n);
        if (strlen(name) == n && memcmp(s, name, n) == 0)
            return true;
    }
    return false;
}

size_t host_unescape(char *text)
{
    char *to = text;
    for (const char *p = text; *p != '\0'; p++) {
        static const char from[] = "ntr\\", into[] = "\n\t\r\\";
        const char *at = *p == '\\' && p[1] != '\0' ? strchr(from, p[1]) : NULL;
        *to++ = at != NULL ? into[at - from] : *p;
        p += at != NULL;
    }
    *to = '\0';
    return (size_t)(to - text);
}

static bool read_template(struct host *h, struct bitnet_error *err)
{
    const char *name = args_text(h->args, "--template");
    const char *own = bitnet_model_meta(h->model, "chat.template");
    if (has_row(h->args, "--raw") && args_flag(h->args, "--raw"))
        return true;
    if (name == NULL && own == NULL)
        return true;
    h->template = template_find(name != NULL ? name : own);
    if (h->template != NULL)
        return true;
    if (name == NULL)
        return fail(err, BITNET_BAD, "%s: its chat template '%s' is unknown; choose one with "
                    "--template, or --raw", h->model_name, own);
    char names[128] = "";
    size_t n = 0;
    for (size_t i = 0; template_at(i) != NULL && n < sizeof names; i++)
        n += (size_t)snprintf(names + n, sizeof names - n, " %s", template_at(i)->name);
    return fail(err, BITNET_USAGE, "--template %s: must be one of%s", name, names);
}

/* A mark that the vocabulary knows as a control token, or -1. */
static int32_t control_token(const struct host *h, const char *text, size_t n_bytes)
{
    int32_t id = bitnet_token_find(h->tokenizer, text, n_bytes);
    return id >= 0 && !bitnet_token_is_text(h->tokenizer, id) ? id : -1;
}

/* A template of another family runs, but not silently: its marks are then letters to the
 * model. */
static void check_marks(const struct host *h)
{
    struct rendered r = {0};
    size_t start = 0;
    if (h->template == NULL)
        return;
    for (int role = 0; role < N_ROLES; role++)
        template_message(&r, h->template, (enum role)role, "", 0);
    for (size_t i = 0; i < r.n_pieces; i++) {
        const char *mark = (const char *)r.text.data + start;
        int n = (int)(r.pieces[i].end - start);
        start = r.pieces[i].end;
        if (r.pieces[i].is_mark && control_token(h, mark, (size_t)n) < 0) {
            cmd_note(h->args, "template %s: the model has no token '%.*s': it reads it as letters",
                     h->template->name, n, mark);
            break;
        }
    }
    rendered_free(&r);
}

/* 15043+1.5, 15043-2, 15043-inf */
static bool parse_bias(const struct host *h, const char *text, struct bitnet_bias *out,
                       struct bitnet_error *err)
{
    char id[16];
    size_t n = strspn(text, "0123456789");
    int64_t token;
    double value;
    const char *sign = text + n;
    if (n > 0 && n < sizeof id && (*sign == '+' || *sign == '-')) {
        memcpy(id, text, n);
        id[n] = '\0';
        bool is_inf = strcmp(sign + 1, "inf") == 0;
        if (parse_i64(id, 0, (int64_t)h->n_vocab - 1, &token) &&
            (is_inf || parse_f64(sign + 1, 0, 1e6, &value))) {
            value = is_inf ? INFINITY : value;
            *out = (struct bitnet_bias){(int32_t)token,
                                        (float)(*sign == '-' ? -value : value)};
            if (out->bias < INFINITY)
                return true;
        }
    }
    return fail(err, BITNET_USAGE, "--logit-bias %s: must be a token id of 0..%zu, a sign and a "
                "number, such as 12+1.5 or 12-inf", text, h->n_vocab - 1);
}

static bool read_sampling(struct host *h, struct bitnet_error *err)
{
    const struct args *a = h->args;
    struct bitnet_sampling *s = &h->sampling;
    size_t n = 0;
    *s = bitnet_sampling_defaults();
    s->temp = (float)args_real(a, "--temp");
    s->top_k = (int)args_int(a, "--top-k");
    s->top_p = (float)args_real(a, "--top-p");
    s->min_p = (float)args_real(a, "--min-p");
    s->repeat_penalty = (float)args_real(a, "--repeat-penalty");
    s->presence_penalty = (float)args_real(a, "--presence-penalty");
    s->frequency_penalty = (float)args_real(a, "--frequency-penalty");
    s->repeat_last_n = (size_t)args_int(a, "--repeat-last-n");
    s->seed = (uint64_t)args_int(a, "--seed");
    s->ignore_eos = args_flag(a, "--ignore-eos");
    while (args_nth(a, "--logit-bias", n) != NULL)
        n++;
    h->bias = calloc(n + 1, sizeof *h->bias);
    if (h->bias == NULL)
        return fail(err, BITNET_FAILED, "out of memory for %zu biases", n);
    for (size_t i = 0; i < n; i++) {
        if (!parse_bias(h, args_nth(a, "--logit-bias", i), &h->bias[i], err))
            return false;
    }
    s->bias = h->bias;
    s->n_bias = n;
    return true;
}

static bool read_rules(struct host *h, struct bitnet_error *err)
{
    const struct args *a = h->args;
    size_t n = 0;
    while (args_nth(a, "--stop", n) != NULL)
        n++;
    h->stops = calloc(n + 1, sizeof *h->stops);
    if (h->stops == NULL)
        return fail(err, BITNET_FAILED, "out of memory for %zu stop texts", n);
    for (size_t i = 0; i < n; i++) {
        const char *text = args_nth(a, "--stop", i);
        if (text[0] == '\0')
            return fail(err, BITNET_USAGE, "--stop: the text is empty");
        h->stops[i] = strdup(text);
        if (h->stops[i] == NULL)
            return fail(err, BITNET_FAILED, "out of memory for %zu stop texts", n);
        if (args_flag(a, "--escape"))
            host_unescape(h->stops[i]);
    }
    h->rules.stops = (const char *const *)h->stops;
    h->rules.n_stops = n;
    if (has_row(a, "--until")) {
        const char *until = args_text(a, "--until");
        h->rules.until = until == NULL ? UNTIL_END : until[0] == 'n' ? UNTIL_NEWLINE
                                                                     : UNTIL_SENTENCE;
        h->rules.max_bytes = (uint64_t)args_int(a, "--max-bytes");
    }
    return true;
}

bool host_open(struct host *h, const struct args *a, size_t n_ctx_most, struct bitnet_error *err)
{
    enum { ENGINE_MOST = 4096 };
    const char *path = cmd_model(args_text(a, "--model"));
    *h = (struct host){.args = a, .max_batch = 128};
    h->model_name = path != NULL ? path : "built-in model";
    struct cached file; /* --quiet of grep is another thing, and silent all the same */
    if (!cache_open(&file, path, args_flag(a, "--no-cache"), args_flag(a, "--quiet"), err))
        return false;
    bool opened = bitnet_model_open(&h->model, file.path, err);
    cache_close(&file);
    if (!opened)
        return false;
    h->tokenizer = bitnet_model_tokenizer(h->model);
    h->n_vocab = bitnet_model_shape(h->model)->n_vocab;
    h->n_ctx = bitnet_model_shape(h->model)->n_ctx_train;
    if (h->n_ctx > (n_ctx_most > 0 ? n_ctx_most : ENGINE_MOST))
        h->n_ctx = n_ctx_most > 0 ? n_ctx_most : ENGINE_MOST;
    if (args_given(a, "--ctx-size"))
        h->n_ctx = (size_t)args_int(a, "--ctx-size");
    if (has_row(a, "--template") && !read_template(h, err))
        return false;
    check_marks(h);
    if (has_row(a, "--temp") && (!read_sampling(h, err) || !read_rules(h, err)))
        return false;
    return true;
}

struct bitnet_session_options host_session_options(const struct host *h, size_t n_seqs,
                                                   size_t max_logits)
{
    static const struct {
        const char *name;
        enum bitnet_act act;
    } acts[] = {{"model", BITNET_ACT_MODEL},   {"i8", BITNET_ACT_I8},   {"i8g32", BITNET_ACT_I8_G32},
                {"i8g128", BITNET_ACT_I8_G128}, {"f32", BITNET_ACT_F32}, {"i4", BITNET_ACT_I4},
                {"sign", BITNET_ACT_SIGN}};
    const char *act = args_text(h->args, "--act");
    struct bitnet_session_options o = {.n_ctx = h->n_ctx, .n_seqs = n_seqs,
                                       .max_batch = h->max_batch, .max_logits = max_logits};
    o.kv = strcmp(args_text(h->args, "--kv"), "i8") == 0 ? BITNET_KV_I8 : BITNET_KV_F16;
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        if (strcmp(acts[i].name, act) == 0)
            o.act = acts[i].act;
    }
    return o;
}

bool host_start(struct host *h, size_t n_seqs, size_t max_logits, struct bitnet_error *err)
{
    struct bitnet_session_options o = host_session_options(h, n_seqs, max_logits);
    if (!bitnet_engine_open(&h->engine, args_text(h->args, "--tier"),
                            (int)args_int(h->args, "--threads"), err) ||
        !bitnet_session_open(&h->session, h->engine, h->model, &o, err))
        return false;
    if (bitnet_engine_note(h->engine)[0] != '\0')
        cmd_note(h->args, "%s", bitnet_engine_note(h->engine));
    if (args_flag(h->args, "--verbose"))
        cmd_note(h->args, "%s: %s, %s, %d threads, context %zu, session %.1f MB", h->model_name,
                 bitnet_model_shape(h->model)->arch, bitnet_engine_tier(h->engine),
                 bitnet_engine_threads(h->engine), h->n_ctx,
                 (double)bitnet_session_bytes(h->model, &o) / 1e6);
    return true;
}

bool host_eval(struct host *h, const struct bitnet_input *in, size_t n_in, struct bitnet_error *err)
{
    return bitnet_eval(h->session, in, n_in, err) &&
           (cmd_signal() == 0 || fail(err, 128 + cmd_signal(), "interrupted"));
}

void host_close(struct host *h)
{
    if (h->session != NULL)
        bitnet_session_close(h->session);
    if (h->engine != NULL)
        bitnet_engine_close(h->engine);
    if (h->model != NULL)
        bitnet_model_close(h->model);
    for (size_t i = 0; h->stops != NULL && h->stops[i] != NULL; i++)
        free(h->stops[i]);
    free(h->stops);
    free(h->bias);
    *h = (struct host){0};
}

bool host_can_grow(const struct host *h)
{
    const char *scaling = bitnet_model_meta(h->model, "rope.scaling");
    return h->n_ctx < bitnet_model_shape(h->model)->n_ctx_train ||
           (scaling != NULL && strcmp(scaling, "none") != 0);
}

/* Not "-c": grep counts with it. */
const char *host_remedy(const struct host *h)
{
    bool cuts = has_row(h->args, "--fit");
    if (host_can_grow(h))
        return cuts ? "; --ctx-size makes it larger, --fit head|tail|middle cuts the text"
                    : "; --ctx-size makes it larger";
    return cuts ? ", as many as the model was trained for; --fit head|tail|middle cuts the text"
                : ", as many as the model was trained for: shorten the text";
}

/* Marks that this vocabulary lacks are text like any other: they join their neighbours,
 * since a token may reach across the border between two texts. */
bool host_encode(const struct host *h, const struct rendered *r, bool begin,
                 struct bitnet_ids *ids, struct bitnet_error *err)
{
    const char *text = r->text.n_bytes > 0 ? (const char *)r->text.data : "";
    size_t from = 0, start = 0;
    if (r->failed)
        return fail(err, BITNET_FAILED, "out of memory for the prompt");
    ids->n_ids = 0;
    if (begin && !bitnet_encode(h->tokenizer, "", 0, BITNET_BOS, ids, err))
        return false;
    for (size_t i = 0; i < r->n_pieces; i++) {
        const struct piece *p = &r->pieces[i];
        int32_t id = p->is_mark ? control_token(h, text + start, p->end - start) : -1;
        if (id >= 0) {
            if (start > from && !bitnet_encode(h->tokenizer, text + from, start - from, 0, ids, err))
                return false;
            if (!bitnet_encode(h->tokenizer, text + start, p->end - start, BITNET_SPECIAL, ids, err))
                return false;
            from = p->end;
        }
        start = p->end;
    }
    return start == from || bitnet_encode(h->tokenizer, text + from, start - from, 0, ids, err);
}
