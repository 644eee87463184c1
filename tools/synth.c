/* synth.c: `bitnet synth` writes a model of random weights in the shape of a real one, for
 * measuring and testing the engine without anybody's weights.
 *
 * Scales are chosen so that a unit vector stays one: a matrix of n columns gets 1/sqrt(n * its
 * mean square). Embeddings are small, what a layer adds is four times larger: the token before
 * last then no longer decides the next one alone, and the text does not stick. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/bnp_write.h"
#include "src/cmd.h"
#include "src/progress.h"
#include "src/tokenizer.h"
#include "tools/synth.h"
#include "tools/tools.h"

struct arch {
    const char *name, *ffn_act, *act, *pairing;
    double eps, rope_base;
    bool sub_norms, qk_norms;
};
static const struct arch archs[] = {
    {"bitnet-b1.58", "relu2", "i8", "half", 1e-5, 500000, true, false},
    {"bitnet", "silu", "i8", "half", 1e-5, 10000, true, false},
    {"llama", "silu", "i8", "adjacent", 1e-5, 500000, false, false},
    {"qwen3", "silu", "i8g32", "half", 1e-6, 1000000, false, true},
};

struct shape {
    const char *name, *arch, *body, *head;
    size_t n_embd, n_ff, n_layers, n_heads, n_kv_heads, head_dim, n_vocab, n_special, n_ctx;
    enum pretokenizer pretok;
};
static const struct shape shapes[] = {
    {"2b-4t", "bitnet-b1.58", "t2", "i8", 2560, 6912, 30, 20, 5, 128, 128256, 256, 4096,
     PRETOK_LLAMA3},
    {"qwen3-1.7b", "qwen3", "b1g128", "b1g128", 2048, 6144, 28, 16, 8, 128, 151936, 293, 32768,
     PRETOK_QWEN2},
    {"0.7b", "bitnet", "t2", "i8", 1536, 4096, 24, 16, 16, 96, 32002, 4, 2048, PRETOK_GPT2},
    /* Nothing here is a multiple of 16, and little of 4. */
    {"tiny", "bitnet-b1.58", "t2", "i8", 108, 234, 3, 6, 2, 22, 530, 12, 256, PRETOK_LLAMA3},
};

struct packing {
    enum encoding encoding;
    enum scale_kind scale_kind;
    uint32_t group;
};

struct synth {
    const struct shape *shape;
    const struct arch *arch;
    const char *act;
    struct packing body, head;
    bool untied, norm_in, in_bias, yarn, quiet;
    uint64_t seed;
    struct bnp_writer *writer;
    bool declaring; /* first pass: names and shapes; second: the same again with bytes */
    int8_t *values; /* of one block; halves for f16 */
    uint16_t *halves;
    uint8_t *block;
    uint64_t n_written, n_total;
    struct progress bar;
};

/* splitmix64 (Steele, Lea, Flood 2014): any seed, also 0, is a good one. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static float next_near_one(uint64_t *state) /* 0.9 .. 1.1 */
{
    return 0.9f + 0.2f * (float)(next_random(state) >> 40) / (float)(1 << 24);
}

/* Values of an integer encoding are uniform in -most..most. */
static int most_of(enum encoding e)
{
    return e == ENC_I8 || e == ENC_I8X2 ? 127 : e == ENC_I6 ? 31 : e == ENC_I4 ? 7 : 1;
}

/* What the values of fill_block must be multiplied by so that their rms is `rms`. */
static float scale_for(enum encoding e, double rms)
{
    double m = most_of(e);
    return (float)(e == ENC_B1 ? rms : rms / sqrt(m * (m + 1) / 3));
}

/* Random values for n_rows rows of a block; the rest are zeros. */
static void fill_block(struct synth *s, uint64_t *state, enum encoding e, size_t n_rows,
                       size_t n_cols)
{
    unsigned most = (unsigned)most_of(e), n_values = 2 * most + 1;
    size_t n = n_rows * n_cols;
    memset(s->values, 0, BLOCK_ROWS * n_cols);
    for (size_t i = 0; i < n; i += 8) {
        uint64_t r = next_random(state);
        for (size_t j = 0; j < 8 && i + j < n; j++, r >>= 8) {
            unsigned byte = r & 255;
            s->values[i + j] = (int8_t)(e == ENC_B1 ? (int)(byte & 2) - 1
                                                    : (int)(byte * n_values >> 8) - (int)most);
        }
    }
}

/* Halves of random sign and mantissa, all with one exponent: rms of +-[1, 2) is 1.53. */
static void fill_halves(struct synth *s, uint64_t *state, double rms, size_t n_rows,
                        size_t n_cols)
{
    unsigned exponent = (unsigned)(15 + lround(log2(rms / 1.53))) << 10;
    size_t n = n_rows * n_cols;
    memset(s->halves, 0, BLOCK_ROWS * n_cols * sizeof *s->halves);
    for (size_t i = 0; i < n; i += 4) {
        uint64_t r = next_random(state);
        for (size_t j = 0; j < 4 && i + j < n; j++, r >>= 16)
            s->halves[i + j] = (uint16_t)((r & 0x83ff) | exponent);
    }
}

static bool put(struct synth *s, const void *bytes, size_t n_bytes, struct bitnet_error *err)
{
    s->n_written += n_bytes;
    progress_set(&s->bar, s->n_written);
    return bnp_writer_data(s->writer, bytes, n_bytes, err);
}

static bool put_lines(struct synth *s, const struct packing *p, size_t n_rows, size_t n_cols,
                      double rms, uint64_t *state, struct bitnet_error *err)
{
    size_t block_bytes = layout_block_bytes(p->encoding, p->group, n_cols);
    size_t n_groups = p->group ? BLOCK_ROWS * ((n_cols + p->group - 1) / p->group) : 0;
    for (size_t row = 0; row < n_rows; row += BLOCK_ROWS) {
        size_t n = n_rows - row < BLOCK_ROWS ? n_rows - row : BLOCK_ROWS;
        const void *values = s->values;
        if (p->encoding == ENC_F16) {
            fill_halves(s, state, rms, n, n_cols);
            values = s->halves;
        } else {
            fill_block(s, state, p->encoding, n, n_cols);
            for (size_t i = 0; i < n_groups; i++)
                s->halves[i] = f32_to_f16(next_near_one(state) * scale_for(p->encoding, rms));
        }
        layout_pack(s->block, p->encoding, p->group, values, s->halves, n_cols);
        if (!put(s, s->block, block_bytes, err))
            return false;
    }
    return true;
}

static bool put_scales(struct synth *s, const struct packing *p, size_t n_rows, size_t n_cols,
                       double rms, uint64_t *state, struct bitnet_error *err)
{
    uint64_t lines, scales;
    uint8_t line[LINE_BYTES];
    size_t n = p->scale_kind == SCALE_ROW ? n_rows : p->scale_kind == SCALE_COLUMN ? n_cols : 1;
    layout_bytes(p->encoding, p->scale_kind, p->group, n_rows, n_cols, &lines, &scales);
    for (size_t i = 0; i < scales / sizeof(float); i++) {
        float v = i < n ? next_near_one(state) * scale_for(p->encoding, rms) : 0;
        store_f32(line + i * sizeof v % LINE_BYTES, v);
        if ((i + 1) * sizeof v % LINE_BYTES == 0 && !put(s, line, sizeof line, err))
            return false;
    }
    return true;
}

/* In the first pass declares a matrix, in the second writes it. */
static bool matrix(struct synth *s, const char *name, const struct packing *p, size_t n_rows,
                   size_t n_cols, double rms, struct bitnet_error *err)
{
    uint64_t state = s->seed ^ hash64(name, strlen(name)), lines, scales;
    if (!s->declaring)
        return put_lines(s, p, n_rows, n_cols, rms, &state, err) &&
               put_scales(s, p, n_rows, n_cols, rms, &state, err);
    if (!bnp_writer_declare(s->writer, name, p->encoding, p->scale_kind, p->group, n_rows, n_cols,
                            err))
        return false;
    layout_bytes(p->encoding, p->scale_kind, p->group, n_rows, n_cols, &lines, &scales);
    s->n_total += lines + scales;
    return true;
}

/* A vector of f32: around one, or for biases around nothing. */
static bool vector(struct synth *s, const char *name, size_t n, bool bias,
                   struct bitnet_error *err)
{
    uint64_t state = s->seed ^ hash64(name, strlen(name));
    uint8_t v[sizeof(float)];
    if (s->declaring)
        return bnp_writer_declare(s->writer, name, ENC_F32, SCALE_NONE, 0, 1, n, err);
    for (size_t i = 0; i < n; i++) {
        float one = next_near_one(&state);
        store_f32(v, bias ? (one - 1) * 0.01f : one);
        if (!bnp_writer_data(s->writer, v, sizeof v, err))
            return false;
    }
    return true;
}

static bool layer_vector(struct synth *s, size_t layer, const char *suffix, size_t n, bool wanted,
                         struct bitnet_error *err)
{
    char name[64];
    snprintf(name, sizeof name, "blk.%zu.%s", layer, suffix);
    return !wanted || vector(s, name, n, false, err);
}

/* A matrix of a layer, with its companions; gain: how much larger than its input the output is. */
static bool linear(struct synth *s, size_t layer, const char *suffix, size_t n_rows, size_t n_cols,
                   double gain, struct bitnet_error *err)
{
    char name[64], companion[80];
    snprintf(name, sizeof name, "blk.%zu.%s", layer, suffix);
    if (!matrix(s, name, &s->body, n_rows, n_cols, gain / sqrt((double)n_cols), err))
        return false;
    snprintf(companion, sizeof companion, "%s.norm_in", name);
    if (s->norm_in && !vector(s, companion, n_cols, false, err))
        return false;
    snprintf(companion, sizeof companion, "%s.in_bias", name);
    return !s->in_bias || vector(s, companion, n_cols, true, err);
}

static bool layer(struct synth *s, size_t i, struct bitnet_error *err)
{
    const struct shape *h = s->shape;
    size_t q = h->n_heads * h->head_dim, kv = h->n_kv_heads * h->head_dim;
    double small = 4 * 2 / sqrt((double)h->n_embd);
    return layer_vector(s, i, "attn_norm", h->n_embd, true, err) &&
           linear(s, i, "attn_q", q, h->n_embd, 1, err) &&
           linear(s, i, "attn_k", kv, h->n_embd, 1, err) &&
           linear(s, i, "attn_v", kv, h->n_embd, 1, err) &&
           layer_vector(s, i, "attn_q_norm", h->head_dim, s->arch->qk_norms, err) &&
           layer_vector(s, i, "attn_k_norm", h->head_dim, s->arch->qk_norms, err) &&
           layer_vector(s, i, "attn_sub_norm", q, s->arch->sub_norms, err) &&
           linear(s, i, "attn_output", h->n_embd, q, small, err) &&
           layer_vector(s, i, "ffn_norm", h->n_embd, true, err) &&
           linear(s, i, "ffn_gate", h->n_ff, h->n_embd, 1, err) &&
           linear(s, i, "ffn_up", h->n_ff, h->n_embd, 1, err) &&
           layer_vector(s, i, "ffn_sub_norm", h->n_ff, s->arch->sub_norms, err) &&
           linear(s, i, "ffn_down", h->n_embd, h->n_ff, small, err);
}

static bool tensors(struct synth *s, bool declaring, struct bitnet_error *err)
{
    const struct shape *h = s->shape;
    double rms = 2 / sqrt((double)h->n_embd);
    s->declaring = declaring;
    if (!matrix(s, "token_embd", &s->head, h->n_vocab, h->n_embd, rms, err))
        return false;
    for (size_t i = 0; i < h->n_layers; i++)
        if (!layer(s, i, err))
            return false;
    return vector(s, "output_norm", h->n_embd, false, err) &&
           (!s->untied || matrix(s, "output", &s->head, h->n_vocab, h->n_embd, rms, err));
}

static void put_meta(struct synth *s)
{
    const struct shape *h = s->shape;
    struct bnp_writer *w = s->writer;
    bnp_writer_text(w, "info.name", "synthetic");
    bnp_writer_text(w, "info.source", "random weights, made by bitnet synth");
    bnp_writer_text(w, "info.converter", "bitnet synth");
    bnp_writer_text(w, "arch.name", s->arch->name);
    bnp_writer_u64(w, "arch.n_layers", h->n_layers);
    bnp_writer_u64(w, "arch.n_embd", h->n_embd);
    bnp_writer_u64(w, "arch.n_ff", h->n_ff);
    bnp_writer_u64(w, "arch.n_heads", h->n_heads);
    bnp_writer_u64(w, "arch.n_kv_heads", h->n_kv_heads);
    bnp_writer_u64(w, "arch.head_dim", h->head_dim);
    bnp_writer_u64(w, "arch.n_vocab", h->n_vocab);
    bnp_writer_u64(w, "arch.n_ctx", h->n_ctx);
    bnp_writer_f64(w, "arch.norm_eps", s->arch->eps);
    bnp_writer_text(w, "arch.ffn_act", s->arch->ffn_act);
    bnp_writer_text(w, "arch.act", s->act);
    bnp_writer_f64(w, "rope.base", s->arch->rope_base);
    bnp_writer_text(w, "rope.pairing", s->arch->pairing);
    if (s->yarn) {
        bnp_writer_text(w, "rope.scaling", "yarn");
        bnp_writer_f64(w, "rope.factor", 4);
        bnp_writer_u64(w, "rope.n_ctx_orig", h->n_ctx / 4);
    }
}

static bool write_model(struct synth *s, struct bitnet_error *err)
{
    struct buffer section = {0};
    const struct shape *h = s->shape;
    bool good = synth_tokenizer(&section, h->n_vocab, h->n_special, h->pretok, err);
    put_meta(s);
    if (good)
        bnp_writer_tokenizer(s->writer, section.data, section.n_bytes);
    buffer_free(&section);
    good = good && tensors(s, true, err) && bnp_writer_begin(s->writer, err);
    progress_start(&s->bar, "synth", "B", s->n_total, s->quiet);
    good = good && tensors(s, false, err);
    progress_clear(&s->bar);
    return good && bnp_writer_finish(s->writer, err);
}

/* Takes the buffers of one block of the widest matrix, then writes the model. */
static bool synthesize(struct synth *s, const char *path, struct bitnet_error *err)
{
    const struct shape *h = s->shape;
    size_t q = h->n_heads * h->head_dim, widest = h->n_ff > h->n_embd ? h->n_ff : h->n_embd;
    size_t n = BLOCK_ROWS * ((widest > q ? widest : q) + 1);
    s->values = malloc(n);
    s->halves = malloc(n * sizeof *s->halves);
    s->block = malloc(n * sizeof(float) + (size_t)65536);
    bool good = s->values && s->halves && s->block;
    if (!good)
        fail(err, BITNET_FAILED, "synth: out of memory");
    good = good && bnp_writer_open(&s->writer, path, err) && write_model(s, err);
    bnp_writer_close(s->writer);
    free(s->values);
    free(s->halves);
    free(s->block);
    return good;
}

static struct packing packing_of(const char *name)
{
    struct packing p = {ENC_T2, SCALE_TENSOR, 0};
    layout_parse(name, &p.encoding, &p.group);
    if (p.group)
        p.scale_kind = SCALE_GROUP;
    else if (p.encoding == ENC_F16)
        p.scale_kind = SCALE_NONE;
    else if (p.encoding == ENC_I8 || p.encoding == ENC_I8X2)
        p.scale_kind = SCALE_ROW;
    return p;
}

/* Shape and network by the names that the table of options allows. */
static void pick_network(struct synth *s, const char *shape, const char *arch)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (strcmp(shape, shapes[i].name) == 0)
            s->shape = &shapes[i];
    if (!arch)
        arch = s->shape->arch;
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++)
        if (strcmp(arch, archs[i].name) == 0)
            s->arch = &archs[i];
}

static bool pick_scale(struct synth *s, const char *scale, struct bitnet_error *err)
{
    if (!scale)
        return true;
    s->body.scale_kind = strcmp(scale, "tensor") == 0 ? SCALE_TENSOR
                         : strcmp(scale, "row") == 0  ? SCALE_ROW
                                                      : SCALE_COLUMN;
    return layout_known(s->body.encoding, s->body.scale_kind, s->body.group) ||
           fail(err, BITNET_USAGE, "--scale %s: the body's encoding has group scales", scale);
}

static void pick_extra(struct synth *s, const char *name)
{
    s->untied |= strcmp(name, "untied") == 0;
    s->norm_in |= strcmp(name, "norm-in") == 0;
    s->in_bias |= strcmp(name, "in-bias") == 0;
    s->yarn |= strcmp(name, "yarn") == 0;
}

int tool_synth(int argc, char **argv)
{
    struct bitnet_error err = {0};
    struct synth s = {0};
    struct args a;
    int status;
    if (!cmd_begin(&a, "synth", argc, argv, &status))
        return status;
    const char *out = args_text(&a, "--output"), *name;
    const char *body = args_text(&a, "--body"), *head = args_text(&a, "--head");
    pick_network(&s, args_text(&a, "--shape"), args_text(&a, "--arch"));
    s.seed = (uint64_t)args_int(&a, "--seed");
    s.quiet = args_flag(&a, "--quiet");
    s.body = packing_of(body ? body : s.shape->body);
    s.act = args_text(&a, "--act");
    if (!s.act) /* float weights meet float activations only */
        s.act = s.body.encoding == ENC_F16 ? "f32" : s.arch->act;
    s.head = packing_of(head ? head : s.shape->head);
    for (size_t i = 0; (name = args_nth(&a, "--with", i)); i++)
        pick_extra(&s, name);
    if (!out)
        fail(&err, BITNET_USAGE, "synth: -o FILE is needed (bitnet help synth)");
    else if (pick_scale(&s, args_text(&a, "--scale"), &err))
        synthesize(&s, out, &err);
    args_free(&a);
    return err.code == BITNET_OK ? BITNET_OK : cmd_fail(&err);
}
