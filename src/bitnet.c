/* bitnet.c: the public interface (include/bitnet.h) on top of the engine's modules. Everything that
 * can fail fails here or below, before the first token; forward_run cannot. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/forward.h"
#include "src/map.h"
#include "src/sampler.h"
#include "src/scan.h"
#include "src/tokenizer.h"

struct bitnet_engine {
    struct kernels kernels;
    struct pool *pool;
    char note[256];
};

struct bitnet_model {
    struct map map;
    struct bnp file;
    struct model model;
    struct bitnet_tokenizer *tokenizer;
    char *path;
};

struct bitnet_session {
    bitnet_engine *engine;
    const bitnet_model *model;
    struct bitnet_session_options options;
    struct arena arena;
    struct forward forward;
    size_t n_logits;
};

const char *bitnet_version(void)
{
    return "0.1.0";
}

/* --- engine --- */

bool bitnet_engine_open(bitnet_engine **out, const char *tier, int n_threads,
                        struct bitnet_error *err)
{
    bitnet_engine *e = calloc(1, sizeof *e);
    char why[256] = "";
    if (!e)
        return fail(err, BITNET_FAILED, "engine: out of memory");
    if (!kernels_select(&e->kernels, tier, why, e->note)) {
        free(e);
        return fail(err, BITNET_USAGE, "--tier %s: %s", tier ? tier : "(default)", why);
    }
    if (!pool_open(&e->pool, n_threads == 0 ? pool_usable_cores() : n_threads, err)) {
        free(e);
        return false;
    }
    *out = e;
    return true;
}

void bitnet_engine_close(bitnet_engine *e)
{
    if (!e)
        return;
    pool_close(e->pool);
    free(e);
}

const char *bitnet_engine_tier(const bitnet_engine *e)
{
    return e->kernels.tier;
}

const char *bitnet_engine_note(const bitnet_engine *e)
{
    return e->note;
}

int bitnet_engine_threads(const bitnet_engine *e)
{
    return pool_threads(e->pool);
}

const char *bitnet_tier(size_t i, bool *usable)
{
    return kernels_tier(i, usable);
}

/* --- model --- */

/* Two halves of one file that must speak of the same ids. */
static bool check_vocabulary(const bitnet_model *m, struct bitnet_error *err)
{
    size_t n_tokens = bitnet_n_tokens(m->tokenizer), n_rows = m->model.shape.n_vocab;
    if (n_tokens > n_rows)
        return fail(err, BITNET_BAD,
                    "%s: the tokenizer has %zu tokens, the embedding %zu rows; convert the model "
                    "again from its source", m->path, n_tokens, n_rows);
    return true;
}

static bool open_parts(bitnet_model *m, const char *path, struct bitnet_error *err)
{
    if (path ? !map_open(&m->map, path, err) : !map_embedded(&m->map))
        return fail(err, BITNET_FAILED, "this binary carries no model; name one with -m");
    return bnp_open(&m->file, m->map.bytes, m->map.n_bytes, m->path, err) &&
           model_open(&m->model, &m->file, err) &&
           tokenizer_open(&m->tokenizer, m->file.tokenizer, m->file.tokenizer_bytes, m->path,
                          err) &&
           check_vocabulary(m, err);
}

bool bitnet_model_open(bitnet_model **out, const char *path, struct bitnet_error *err)
{
    const char *name = path ? path : "built-in model";
    bitnet_model *m = calloc(1, sizeof *m);
    if (!m || !(m->path = malloc(strlen(name) + 1))) {
        free(m);
        return fail(err, BITNET_FAILED, "%s: out of memory", name);
    }
    memcpy(m->path, name, strlen(name) + 1);
    if (!open_parts(m, path, err)) {
        bitnet_model_close(m);
        return false;
    }
    *out = m;
    return true;
}

void bitnet_model_close(bitnet_model *m)
{
    if (!m)
        return;
    tokenizer_close(m->tokenizer);
    model_close(&m->model);
    bnp_close(&m->file);
    map_close(&m->map);
    free(m->path);
    free(m);
}

const bitnet_tokenizer *bitnet_model_tokenizer(const bitnet_model *m)
{
    return m->tokenizer;
}

const struct bitnet_shape *bitnet_model_shape(const bitnet_model *m)
{
    return &m->model.shape;
}

const char *bitnet_model_meta(const bitnet_model *m, const char *key)
{
    return bnp_text(&m->file, key);
}

/* --- session --- */

static struct bitnet_session_options without_zeros(const bitnet_model *m,
                                                   const struct bitnet_session_options *o)
{
    struct bitnet_session_options r = *o;
    size_t n_train = m->model.shape.n_ctx_train;
    if (r.n_ctx == 0)
        r.n_ctx = n_train < 4096 ? n_train : 4096;
    if (r.n_seqs == 0)
        r.n_seqs = 1;
    if (r.max_batch == 0)
        r.max_batch = 128;
    if (r.max_logits == 0)
        r.max_logits = r.n_seqs;
    if (r.act == BITNET_ACT_MODEL)
        r.act = m->model.act;
    return r;
}

size_t bitnet_session_bytes(const bitnet_model *m, const struct bitnet_session_options *o)
{
    struct bitnet_session_options r = without_zeros(m, o);
    struct arena count = {0};
    struct forward f;
    forward_lay_out(&f, &count, &m->model, (size_t)pool_usable_cores(), &r);
    return count.overflow ? SIZE_MAX : count.n_used;
}

static bool check_options(const bitnet_model *m, const struct bitnet_session_options *o,
                          struct bitnet_error *err)
{
    enum { MAX_CTX = 1 << 20, MAX_SEQS = 4096, MAX_BATCH = 65536 };
    const struct {
        const char *name;
        size_t value, least, most;
    } limits[] = {
        {"n_seqs", o->n_seqs, 1, MAX_SEQS},
        {"max_batch", o->max_batch, 1, MAX_BATCH},
        {"max_logits", o->max_logits, 1, MAX_BATCH},
        {"kv", (size_t)o->kv, BITNET_KV_F16, BITNET_KV_I8},
        {"act", (size_t)o->act, BITNET_ACT_I8, BITNET_ACT_SIGN},
    };
    if (o->n_ctx > MAX_CTX)
        return fail(err, BITNET_USAGE, "-c %zu: the context must be 1..%d tokens", o->n_ctx,
                    MAX_CTX);
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        if (limits[i].value < limits[i].least || limits[i].value > limits[i].most)
            return fail(err, BITNET_USAGE, "session: %s is %zu, must be %zu..%zu", limits[i].name,
                        limits[i].value, limits[i].least, limits[i].most);
    }
    if (o->n_ctx > m->model.shape.n_ctx_train && m->model.rope.scaling == ROPE_NONE)
        return fail(err, BITNET_USAGE, "-c %zu: the model was trained for %zu tokens", o->n_ctx,
                    m->model.shape.n_ctx_train);
    return true;
}

static void connect_forward(bitnet_session *s)
{
    struct forward *f = &s->forward;
    const struct model *m = &s->model->model;
    f->kernels = &s->engine->kernels;
    f->pool = s->engine->pool;
    f->projector.kernels = f->kernels;
    f->projector.pool = f->pool;
    f->attention.kernels = f->kernels;
    f->attention.pool = f->pool;
    rope_fill(&f->rope, &m->rope);
}

bool bitnet_session_open(bitnet_session **out, bitnet_engine *e, const bitnet_model *m,
                         const struct bitnet_session_options *o, struct bitnet_error *err)
{
    struct bitnet_session_options r = without_zeros(m, o);
    size_t n_threads = (size_t)pool_threads(e->pool);
    if (!check_options(m, &r, err) || !project_check(&m->model, &e->kernels, r.act, err))
        return false;
    bitnet_session *s = calloc(1, sizeof *s);
    if (!s)
        return fail(err, BITNET_FAILED, "session: out of memory");
    s->engine = e;
    s->model = m;
    s->options = r;
    forward_lay_out(&s->forward, &s->arena, &m->model, n_threads, &r);
    if (!arena_open(&s->arena, err)) {
        free(s);
        return false;
    }
    forward_lay_out(&s->forward, &s->arena, &m->model, n_threads, &r);
    connect_forward(s);
    *out = s;
    return true;
}

void bitnet_session_close(bitnet_session *s)
{
    if (!s)
        return;
    arena_close(&s->arena);
    free(s);
}

const struct bitnet_session_options *bitnet_session_opts(const bitnet_session *s)
{
    return &s->options;
}

static bool check_input(const bitnet_session *s, const struct bitnet_input *in, size_t n_in,
                        struct bitnet_error *err)
{
    const struct bitnet_session_options *o = &s->options;
    size_t n_wanted = 0;
    if (n_in > o->max_batch)
        return fail(err, BITNET_USAGE, "eval: %zu tokens, the batch takes %zu", n_in,
                    o->max_batch);
    for (size_t i = 0; i < n_in; i++) {
        if (in[i].token < 0 || (size_t)in[i].token >= s->model->model.shape.n_vocab)
            return fail(err, BITNET_USAGE, "token %d at position %zu: ids go from 0 to %zu",
                        (int)in[i].token, i, s->model->model.shape.n_vocab - 1);
        if (in[i].seq >= o->n_seqs)
            return fail(err, BITNET_USAGE, "eval: sequence %u of %zu", in[i].seq, o->n_seqs);
        n_wanted += in[i].want_logits;
    }
    if (n_wanted > o->max_logits)
        return fail(err, BITNET_USAGE, "eval: %zu rows of logits wanted, there is room for %zu",
                    n_wanted, o->max_logits);
    return true;
}

/* Would any sequence pass the context? Counts by trial, then takes the trial back. */
static bool check_room(bitnet_session *s, const struct bitnet_input *in, size_t n_in,
                       struct bitnet_error *err)
{
    size_t *n_tokens = s->forward.kv.n_tokens, i = 0;
    while (i < n_in && n_tokens[in[i].seq] < s->options.n_ctx)
        n_tokens[in[i++].seq]++;
    for (size_t j = i; j-- > 0;)
        n_tokens[in[j].seq]--;
    return i == n_in || fail(err, BITNET_CUT, "the context of %zu tokens is full; -c makes it "
                                              "larger", s->options.n_ctx);
}

static bool check_finite(const bitnet_session *s, struct bitnet_error *err)
{
    const struct head *h = &s->forward.head;
    const size_t n = s->model->model.shape.n_vocab;
    for (size_t i = 0; i < s->n_logits; i++) {
        const size_t id = scan_odd(h->logits + i * h->stride, n, h->searched);
        if (id < n)
            return fail(err, BITNET_BAD,
                        "%s: the logit of token %zu is not a finite number; the file is damaged "
                        "or of a kind that this engine misreads (try bitnet verify)",
                        s->model->path, id);
    }
    return true;
}

bool bitnet_eval_for(bitnet_session *s, const struct bitnet_input *in, size_t n_in,
                     bitnet_sampler *const *samplers, struct bitnet_error *err)
{
    struct head_wish *wishes = s->forward.head.wishes;
    s->n_logits = 0;
    if (!check_input(s, in, n_in, err) || !check_room(s, in, n_in, err))
        return false;
    for (size_t i = 0; i < n_in; i++)
        s->n_logits += in[i].want_logits;
    for (size_t i = 0; i < s->n_logits; i++) {
        wishes[i] = (struct head_wish){0};
        if (samplers && samplers[i])
            wishes[i].n_best = sampler_needs(samplers[i], &wishes[i].banned, &wishes[i].exact);
    }
    forward_run(&s->forward, in, n_in);
    return check_finite(s, err);
}

bool bitnet_eval(bitnet_session *s, const struct bitnet_input *in, size_t n_in,
                 struct bitnet_error *err)
{
    return bitnet_eval_for(s, in, n_in, NULL, err);
}

float *bitnet_logits(bitnet_session *s, size_t i)
{
    return s->forward.head.logits + i * s->forward.head.stride;
}

const float *bitnet_hidden(const bitnet_session *s, size_t i)
{
    return s->forward.hidden + i * s->forward.embd_stride;
}

size_t bitnet_seq_length(const bitnet_session *s, uint32_t seq)
{
    return s->forward.kv.n_tokens[seq];
}

void bitnet_seq_cut(bitnet_session *s, uint32_t seq, size_t n_keep)
{
    size_t *n = &s->forward.kv.n_tokens[seq];
    *n = n_keep < *n ? n_keep : *n;
}

void bitnet_seq_copy(bitnet_session *s, uint32_t to, uint32_t from, size_t n_keep)
{
    size_t n = bitnet_seq_length(s, from);
    n = n_keep < n ? n_keep : n;
    kv_copy(&s->forward.kv, to, from, n);
    s->forward.kv.n_tokens[to] = n;
}

bool bitnet_sampler_open(bitnet_sampler **out, const bitnet_model *m,
                         const struct bitnet_sampling *p, struct bitnet_error *err)
{
    return sampler_open(out, m->tokenizer, m->model.shape.n_vocab, p, err);
}
