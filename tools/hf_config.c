/* hf_config.c: see hf_config.h. What would change the computation and is not known is refused. */
#include "tools/hf_config.h"

#include <stdio.h>
#include <string.h>

#include "src/json.h"

struct reader {
    const struct json *root;
    const char *path;
    struct net *net;
    struct bitnet_error *err;
};

static const struct family {
    const char *class_name, *arch;
    bool bitnet;
} FAMILIES[] = {
    {"BitNetForCausalLM", "bitnet-b1.58", true},
    {"BitnetForCausalLM", "bitnet-b1.58", true},
    {"LlamaForCausalLM", "llama", false},
    {"BitLlamaForCausalLM", "llama", false}, /* OneBit: masters, and packed for inference */
    {"BitLlamaForCausalLMInf", "llama", false},
    {"Qwen3ForCausalLM", "qwen3", false},
    {"Qwen3Model", "qwen3", false},
};

/* Keys that change the computation, unless null, false or this number. */
static const struct {
    const char *key;
    double neutral;
} UNSUPPORTED_KEYS[] = {
    {"attention_bias", 0},          {"mlp_bias", 0},      {"final_logit_softcapping", 0},
    {"attn_logit_softcapping", 0},  {"logit_scale", 1},   {"logits_scaling", 1},
    {"embedding_multiplier", 1},    {"residual_multiplier", 1},
    {"attention_multiplier", 0},
};

/* For messages. */
static const char *kind_of(const struct json *v)
{
    static const char *const kinds[] = {"null",   "true or false", "a number",
                                        "a text", "an array",      "an object"};
    return v ? kinds[v->kind] : "missing";
}

static const char *shown(const struct json *v)
{
    if (!json_absent(v) && v->kind == JSON_BOOL)
        return v->truth ? "true" : "false";
    return !json_absent(v) && v->text && v->text_bytes < 40 ? v->text : kind_of(v);
}

/* A member of the wanted kind, or none. */
static bool member(struct reader *r, const struct json *in, const char *key, enum json_kind kind,
                   const char *wanted, const struct json **out)
{
    const struct json *v = json_get(in, key);
    *out = json_absent(v) ? NULL : v;
    return !*out || v->kind == kind ||
           fail(r->err, BITNET_BAD, "%s: '%s' is %s, wanted %s", r->path, key, kind_of(v), wanted);
}

static bool count(struct reader *r, const char *key, bool needed, uint64_t *out)
{
    const struct json *v = json_get(r->root, key);
    int64_t i;
    if (json_absent(v) && !needed)
        return true;
    if (!json_i64(v, &i) || i < 1)
        return fail(r->err, BITNET_BAD, "%s: '%s' is %s, wanted a positive integer", r->path, key,
                    shown(v));
    *out = (uint64_t)i;
    return true;
}

static bool real(struct reader *r, const struct json *in, const char *key, double *out)
{
    const struct json *v = json_get(in, key);
    if (json_absent(v))
        return true;
    return json_f64(v, out) ||
           fail(r->err, BITNET_BAD, "%s: '%s' is %s, wanted a number", r->path, key, shown(v));
}

static bool read_family(struct reader *r, struct hf_config *c)
{
    const struct json *names = json_array(r->root, "architectures");
    const char *name = json_text(json_first(names));
    for (size_t i = 0; name && i < sizeof FAMILIES / sizeof *FAMILIES; i++) {
        if (strcmp(FAMILIES[i].class_name, name) == 0) {
            r->net->arch = FAMILIES[i].arch;
            r->net->pool_last = strcmp(name, "Qwen3Model") == 0;
            c->bitnet = FAMILIES[i].bitnet;
            return true;
        }
    }
    return fail(r->err, BITNET_BAD, "%s: model class is %.60s, wanted BitNetForCausalLM, "
                "LlamaForCausalLM, BitLlamaForCausalLM(Inf), Qwen3ForCausalLM or Qwen3Model",
                r->path, name ? name : "missing");
}

static bool read_shape(struct reader *r)
{
    struct net *n = r->net;
    if (!count(r, "hidden_size", true, &n->n_embd) ||
        !count(r, "intermediate_size", true, &n->n_ff) ||
        !count(r, "num_hidden_layers", true, &n->n_layers) ||
        !count(r, "num_attention_heads", true, &n->n_heads) ||
        !count(r, "vocab_size", true, &n->n_vocab) ||
        !count(r, "max_position_embeddings", true, &n->n_ctx))
        return false;
    n->n_kv_heads = n->n_heads;
    n->head_dim = n->n_embd / n->n_heads;
    return count(r, "num_key_value_heads", false, &n->n_kv_heads) &&
           count(r, "head_dim", false, &n->head_dim);
}

static bool read_numbers(struct reader *r)
{
    struct net *n = r->net;
    if (json_absent(json_get(r->root, "rms_norm_eps")))
        return fail(r->err, BITNET_BAD, "%s: 'rms_norm_eps' is missing", r->path);
    const struct json *act = json_get(r->root, "hidden_act");
    if (!json_is(act, "relu2") && !json_is(act, "silu"))
        return fail(r->err, BITNET_BAD, "%s: 'hidden_act' is %s, wanted relu2 or silu", r->path,
                    shown(act));
    n->ffn_act = json_is(act, "relu2") ? "relu2" : "silu";
    double partial = 1;
    if (!real(r, r->root, "rms_norm_eps", &n->norm_eps) ||
        !real(r, r->root, "partial_rotary_factor", &partial))
        return false;
    if (partial != 1)
        return fail(r->err, BITNET_BAD, "%s: 'partial_rotary_factor' is %g, only 1 is known",
                    r->path, partial);
    return true;
}

/* Attention over all that came before is the only kind. */
static bool read_windows(struct reader *r)
{
    const struct json *use, *types;
    if (!member(r, r->root, "use_sliding_window", JSON_BOOL, "true or false", &use) ||
        !member(r, r->root, "layer_types", JSON_ARRAY, "an array", &types))
        return false;
    if (json_true(use) && !json_absent(json_get(r->root, "sliding_window")))
        return fail(r->err, BITNET_BAD, "%s: 'use_sliding_window': attention over a window is not "
                    "supported", r->path);
    for (const struct json *v = json_first(types); v; v = json_next(v))
        if (!json_is(v, "full_attention"))
            return fail(r->err, BITNET_BAD, "%s: 'layer_types' has %s, only full_attention is "
                        "known", r->path, shown(v));
    return true;
}

static bool read_unsupported(struct reader *r)
{
    for (size_t i = 0; i < sizeof UNSUPPORTED_KEYS / sizeof *UNSUPPORTED_KEYS; i++) {
        const struct json *v = json_get(r->root, UNSUPPORTED_KEYS[i].key);
        double number;
        bool none = json_absent(v) || (v->kind == JSON_BOOL && !v->truth) ||
                    (json_f64(v, &number) && number == UNSUPPORTED_KEYS[i].neutral);
        if (!none)
            return fail(r->err, BITNET_BAD, "%s: '%s' is %s, which is not supported", r->path,
                        UNSUPPORTED_KEYS[i].key, shown(v));
    }
    return true;
}

/* "rope_theta" with "rope_scaling", or both in "rope_parameters" as newer files have it. */
static bool read_rope(struct reader *r)
{
    struct net *n = r->net;
    const struct json *p, *scaling;
    if (!member(r, r->root, "rope_parameters", JSON_OBJECT, "an object", &p) ||
        !member(r, r->root, "rope_scaling", JSON_OBJECT, "an object", &scaling))
        return false;
    scaling = p ? p : scaling;
    n->rope_base = 10000;
    n->rope_factor = n->rope_attn_factor = 1;
    n->beta_fast = 32, n->beta_slow = 1;
    n->rope_pairing = "half";
    n->rope_scaling = "none";
    if (!real(r, p ? p : r->root, "rope_theta", &n->rope_base))
        return false;
    if (!scaling)
        return true;
    const char *type = json_text(json_get(scaling, "rope_type"));
    if (!type)
        type = json_text(json_get(scaling, "type"));
    if (!type && !json_absent(json_get(scaling, "factor")))
        return fail(r->err, BITNET_BAD, "%s: rope scaling has a 'factor' and no 'rope_type'",
                    r->path);
    if (!type || strcmp(type, "default") == 0)
        return true;
    bool yarn = strcmp(type, "yarn") == 0;
    if (!yarn && strcmp(type, "linear") != 0)
        return fail(r->err, BITNET_BAD, "%s: rope scaling '%.40s' is not supported, wanted linear "
                    "or yarn", r->path, type);
    n->rope_scaling = yarn ? "yarn" : "linear";
    double original = 0, attn = 0;
    if (!real(r, scaling, "factor", &n->rope_factor) ||
        !real(r, scaling, "beta_fast", &n->beta_fast) ||
        !real(r, scaling, "beta_slow", &n->beta_slow) ||
        !real(r, scaling, "attention_factor", &attn) ||
        !real(r, scaling, "original_max_position_embeddings", &original))
        return false;
    if (attn != 0 || !json_absent(json_get(scaling, "mscale")))
        return fail(r->err, BITNET_BAD, "%s: rope scaling with its own attention factor is not "
                    "supported", r->path);
    if (original >= 1 && original <= 1 << 20)
        n->n_ctx_orig = (uint64_t)original;
    return true;
}

/* Weights that stay as they are would be quantized here. The head and the embedding are not. */
static bool read_kept(struct reader *r, const struct json *q)
{
    const struct json *kept;
    if (!member(r, q, "modules_to_not_convert", JSON_ARRAY, "an array", &kept))
        return false;
    for (const struct json *v = json_first(kept); v; v = json_next(v))
        if (!json_is(v, "lm_head") && !json_is(v, "embed_tokens") &&
            !json_is(v, "model.embed_tokens"))
            return fail(r->err, BITNET_BAD, "%s: 'modules_to_not_convert' has %s, only lm_head and "
                        "embed_tokens can stay", r->path, shown(v));
    return true;
}

static bool read_quantization(struct reader *r, struct hf_config *c)
{
    const struct json *q;
    int64_t bits;
    c->scale_divides = true;
    if (!member(r, r->root, "quantization_config", JSON_OBJECT, "an object", &q))
        return false;
    if (json_i64(json_get(r->root, "weight_bits"), &bits) && bits == 1)
        c->bitnet = true; /* as the first b1.58 checkpoints say it */
    if (!q)
        return true;
    const char *method = json_text(json_get(q, "quant_method"));
    const char *linear = json_text(json_get(q, "linear_class"));
    if (!method || strcmp(method, "bitnet") != 0)
        return fail(r->err, BITNET_BAD, "%s: 'quant_method' is %.40s, wanted bitnet", r->path,
                    method ? method : "missing");
    if (linear && strcmp(linear, "bitlinear") != 0 && strcmp(linear, "autobitlinear") != 0)
        return fail(r->err, BITNET_BAD, "%s: 'linear_class' is %.40s, wanted bitlinear or "
                    "autobitlinear", r->path, linear);
    c->bitnet = true;
    c->scale_divides = !linear || strcmp(linear, "bitlinear") == 0;
    return read_kept(r, q);
}

static bool read_tied(struct reader *r, struct hf_config *c)
{
    const struct json *tie;
    if (!member(r, r->root, "tie_word_embeddings", JSON_BOOL, "true or false", &tie))
        return false;
    c->tied = json_true(tie);
    c->untied = tie && !tie->truth;
    return true;
}

bool hf_config_read(struct source *s, const char *path, struct hf_config *c,
                    struct bitnet_error *err)
{
    struct json_doc doc = {0};
    *c = (struct hf_config){0};
    if (!json_read(&doc, path, err))
        return false;
    struct reader r = {doc.root, path, &s->net, err};
    bool ok = doc.root->kind == JSON_OBJECT || fail(err, BITNET_BAD, "%s: no JSON object", path);
    ok = ok && read_family(&r, c) && read_shape(&r) && read_numbers(&r) && read_windows(&r) &&
         read_unsupported(&r) && read_rope(&r) && read_quantization(&r, c) && read_tied(&r, c);
    json_free(&doc);
    return ok && source_check_net(s, err);
}
