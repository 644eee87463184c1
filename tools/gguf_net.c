/* gguf_net.c: what the keys of a GGUF file say of its network. A key of the architecture that is
 * not known here may change what the network computes, so it ends the conversion. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tools/gguf_model.h"

struct reader {
    const struct gguf *g;
    struct net *net;
    const char *arch; /* as the keys spell it */
    struct bitnet_error *err;
};

static const struct family {
    const char *key, *arch, *ffn_act, *pairing;
    enum { ACT_TOKEN, ACT_GROUPS, ACT_BY_WEIGHTS } act;
} FAMILIES[] = {
    {"bitnet-b1.58", "bitnet-b1.58", "relu2", "half", ACT_TOKEN},
    {"bitnet-25", "bitnet-b1.58", "relu2", "half", ACT_TOKEN},
    {"bitnet", "bitnet", "silu", "half", ACT_TOKEN},
    {"llama", "llama", "silu", "adjacent", ACT_BY_WEIGHTS},
    {"qwen3", "qwen3", "silu", "half", ACT_GROUPS},
};

/* Keys behind "ARCH." that are understood, or known to change nothing. */
static const char *const KNOWN[] = {
    "vocab_size", "context_length", "embedding_length", "block_count", "feed_forward_length",
    "attention.head_count", "attention.head_count_kv", "attention.key_length",
    "attention.value_length", "attention.layer_norm_rms_epsilon", "attention.scale",
    "attention.causal", "rope.dimension_count", "rope.freq_base", "rope.scale_linear",
    "rope.scaling.type", "rope.scaling.factor", "rope.scaling.original_context_length",
    "rope.scaling.attn_factor", "rope.scaling.yarn_log_multiplier",
    "rope.scaling.yarn_ext_factor", "rope.scaling.yarn_attn_factor",
    "rope.scaling.yarn_beta_fast", "rope.scaling.yarn_beta_slow", "rope.scaling.finetuned",
    "pooling_type", "tensor_data_layout", "expert_count", "expert_used_count",
    "use_parallel_residual", "attention.sliding_window",
};

/* "ARCH.tail" */
static const char *full(const struct reader *r, char key[128], const char *tail)
{
    snprintf(key, 128, "%s.%s", r->arch, tail);
    return key;
}

static bool wrong(const struct reader *r, const char *tail, const char *what)
{
    return fail(r->err, BITNET_BAD, "%s: key '%s.%s' %s", r->g->path, r->arch, tail, what);
}

/* A count, or an array of one count for each layer, which must all be equal. */
static bool count(struct reader *r, const char *tail, bool needed, uint64_t *out)
{
    char key[128];
    struct gguf_array a;
    int64_t first, v;
    if (!gguf_find(r->g, full(r, key, tail)))
        return !needed || wrong(r, tail, "is missing");
    if (gguf_get_u64(r->g, key, out))
        return *out > 0 || wrong(r, tail, "is 0");
    uint64_t n_layers = r->net->n_layers; /* read before any key that may be an array */
    if (!n_layers || !gguf_get_array(r->g, key, &a) || !gguf_item_i64(&a, 0, &first) || first < 1)
        return wrong(r, tail, "is no positive integer");
    if (a.n_items != n_layers)
        return fail(r->err, BITNET_BAD, "%s: key '%s' holds %llu numbers, wanted one for each of "
                    "%llu layers", r->g->path, key, (unsigned long long)a.n_items,
                    (unsigned long long)n_layers);
    for (uint64_t i = 1; gguf_item_i64(&a, i, &v); i++)
        if (v != first)
            return fail(r->err, BITNET_BAD, "%s: key '%s' is %lld in layer 0 but %lld in layer "
                        "%llu; layers of different shapes are not supported", r->g->path, key,
                        (long long)first, (long long)v, (unsigned long long)i);
    *out = (uint64_t)first;
    return true;
}

static bool real(struct reader *r, const char *tail, double *out)
{
    char key[128];
    if (!gguf_find(r->g, full(r, key, tail)))
        return true;
    return (gguf_get_f64(r->g, key, out) && isfinite(*out)) || wrong(r, tail, "is no number");
}

static bool check_keys(struct reader *r)
{
    size_t n_arch = strlen(r->arch);
    for (size_t i = 0; i < r->g->n_kvs; i++) {
        const char *key = r->g->kvs[i].key;
        if (strncmp(key, "prism.hadamard.", 15) == 0)
            return fail(r->err, BITNET_BAD, "%s: key '%.60s': weights in a rotated (Hadamard) basis "
                        "are not supported; fetch a file without it", r->g->path, key);
        if (strncmp(key, r->arch, n_arch) != 0 || key[n_arch] != '.')
            continue;
        bool known = false;
        for (size_t k = 0; k < sizeof KNOWN / sizeof *KNOWN && !known; k++)
            known = strcmp(key + n_arch + 1, KNOWN[k]) == 0;
        if (!known)
            return fail(r->err, BITNET_BAD, "%s: key '%.80s' is not known and may change the "
                        "network", r->g->path, key);
    }
    return true;
}

static bool read_shape(struct reader *r)
{
    struct net *n = r->net;
    if (!count(r, "block_count", true, &n->n_layers) ||
        !count(r, "embedding_length", true, &n->n_embd) ||
        !count(r, "feed_forward_length", true, &n->n_ff) ||
        !count(r, "attention.head_count", true, &n->n_heads) ||
        !count(r, "context_length", true, &n->n_ctx))
        return false;
    n->n_kv_heads = n->n_heads;
    n->head_dim = n->n_heads ? n->n_embd / n->n_heads : 0;
    if (!count(r, "attention.head_count_kv", false, &n->n_kv_heads) ||
        !count(r, "attention.key_length", false, &n->head_dim))
        return false;
    uint64_t value_length = n->head_dim, n_experts = 0, window = 0;
    char key[128];
    if (!count(r, "attention.value_length", false, &value_length) ||
        !count(r, "rope.dimension_count", false, &n->n_rot))
        return false;
    if (value_length != n->head_dim)
        return wrong(r, "attention.value_length", "differs from key_length; that is not supported");
    gguf_get_u64(r->g, full(r, key, "expert_count"), &n_experts);
    if (n_experts)
        return wrong(r, "expert_count", "is not 0: mixtures of experts are not supported");
    gguf_get_u64(r->g, full(r, key, "attention.sliding_window"), &window);
    if (window && window < n->n_ctx)
        return wrong(r, "attention.sliding_window", "is set; that is not supported");
    n->n_ctx = n->n_ctx > 1 << 20 ? 1 << 20 : n->n_ctx;
    return true;
}

static bool read_numbers(struct reader *r)
{
    struct net *n = r->net;
    char key[128];
    double scale = 0, wanted = 1 / sqrt((double)n->head_dim);
    bool flag = true;
    if (!gguf_find(r->g, full(r, key, "attention.layer_norm_rms_epsilon")))
        return wrong(r, "attention.layer_norm_rms_epsilon", "is missing");
    if (!real(r, "attention.layer_norm_rms_epsilon", &n->norm_eps) ||
        !real(r, "attention.scale", &scale))
        return false;
    if (scale != 0 && fabs(scale - wanted) > 1e-4 * wanted)
        return wrong(r, "attention.scale", "is not 1/sqrt(key_length); that is not supported");
    if (gguf_get_bool(r->g, full(r, key, "use_parallel_residual"), &flag) && flag)
        return wrong(r, "use_parallel_residual", "is set; that is not supported");
    if (gguf_get_bool(r->g, full(r, key, "attention.causal"), &flag) && !flag)
        return wrong(r, "attention.causal", "is false; that is not supported");
    uint64_t pool = 0;
    if (gguf_get_u64(r->g, full(r, key, "pooling_type"), &pool) && pool != 0 && pool != 3)
        return wrong(r, "pooling_type", "is neither none (0) nor last token (3)");
    n->pool_last = pool == 3;
    return true;
}

static bool read_rope(struct reader *r)
{
    struct net *n = r->net;
    char key[128];
    struct gguf_text type = {"none", 4};
    double linear = 1, log_multiplier = 0, ext = 1;
    n->rope_base = 10000;
    n->rope_factor = n->rope_attn_factor = 1;
    n->beta_fast = 32, n->beta_slow = 1;
    if (!real(r, "rope.freq_base", &n->rope_base) || !real(r, "rope.scale_linear", &linear) ||
        !real(r, "rope.scaling.factor", &n->rope_factor) ||
        !real(r, "rope.scaling.attn_factor", &n->rope_attn_factor) ||
        !real(r, "rope.scaling.yarn_attn_factor", &n->rope_attn_factor) ||
        !real(r, "rope.scaling.yarn_beta_fast", &n->beta_fast) ||
        !real(r, "rope.scaling.yarn_beta_slow", &n->beta_slow) ||
        !real(r, "rope.scaling.yarn_ext_factor", &ext) ||
        !real(r, "rope.scaling.yarn_log_multiplier", &log_multiplier) ||
        !count(r, "rope.scaling.original_context_length", false, &n->n_ctx_orig))
        return false;
    gguf_get_text(r->g, full(r, key, "rope.scaling.type"), &type);
    bool yarn = gguf_text_is(type, "yarn"), is_linear = gguf_text_is(type, "linear");
    if (!yarn && !is_linear && !gguf_text_is(type, "none"))
        return wrong(r, "rope.scaling.type", "is not none, linear or yarn");
    if (yarn && (log_multiplier != 0 || (ext != 1 && ext != -1)))
        return wrong(r, "rope.scaling", "has a yarn multiplier; that is not supported");
    if (linear != 1 && !yarn && n->rope_factor == 1) {
        is_linear = true;
        n->rope_factor = linear;
    }
    if (!yarn && (!is_linear || n->rope_factor == 1))
        n->rope_factor = 1, is_linear = false;
    if (n->n_ctx_orig > 1 << 20)
        return wrong(r, "rope.scaling.original_context_length", "is too large");
    n->rope_scaling = yarn ? "yarn" : is_linear ? "linear" : "none";
    return true;
}

/* Texts for people; what cannot be kept is left out. */
static void copy_text(const struct gguf *g, const char *key, char *to, size_t n_to)
{
    struct gguf_text t;
    if (!gguf_get_text(g, key, &t) || t.n_bytes >= n_to)
        return;
    for (size_t i = 0; i < t.n_bytes; i++)
        if (t.bytes[i] < ' ' || t.bytes[i] > '~')
            return;
    memcpy(to, t.bytes, t.n_bytes);
    to[t.n_bytes] = 0;
}

static bool read_family(struct reader *r, struct gguf_text arch)
{
    for (size_t i = 0; i < sizeof FAMILIES / sizeof *FAMILIES; i++) {
        const struct family *f = &FAMILIES[i];
        if (!gguf_text_is(arch, f->key))
            continue;
        r->arch = f->key;
        r->net->arch = f->arch;
        r->net->ffn_act = f->ffn_act;
        r->net->rope_pairing = f->pairing;
        r->net->act = f->act == ACT_TOKEN ? "i8" : f->act == ACT_GROUPS ? weights_only_act : NULL;
        return true;
    }
    bool hybrid = gguf_text_is(arch, "qwen35");
    return fail(r->err, BITNET_BAD, "%s: architecture '%.*s' is not supported%s; wanted "
                "bitnet-b1.58, bitnet, llama or qwen3", r->g->path,
                (int)(arch.n_bytes < 40 ? arch.n_bytes : 40), arch.bytes,
                hybrid ? " (a hybrid with gated delta nets)" : "");
}

/* Training without quantized activations, by the names under which such models are published. */
static bool named_weights_only(const char *name)
{
    static const char *const names[] = {"TriLM", "trilm", "FBI", "OneBit", "FloatLM"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strstr(name, names[i]))
            return true;
    return false;
}

bool gguf_read_net(struct source *s, const struct gguf *g, struct bitnet_error *err)
{
    struct reader r = {.g = g, .net = &s->net, .err = err};
    struct gguf_text arch;
    if (!gguf_get_text(g, "general.architecture", &arch))
        return fail(err, BITNET_BAD, "%s: key 'general.architecture' is missing", g->path);
    if (!read_family(&r, arch) || !check_keys(&r) || !read_shape(&r) || !read_numbers(&r) ||
        !read_rope(&r))
        return false;
    copy_text(g, "general.name", s->net.name, sizeof s->net.name);
    copy_text(g, "general.license", s->net.licence, sizeof s->net.licence);
    if (strcmp(s->net.arch, "llama") == 0 && named_weights_only(s->net.name))
        s->net.act = weights_only_act;
    return true;
}
