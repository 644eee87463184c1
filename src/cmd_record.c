/* cmd_record.c: one record of the input, plain or JSON. */
#include <string.h>

#include "src/cmd_each.h"
#include "src/json.h"

/* The seed of a record: of the option's seed and the record's own bytes, never of its
 * place in the input. 53 bits, so that --seed takes it and JSON holds it. */
static uint64_t record_seed(uint64_t seed, const char *bytes, size_t n_bytes)
{
    uint8_t own[8];
    struct hasher s;
    store_u64(own, seed);
    hasher_init(&s);
    hasher_add(&s, own, sizeof own);
    hasher_add(&s, bytes, n_bytes);
    return hasher_value(&s) & ((1ull << 53) - 1);
}

static bool read_whole(const struct json *v, int64_t min, int64_t max, int64_t *out,
                       struct bitnet_error *err)
{
    if (json_i64(v, out) && *out >= min && *out <= max)
        return true;
    return fail(err, BITNET_BAD, "'%s' must be a whole number from %lld to %lld", v->key,
                (long long)min, (long long)max);
}

static bool read_real(const struct json *v, double max, float *out, struct bitnet_error *err)
{
    double value;
    if (!json_f64(v, &value) || value < 0 || value > max)
        return fail(err, BITNET_BAD, "'%s' must be a number from 0 to %g", v->key, max);
    *out = (float)value;
    return true;
}

/* Keeps a string; its place is an offset until all keys are read. */
static bool keep_text(struct record *r, const struct json *v, size_t *at, size_t *n,
                      struct bitnet_error *err)
{
    if (v->kind != JSON_STRING)
        return fail(err, BITNET_BAD, "'%s' must be a string", v->key);
    *at = r->bytes.n_bytes;
    *n = v->text_bytes;
    buffer_add(&r->bytes, v->text, v->text_bytes);
    buffer_add(&r->bytes, "", 1);
    return true;
}

struct places {
    size_t text, system, stops[16];
    bool has_text, has_system, has_seed, has_stops;
};

static bool keep_stop(struct record *r, struct places *p, const struct json *v,
                      struct bitnet_error *err)
{
    size_t n;
    if (r->rules.n_stops == sizeof r->stops / sizeof *r->stops)
        return fail(err, BITNET_BAD, "'stop' has more than %zu texts", r->rules.n_stops);
    if (v->kind == JSON_STRING && json_text(v) == NULL)
        return fail(err, BITNET_BAD, "'stop' must not have a \\u0000");
    if (json_text(v) == NULL || v->text_bytes == 0)
        return fail(err, BITNET_BAD, "'stop' must be a string or an array of them, none empty");
    return keep_text(r, v, &p->stops[r->rules.n_stops++], &n, err);
}

static bool read_stops(struct record *r, struct places *p, const struct json *v,
                       struct bitnet_error *err)
{
    r->rules.n_stops = 0;
    p->has_stops = true;
    if (v->kind != JSON_ARRAY)
        return keep_stop(r, p, v, err);
    for (const struct json *s = json_first(v); s != NULL; s = json_next(s)) {
        if (!keep_stop(r, p, s, err))
            return false;
    }
    return true;
}

static bool read_id(struct record *r, const struct json *v, struct bitnet_error *err)
{
    if (v->kind == JSON_STRING)
        json_add_string(&r->id, v->text, v->text_bytes);
    else if (v->kind == JSON_NUMBER)
        buffer_add(&r->id, v->text, v->text_bytes);
    else
        return fail(err, BITNET_BAD, "'id' must be a string or a number");
    return true;
}

static bool read_key(struct record *r, struct places *p, const struct json *v,
                     struct bitnet_error *err)
{
    struct bitnet_sampling *s = &r->sampling;
    const char *k = v->key;
    int64_t whole = 0;
    if (strcmp(k, "text") == 0 || strcmp(k, "prompt") == 0) {
        if (p->has_text)
            return fail(err, BITNET_BAD, "both 'text' and 'prompt'");
        p->has_text = true;
        return keep_text(r, v, &p->text, &r->prompt.n_text, err);
    }
    if (strcmp(k, "id") == 0) /* read_object has read it */
        return true;
    if (strcmp(k, "system") == 0) {
        p->has_system = true;
        return keep_text(r, v, &p->system, &r->prompt.n_system, err);
    }
    if (strcmp(k, "n") == 0)
        return read_whole(v, -1, 1048576, &r->n_predict, err);
    if (strcmp(k, "stop") == 0)
        return read_stops(r, p, v, err);
    if (strcmp(k, "seed") == 0) {
        p->has_seed = read_whole(v, 0, (int64_t)1 << 53, &whole, err);
        s->seed = (uint64_t)whole;
        return p->has_seed;
    }
    r->own_sampling = true;
    if (strcmp(k, "temp") == 0)
        return read_real(v, 100, &s->temp, err);
    if (strcmp(k, "top_p") == 0)
        return read_real(v, 1, &s->top_p, err);
    if (strcmp(k, "min_p") == 0)
        return read_real(v, 1, &s->min_p, err);
    if (strcmp(k, "top_k") == 0) {
        bool good = read_whole(v, 0, 1000000, &whole, err);
        s->top_k = (int)whole;
        return good;
    }
    return fail(err, BITNET_BAD, "unknown key '%s'; a record has text, id, system, n, temp, top_k, "
                "top_p, min_p, seed, stop", k);
}

static bool read_object(struct record *r, struct places *p, const struct json *root,
                        struct bitnet_error *err)
{
    if (root->kind != JSON_OBJECT)
        return fail(err, BITNET_BAD, "not a JSON object");
    /* First, wherever it stands, since what is wrong with another key is told with it. */
    const struct json *id = json_get(root, "id");
    if (id != NULL && !read_id(r, id, err))
        return false;
    for (const struct json *v = json_first(root); v != NULL; v = json_next(v)) {
        if (!read_key(r, p, v, err))
            return false;
    }
    return p->has_text || fail(err, BITNET_BAD, "no key 'text'");
}

bool record_read(struct record *r, const struct host *h, const struct prompt *prompt, bool json,
                 const char *bytes, size_t n_bytes, struct bitnet_error *err)
{
    struct places p = {0};
    r->prompt = *prompt;
    r->sampling = h->sampling;
    r->rules = h->rules;
    r->n_predict = args_int(h->args, "--predict");
    r->own_sampling = false;
    r->bytes.n_bytes = r->id.n_bytes = 0;
    if (json) {
        struct json_doc doc = {0};
        bool good = json_parse(&doc, bytes, n_bytes, "JSON", err) &&
                    read_object(r, &p, doc.root, err);
        json_free(&doc);
        if (!good)
            return false;
    } else {
        r->prompt.n_text = n_bytes;
        buffer_add(&r->bytes, bytes, n_bytes);
        buffer_add(&r->bytes, "", 1);
    }
    if (r->bytes.failed || r->id.failed)
        return fail(err, BITNET_FAILED, "out of memory for a record of %zu bytes", n_bytes);
    const char *base = (const char *)r->bytes.data;
    r->prompt.text = base + p.text;
    if (p.has_system)
        r->prompt.system = base + p.system;
    for (size_t i = 0; p.has_stops && i < r->rules.n_stops; i++)
        r->stops[i] = base + p.stops[i];
    if (p.has_stops)
        r->rules.stops = r->stops;
    if (!p.has_seed)
        r->sampling.seed = record_seed(r->sampling.seed, r->prompt.text, r->prompt.n_text);
    return prompt_given(&r->prompt, err) &&
           prompt_reserve(h, &r->prompt, r->n_predict, err);
}

void record_free(struct record *r)
{
    buffer_free(&r->bytes);
    buffer_free(&r->id);
}
