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

static bool absent(const struct json *v)
{
    return !v || v->kind == JSON_NULL;
}

static bool count(struct reader *r, const char *key, bool needed, uint64_t *out)
{
    const struct json *v = json_get(r->root, key);
    int64_t i;
    if (absent(v) && !needed)
        return true;
    if (!json_i64(v, &i) || i < 1)
        return fail(r->err, BITNET_BAD, "%s: '%s' is %s, wanted a positive integer", r->path, key,
                    absent(v) ? "missing" : "something else");
    *out = (uint64_t)i;
    return true;
}

static bool real(struct reader *r, const struct json *in, const char *key, double *out)
{
    const struct json *v = json_get(in, key);
    if (absent(v))
        return true;
    return json_f64(v, out) ||
           fail(r->err, BITNET_BAD, "%s: '%s' is not a number", r->path, key);
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
                "LlamaForCausalLM, BitLlamaForCausalLM(Inf), Qwen3ForCausalLM or Qwen3Model", r->path,
                name ? name : "missing");
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
    if (absent(json_get(r->root, "rms_norm_eps")))
        return fail(r->err, BITNET_BAD, "%s: 'rms_norm_eps' is missing", r->path);
    const char *act = json_text(json_get(r->root, "hidden_act"));
    if (act && (strcmp(act, "relu2") == 0 || strcmp(act, "silu") == 0))
        n->ffn_act = strcmp(act, "relu2") == 0 ? "relu2" : "silu";
    else
        return fail(r->err, BITNET_BAD, "%s: 'hidden_act' is %.40s, wanted relu2 or silu", r->path,
                    act ? act : "missing");
    double partial = 1;
    if (!real(r, r->root, "rms_norm_eps", &n->norm_eps) ||
        !real(r, r->root, "partial_rotary_factor", &partial))
        return false;
    if (partial != 1)
        return fail(r->err, BITNET_BAD, "%s: 'partial_rotary_factor' is %g, only 1 is known",
                    r->path, partial);
    const struct json *window = json_get(r->root, "sliding_window");
    bool sliding = json_true(json_get(r->root, "use_sliding_window"));
    if (sliding && !absent(window))
        return fail(r->err, BITNET_BAD, "%s: 'use_sliding_window': attention over a window is not "
                    "supported", r->path);
    return true;
}

/* "rope_theta" with "rope_scaling", or both in "rope_parameters" as newer files have it. */
static bool read_rope(struct reader *r)
{
    struct net *n = r->net;
    const struct json *p = json_object(r->root, "rope_parameters");
    const struct json *scaling = p ? p : json_object(r->root, "rope_scaling");
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
    if (attn != 0 || !absent(json_get(scaling, "mscale")))
        return fail(r->err, BITNET_BAD, "%s: rope scaling with its own attention factor is not "
                    "supported", r->path);
    if (original >= 1 && original <= 1 << 20)
        n->n_ctx_orig = (uint64_t)original;
    return true;
}

static bool read_quantization(struct reader *r, struct hf_config *c)
{
    const struct json *q = json_object(r->root, "quantization_config");
    int64_t bits;
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
    ok = ok && read_family(&r, c) && read_shape(&r) && read_numbers(&r) && read_rope(&r) &&
         read_quantization(&r, c);
    const struct json *tie = ok ? json_get(doc.root, "tie_word_embeddings") : NULL;
    c->tied = json_true(tie);
    c->untied = tie && tie->kind == JSON_BOOL && !tie->truth;
    json_free(&doc);
    return ok && source_check_net(s, err);
}
