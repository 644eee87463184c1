/* test_i2s_trial.c: our own trained model as an I2_S file in each of the three layouts that nothing
 * in such a file tells apart: the text that the model predicts must. */
#include <unistd.h>

#include "src/model.h"
#include "src/tokenizer.h"
#include "src/utf8.h"
#include "tests/check.h"
#include "tests/foreign.h"
#include "tools/import.h"
#include "tools/modelfile.h"

static const char model_path[] = "models/stories.bnp";
static char folder[64], in[96], out[96];

/* GPT-2's spelling: a byte that does not print stands as a character from U+0100 on. */
static void add_spelling(struct buffer *b, const uint8_t *bytes, size_t n, bool is_control)
{
    struct buffer s = {0};
    for (size_t i = 0; i < n; i++) {
        char utf8[4];
        uint32_t code = bytes[i], n_before = 0;
        for (uint32_t c = 0; c <= code; c++)
            n_before += c < 33 || (c > 126 && c < 161) || c == 173;
        bool prints = !(code < 33 || (code > 126 && code < 161) || code == 173);
        code = prints || is_control ? code : 255 + n_before;
        buffer_add(&s, utf8, utf8_encode(code, utf8));
    }
    buffer_add_u64(b, s.n_bytes);
    buffer_add(b, s.data, s.n_bytes);
    buffer_free(&s);
}

static struct buffer *array(struct made_gguf *g, const char *key, uint32_t kind, uint64_t n)
{
    made_value_of(g, key, GGUF_ARRAY, "", 0);
    struct buffer *b = &made_kv(g, key)->value;
    buffer_add_u32(b, kind);
    buffer_add_u64(b, n);
    return b;
}

static void add_vocab(struct made_gguf *g, const struct bitnet_tokenizer *t)
{
    made_text(g, "tokenizer.ggml.model", "gpt2");
    made_text(g, "tokenizer.ggml.pre", t->pretok == PRETOK_LLAMA3  ? "llama-bpe"
                                       : t->pretok == PRETOK_QWEN2 ? "qwen2"
                                                                   : "gpt-2");
    made_u32(g, "tokenizer.ggml.bos_token_id", (uint32_t)t->bos);
    made_u32(g, "tokenizer.ggml.eos_token_id", (uint32_t)t->eos);
    struct buffer *b = array(g, "tokenizer.ggml.tokens", GGUF_TEXT, t->n_tokens);
    size_t n;
    for (uint32_t i = 0; i < t->n_tokens; i++) {
        const char *text = bitnet_token_name(t, (int32_t)i, &n);
        add_spelling(b, (const uint8_t *)text, n, t->types[i] != TOKEN_NORMAL);
    }
    b = array(g, "tokenizer.ggml.token_type", GGUF_I32, t->n_tokens);
    for (uint32_t i = 0; i < t->n_tokens; i++)
        buffer_add_u32(b, t->types[i]);
    b = array(g, "tokenizer.ggml.merges", GGUF_TEXT, t->n_merges);
    for (size_t i = 0; i < t->n_merges; i++) {
        struct buffer pair = {0};
        for (size_t k = 0; k < 2; k++) {
            const char *text =
                bitnet_token_name(t, (int32_t)tokenizer_word(t->merges, 3 * i + k), &n);
            size_t at = pair.n_bytes + 8;
            add_spelling(&pair, (const uint8_t *)text, n, false);
            memmove(pair.data + at - 8, pair.data + at, pair.n_bytes - at);
            pair.n_bytes -= 8;
            if (k == 0)
                buffer_add(&pair, " ", 1);
        }
        buffer_add_u64(b, pair.n_bytes);
        buffer_add(b, pair.data, pair.n_bytes);
        buffer_free(&pair);
    }
}

static void add_numbers(struct made_gguf *g, const struct model *m)
{
    const struct bitnet_shape *s = &m->shape;
    made_keys(g, "bitnet-b1.58");
    made_u32(g, "bitnet-b1.58.context_length", (uint32_t)s->n_ctx_train);
    made_u32(g, "bitnet-b1.58.embedding_length", (uint32_t)s->n_embd);
    made_u32(g, "bitnet-b1.58.block_count", (uint32_t)s->n_layers);
    made_u32(g, "bitnet-b1.58.feed_forward_length", (uint32_t)s->n_ff);
    made_u32(g, "bitnet-b1.58.attention.head_count", (uint32_t)s->n_heads);
    made_u32(g, "bitnet-b1.58.attention.head_count_kv", (uint32_t)s->n_kv_heads);
    made_u32(g, "bitnet-b1.58.attention.key_length", (uint32_t)s->head_dim);
    made_u32(g, "bitnet-b1.58.attention.value_length", (uint32_t)s->head_dim);
    made_u32(g, "bitnet-b1.58.rope.dimension_count", (uint32_t)s->head_dim);
    made_u32(g, "bitnet-b1.58.vocab_size", (uint32_t)s->n_vocab);
    made_f32(g, "bitnet-b1.58.attention.layer_norm_rms_epsilon", m->norm_eps);
    made_f32(g, "bitnet-b1.58.rope.freq_base", (float)m->rope.base);
}

/* A matrix of the model; low-bit ones as I2_S, see made_i2s() for width. Without gates in I2_S the
 * weights alone tell nothing, and the loss must. */
static void add_tensor(struct made_gguf *g, const struct bnp_tensor *from, size_t width, bool gates)
{
    char name[96];
    size_t n_rows = from->matrix.n_rows, n_cols = from->matrix.n_cols, n = n_rows * n_cols;
    float *values = malloc(n * sizeof *values), most = 0;
    int8_t *signs = malloc(n);
    snprintf(name, sizeof name, "%s.weight", from->name);
    struct made_tensor *t = made_tensor(g, name);
    bool low = from->matrix.encoding == ENC_T2 && (gates || !strstr(from->name, "ffn_gate"));
    t->n_dims = n_rows == 1 ? 1 : 2, t->type = low ? 36 : 0;
    t->ne[0] = n_cols, t->ne[1] = n_rows;
    for (size_t r = 0; r < n_rows; r++)
        layout_row(values + r * n_cols, &from->matrix, r);
    for (size_t i = 0; i < n; i++)
        most = values[i] > most ? values[i] : most;
    for (size_t i = 0; i < n && !low; i++)
        made_real(&t->data, values[i]);
    for (size_t i = 0; i < n; i++)
        signs[i] = (int8_t)((values[i] > 0) - (values[i] < 0));
    if (low)
        made_i2s(&t->data, signs, n_rows, n_cols, width, most);
    free(values);
    free(signs);
}

static void write_model(const struct model_file *f, const struct bitnet_tokenizer *t, size_t width,
                        bool gates)
{
    struct made_gguf *g = calloc(1, sizeof *g);
    struct bitnet_error err = {0};
    struct model m = {0};
    if (!g || !model_open(&m, &f->bnp, &err)) {
        CHECK(false, "%s", err.msg);
        exit(1);
    }
    g->version = 3;
    add_numbers(g, &m);
    add_vocab(g, t);
    for (size_t i = 0; i < f->bnp.n_tensors; i++)
        add_tensor(g, &f->bnp.tensors[i], width, gates);
    made_write(g, in);
    made_free(g);
    model_close(&m);
}

/* Every packed matrix must be the original's again, byte for byte. */
static size_t count_differences(const struct model_file *f, const char *path)
{
    struct model_file g;
    struct bitnet_error err = {0};
    size_t n_wrong = 0;
    if (!model_file_open(&g, path, &err)) {
        CHECK(false, "%s", err.msg);
        return 1;
    }
    for (size_t i = 0; i < f->bnp.n_tensors; i++) {
        const struct bnp_tensor *a = &f->bnp.tensors[i], *b = bnp_find(&g.bnp, a->name);
        n_wrong += !b || (a->matrix.encoding == ENC_T2 && a->hash != b->hash);
    }
    model_file_close(&g);
    return n_wrong;
}

int main(void)
{
    static const struct {
        const char *layout;
        size_t width;
    } forms[] = {{"128", 32}, {"64", 16}, {"4row", 0}};
    struct bitnet_error err = {0};
    struct model_file f;
    struct bitnet_tokenizer *t;
    snprintf(folder, sizeof folder, "/tmp/bitnet-test-XXXXXX");
    if (!mkdtemp(folder) || !model_file_open(&f, model_path, &err) ||
        !tokenizer_open(&t, f.bnp.tokenizer, f.bnp.tokenizer_bytes, model_path, &err))
        return 1;
    snprintf(in, sizeof in, "%s/m.gguf", folder);
    snprintf(out, sizeof out, "%s/m.bnp", folder);
    for (size_t i = 0; i < 6; i++) {
        const char *layout = forms[i % 3].layout;
        struct import_job j = {.in = in, .out = out, .n_threads = 2, .quiet = true};
        j.encode.head = ENC_I8;
        write_model(&f, t, forms[i % 3].width, i < 3);
        CHECK(import_model(&j, &err), "%s: %s", layout, err.msg);
        CHECK(count_differences(&f, out) == 0, "%s: another layout was chosen", layout);
        j.import.i2s_layout = forms[(i + 1) % 3].layout;
        CHECK(import_model(&j, &err), "%s: %s", layout, err.msg);
        CHECK(count_differences(&f, out) > 0, "%s: read as another, it is the same", layout);
    }
    tokenizer_close(t);
    model_file_close(&f);
    char command[256];
    snprintf(command, sizeof command, "test \"$(ls %s)\" = \"m.bnp\nm.gguf\" && rm -r %s", folder,
             folder);
    CHECK(system(command) == 0, "%s: something else was left behind", folder);
    return check_done();
}
