/* test_convert_bad.c: foreign files with one fault each. Every one ends in a line that says what
 * is wrong, exit code 5, and nothing left behind. */
#include <dirent.h>
#include <unistd.h>

#include "tests/check.h"
#include "tests/foreign_hf.h"
#include "tools/import.h"

static char folder[64], in[96], out[96];

static size_t count_files(void)
{
    DIR *d = opendir(folder);
    size_t n = 0;
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

/* Converting must fail with code and a line that has `says` in it. The old target stays. */
static void check_refused(const char *fault, const char *path, int code, const char *says)
{
    struct bitnet_error err = {0};
    struct import_job j = {.in = path, .out = out, .n_threads = 2, .quiet = true};
    char old[4] = "";
    j.encode.head = ENC_I8;
    made_file(out, "old", 3);
    size_t n_before = count_files();
    bool ok = import_model(&j, &err);
    CHECK(!ok && err.code == code, "%s: code %d: %s", fault, err.code, err.msg);
    CHECK(strstr(err.msg, says) != NULL, "%s: no '%s' in: %s", fault, says, err.msg);
    CHECK(strstr(err.msg, folder) != NULL, "%s: no file is named: %s", fault, err.msg);
    CHECK(!strchr(err.msg, '\n'), "%s: more than a line: %s", fault, err.msg);
    CHECK(count_files() == n_before, "%s: files left behind", fault);
    FILE *f = fopen(out, "rb");
    CHECK(f && fread(old, 1, 3, f) == 3 && strcmp(old, "old") == 0, "%s: old target", fault);
    if (f)
        fclose(f);
}

enum edit { TEXT, U32, F32, BOOL, LAYERS, DROP_KEY, KEY_KIND, TYPE, NE, DIMS, NAME, DROP, ADD, BYTE, CUT,
            VERSION, SCALE_NAN, OFFSET };
static const struct gguf_fault {
    enum edit edit;
    const char *where; /* key or tensor */
    const char *text;
    uint64_t value;
    const char *says;
} GGUF_FAULTS[] = {
    {CUT, "", "", 0, "is empty"},
    {CUT, "", "", 3, "cut short in its header"},
    {CUT, "", "", 4, "cut short in its header"},
    {CUT, "", "", 20, "cut short in its header"},
    {CUT, "", "", 100, "18 keys cannot be in 100 bytes"},
    {CUT, "", "", 600, "cut short in its header"},
    {CUT, "", "", 5000, "cut short in its header"},
    {CUT, "", "", 100000, "bytes of"},
    {CUT, "", "", 400000, "are missing"},
    {BYTE, "", "X", 0, "neither a .bnp nor a GGUF file"},
    {BYTE, "", "FUGG", 0, "big-endian"},
    {BYTE, "", "tjgg", 0, "before GGUF"},
    {BYTE, "", "PK\x03\x04", 0, "zip file"},
    {BYTE, "", "<!DOCTYPE html>", 0, "web page"},
    {BYTE, "", "\n <html lang=en>", 0, "web page"},
    {BYTE, "", "version https://git-lfs.github.com/spec/v1", 0, "Git LFS pointer"},
    {BYTE, "", "\x1f\x8b\x08", 0, "compressed"},
    {BYTE, "", "\xff\xff\xff\xff\xff\xff\xff\x7f", 8, "cannot be in"},
    {BYTE, "", "\xff\xff\xff\xff\xff\xff\xff\xff", 16, "cannot be in"},
    {BYTE, "", "\xff\xff\xff\xff\xff\xff\xff\xff", 24, "has 18446744073709551615 bytes"},
    {BYTE, "", "\x01", 32, "control character"},
    {VERSION, "", "", 1, "version 1 is obsolete"},
    {VERSION, "", "", 4, "version 4"},
    {VERSION, "", "", 0x03000000, "big-endian"},
    {DROP_KEY, "general.architecture", "", 0, "'general.architecture' is missing"},
    {TEXT, "general.architecture", "qwen35", 0, "gated delta nets"},
    {TEXT, "general.architecture", "gemma3", 0, "'gemma3' is not supported"},
    {U32, "general.architecture", "", 1, "'general.architecture' is missing"},
    {U32, "prism.hadamard.version", "", 1, "Hadamard"},
    {U32, "llama.something_new", "", 1, "'llama.something_new' is not known"},
    {U32, "general.alignment", "", 0, "power of two"},
    {U32, "general.alignment", "", 48, "power of two"},
    {KEY_KIND, "general.name", "", 13, "unknown type 13"},
    {DROP_KEY, "llama.block_count", "", 0, "'llama.block_count' is missing"},
    {U32, "llama.block_count", "", 0, "is 0"},
    {U32, "llama.block_count", "", 2, "'blk.1.attn_norm.weight' is missing"},
    {U32, "llama.block_count", "", 70000, "number of layers is 70000"},
    {U32, "llama.embedding_length", "", 256, "the configuration wants 300 x 256"},
    {U32, "llama.embedding_length", "", 1 << 20, "embedding length"},
    {TEXT, "llama.embedding_length", "x", 0, "no positive integer"},
    {U32, "llama.attention.head_count", "", 3, "cannot share"},
    {U32, "llama.attention.head_count_kv", "", 1, "the configuration wants 64 x 512"},
    {LAYERS, "llama.attention.head_count", "\4\4\2", 3, "'llama.attention.head_count' is 4 in layer 0 but 2 in layer 2;"},
    {LAYERS, "llama.attention.head_count_kv", "\2\1\1\2", 4, "'llama.attention.head_count_kv' is 2 in layer 0 but 1 in layer 1;"},
    {LAYERS, "llama.feed_forward_length", "\100\120", 2, "'llama.feed_forward_length' is 64 in layer 0 but 80 in layer 1;"},
    {LAYERS, "llama.attention.head_count", "\4\4", 3, "holds 2 numbers, wanted one for each of 3 layers"},
    {LAYERS, "llama.attention.head_count", "\4\4", 1, "holds 2 numbers, wanted one for each of 1 layers"},
    {LAYERS, "llama.attention.head_count", "", 1, "no positive integer"},
    {LAYERS, "llama.block_count", "\1", 1, "no positive integer"},
    {U32, "llama.attention.value_length", "", 32, "differs from key_length"},
    {U32, "llama.rope.dimension_count", "", 63, "rope turns 63"},
    {F32, "llama.rope.freq_base", "", 0, "rope base"},
    {DROP_KEY, "llama.attention.layer_norm_rms_epsilon", "", 0, "is missing"},
    {TEXT, "llama.rope.scaling.type", "longrope", 0, "not none, linear or yarn"},
    {F32, "llama.attention.scale", "", 1, "1/sqrt(key_length)"},
    {U32, "llama.expert_count", "", 8, "mixtures of experts"},
    {U32, "llama.pooling_type", "", 1, "pooling_type"},
    {U32, "llama.attention.sliding_window", "", 64, "sliding_window"},
    {BOOL, "llama.attention.causal", "", 0, "causal"},
    {U32, "split.count", "", 2, "one of 2 parts"},
    {DROP_KEY, "tokenizer.ggml.tokens", "", 0, "tokenizer.ggml.tokens"},
    {U32, "tokenizer.ggml.eos_token_id", "", 300, "there are 300 tokens"},
    {DROP, "token_embd.weight", "", 0, "'token_embd.weight' is missing"},
    {DROP, "blk.0.ffn_up.weight", "", 0, "'blk.0.ffn_up.weight' is missing"},
    {ADD, "blk.0.attn_q.bias", "", 0, "'blk.0.attn_q.bias' has no place"},
    {ADD, "rope_freqs.weight", "", 0, "rotary frequencies"},
    {ADD, "blk.0.ffn_up.scale", "", 0, "not one F32"},
    {NAME, "blk.0.attn_v.weight", "blk.0.attn_k.weight", 0, "stands twice"},
    {NE, "blk.0.attn_q.weight", "", 128, "is 128 x 512"},
    {NE, "token_embd.weight", "", 299, "the embedding 299 rows"},
    {NE, "blk.0.attn_q.weight", "", 0, "dimension 1 is 0"},
    {NE, "blk.0.attn_q.weight", "", UINT64_MAX, "dimension 1 is"},
    {DIMS, "blk.0.attn_q.weight", "", 0, "0 dimensions"},
    {DIMS, "blk.0.attn_q.weight", "", 5, "5 dimensions"},
    {TYPE, "blk.0.attn_q.weight", "", 36, "is not I2_S"},
    {TYPE, "blk.0.attn_q.weight", "", 38, "(TL1) cannot be read"},
    {TYPE, "blk.0.attn_q.weight", "", 39, "(TL2) cannot be read"},
    {TYPE, "blk.0.attn_q.weight", "", 13, "(Q5_K) is of a type"},
    {TYPE, "blk.0.attn_q.weight", "", 777, "type 777"},
    {TYPE, "blk.0.attn_q.weight", "", 2, "is not low-bit"},
    {TYPE, "blk.0.attn_q.weight", "", 142, "another project's type"},
    {TYPE, "blk.0.attn_q.weight", "", 143, "another project's type"},
    {TYPE, "blk.0.attn_q.weight", "", 42, "another project's type"},
    {TYPE, "blk.0.attn_q.weight", "", 34, "another project's type"},
    {TYPE, "blk.0.attn_norm.weight", "", 2, "is low-bit, wanted floats"},
    {SCALE_NAN, "blk.0.attn_q.weight", "", 0x7c00, "a scale is not finite"},
    {SCALE_NAN, "token_embd.weight", "", 0x7e00, "a value is not finite"},
    {OFFSET, "blk.0.attn_q.weight", "", 8, "not a multiple of 32"},
    {OFFSET, "blk.0.attn_q.weight", "", 1ull << 62, "multiple of 32"},
};

/* One count for each layer: the bytes of the text, in a network of `value` layers. */
static void layer_counts(struct made_gguf *g, const struct gguf_fault *f)
{
    size_t n = strlen(f->text);
    made_u32(g, "llama.block_count", (uint32_t)f->value);
    made_counts(g, f->where, 0, n);
    for (size_t i = 0; i < n; i++)
        store_u32(made_kv(g, f->where)->value.data + 12 + 4 * i, (uint8_t)f->text[i]);
}

static void edit(struct made_gguf *g, const struct gguf_fault *f)
{
    struct made_tensor *t = NULL;
    uint8_t byte = (uint8_t)f->value, half[2];
    if (f->edit == TEXT)
        made_text(g, f->where, f->text);
    else if (f->edit == U32)
        made_u32(g, f->where, (uint32_t)f->value);
    else if (f->edit == F32)
        made_f32(g, f->where, (float)f->value);
    else if (f->edit == BOOL)
        made_value_of(g, f->where, GGUF_BOOL, &byte, 1);
    else if (f->edit == LAYERS)
        layer_counts(g, f);
    else if (f->edit == KEY_KIND)
        made_kv(g, f->where)->kind = (uint32_t)f->value;
    else if (f->edit == VERSION)
        g->version = (uint32_t)f->value;
    else if (f->edit >= TYPE && f->edit != BYTE && f->edit != CUT)
        t = made_tensor(g, f->where);
    if (f->edit == DROP_KEY || f->edit == DROP) {
        if (f->edit == DROP_KEY) {
            struct made_kv *kv = made_kv(g, f->where);
            buffer_free(&kv->value);
            *kv = g->kvs[--g->n_kvs];
        } else {
            buffer_free(&t->data);
            *t = g->tensors[--g->n_tensors];
        }
        return;
    }
    if (!t)
        return;
    store_u16(half, (uint16_t)f->value);
    if (f->edit == TYPE)
        t->type = (uint32_t)f->value;
    if (f->edit == NE)
        t->ne[1] = f->value;
    if (f->edit == DIMS)
        t->n_dims = (uint32_t)f->value;
    if (f->edit == NAME)
        snprintf(t->name, sizeof t->name, "%s", f->text);
    if (f->edit == SCALE_NAN)
        memcpy(t->data.data + (t->type == 35 ? 64 : 0), half, 2);
    if (f->edit == ADD) {
        t->n_dims = 1, t->type = 0, t->ne[0] = 2;
        made_real(&t->data, 1);
        made_real(&t->data, 2);
    }
}

/* Moves a tensor's offset, which the builder computes, in the finished bytes. */
static void move_offset(struct buffer *b, const char *name, uint64_t add)
{
    size_t n = strlen(name);
    for (size_t i = 0; i + n + 40 < b->n_bytes; i++)
        if (memcmp(b->data + i, name, n) == 0) {
            uint8_t *off = b->data + i + n + 4 + 16 + 4;
            store_u64(off, load_u64(off) + add);
            return;
        }
}

static void test_gguf(void)
{
    struct made_weights w = {1, false, false, MADE_ONE, 0, 0};
    snprintf(in, sizeof in, "%s/m.gguf", folder);
    for (size_t i = 0; i < sizeof GGUF_FAULTS / sizeof *GGUF_FAULTS; i++) {
        const struct gguf_fault *f = &GGUF_FAULTS[i];
        struct made_gguf *g = made_model("llama", 35, 0, &w);
        struct buffer b = {0};
        char what[160];
        edit(g, f);
        made_bytes(g, &b, 0, g->n_tensors);
        if (f->edit == BYTE) {
            size_t n = strlen(f->text);
            memcpy(b.data + f->value, f->text, n ? n : 1);
        }
        if (f->edit == OFFSET)
            move_offset(&b, f->where, f->value);
        made_file(in, b.data, f->edit == CUT ? f->value : b.n_bytes);
        snprintf(what, sizeof what, "%zu: edit %d of '%s'", i, f->edit, f->where);
        check_refused(what, in, BITNET_BAD, f->says);
        buffer_free(&b);
        made_free(g);
    }
}

/* Code 3 means nothing in I2_S. */
static void test_code_3(void)
{
    struct made_weights w = {2, false, false, MADE_ONE, 0, 0};
    struct made_gguf *g = made_model("bitnet-b1.58", 36, 32, &w);
    made_tensor(g, "blk.0.ffn_down.weight")->data.data[1000] = 0xff;
    made_write(g, in);
    check_refused("I2_S code 3", in, BITNET_BAD, "hold code 3");
    made_free(g);
}

/* A real low-bit file is wanted: floats of any size are not. */
static void test_not_low_bit(void)
{
    struct made_weights w = {3, false, false, MADE_ONE, 0, 0};
    struct made_gguf *g = made_model("llama", 35, 0, &w);
    made_floats(g, "blk.0.ffn_gate.weight", T_FF, T_EMBD, 1);
    made_write(g, in);
    check_refused("floats", in, BITNET_BAD, "is not low-bit");
    made_free(g);
}

/* A replacement in one of the folder's files; the header of model.safetensors grows with it. */
static const struct hf_fault {
    const char *file, *find, *put, *says;
} HF_FAULTS[] = {
    {"config.json", NULL, NULL, "no config.json"},
    {"config.json", "{", "[", "config.json: line 1"},
    {"config.json", "BitNetForCausalLM", "MambaForCausalLM", "model class is MambaForCausalLM"},
    {"config.json", "\"architectures\"", "\"arch\"", "model class is missing"},
    {"config.json", "\"hidden_size\"", "\"size\"", "'hidden_size' is missing"},
    {"config.json", ": 512", ": 0", "'hidden_size' is 0, wanted a positive integer"},
    {"config.json", ": 512", ": 640", "tensor 'model.embed_tokens.weight' is 450 x 512"},
    {"config.json", ": 450", ": 451", "the configuration wants 451 x 512"},
    {"config.json", "\"num_hidden_layers\": 1", "\"num_hidden_layers\": 2", "'model.layers.1.input_layernorm.weight' is missing"},
    {"config.json", "\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3", "cannot share 3"},
    {"config.json", "\"head_dim\": 64", "\"head_dim\": 2048", "head dimension is 2048"},
    {"config.json", "\"rms_norm_eps\"", "\"eps\"", "'rms_norm_eps' is missing"},
    {"config.json", "relu2", "gelu", "'hidden_act' is gelu"},
    {"config.json", "\"rope_theta\": 10000.0", "\"rope_theta\": -1", "rope base"},
    {"config.json", "\"rope_theta\"", "\"rope_scaling\": {\"rope_type\": \"llama3\"}, \"rope_theta\"", "'llama3' is not supported"},
    {"config.json", "\"rope_theta\"", "\"partial_rotary_factor\": 0.5, \"rope_theta\"", "partial_rotary_factor"},
    {"config.json", "\"rope_theta\"", "\"use_sliding_window\": true, \"sliding_window\": 9, \"rope_theta\"", "attention over a window"},
    {"config.json", "\"rope_theta\"", "\"use_sliding_window\": \"yes\", \"rope_theta\"", "'use_sliding_window' is a text, wanted true or false"},
    {"config.json", "\"rope_theta\"", "\"layer_types\": [\"sliding_attention\"], \"rope_theta\"", "'layer_types' has sliding_attention"},
    {"config.json", "\"rope_theta\"", "\"rope_scaling\": \"yarn\", \"rope_theta\"", "'rope_scaling' is a text, wanted an object"},
    {"config.json", "\"rope_theta\"", "\"rope_parameters\": [1], \"rope_theta\"", "'rope_parameters' is an array"},
    {"config.json", "\"rope_theta\"", "\"rope_scaling\": {\"factor\": 4.0}, \"rope_theta\"", "'factor' and no 'rope_type'"},
    {"config.json", "\"rope_theta\"", "\"attention_bias\": true, \"rope_theta\"", "'attention_bias' is true, which is not supported"},
    {"config.json", "\"rope_theta\"", "\"final_logit_softcapping\": 30.0, \"rope_theta\"", "'final_logit_softcapping' is 30.0"},
    {"config.json", "\"rope_theta\"", "\"logit_scale\": 0.5, \"rope_theta\"", "'logit_scale' is 0.5"},
    {"config.json", "\"quant_method\"", "\"modules_to_not_convert\": [\"lm_head\", \"mlp.up_proj\"], \"quant_method\"", "'modules_to_not_convert' has mlp.up_proj"},
    {"config.json", "true", "\"true\"", "'tie_word_embeddings' is a text, wanted true or false"},
    {"config.json", "\"rope_theta\"", "\"eos_token_id\": 999999, \"rope_theta\"", "'eos_token_id' has 999999, wanted ids from 0 to"},
    {"config.json", "\"rope_theta\"", "\"eos_token_id\": [1, -1], \"rope_theta\"", "'eos_token_id' has -1"},
    {"config.json", "\"rope_theta\"", "\"eos_token_id\": {}, \"rope_theta\"", "'eos_token_id' has what is no number"},
    {"config.json", "\"rope_theta\"", "\"bos_token_id\": 1e3, \"rope_theta\"", "'bos_token_id' has 1e3"},
    {"config.json", "\"bitnet\"", "\"gptq\"", "'quant_method' is gptq"},
    {"config.json", "autobitlinear", "fancy", "'linear_class' is fancy"},
    {"config.json", "true", "false", "'lm_head.weight' is missing"},
    {"config.json", "\"hidden_size\"", "\"hidden_size\": 1, \"hidden_size\"", "config.json"},
    {"tokenizer.json", NULL, NULL, "neither tokenizer.json nor tokenizer.model"},
    {"tokenizer.json", "{", "<", "tokenizer.json"},
    {"model.safetensors", NULL, NULL, "holds neither model.safetensors"},
    {"model.safetensors", "\"U8\"", "\"F8_E4M3\"", "dtype F8_E4M3 is unknown"},
    {"model.safetensors", "\"U8\"", "\"BOOL\"", "is BOOL, wanted"},
    {"model.safetensors", "\"BF16\",\"shape\":[450,512]", "\"U8\",\"shape\":[450,1024]", "is U8, wanted F32"},
    {"model.safetensors", "[450,512]", "[225,1024]", "is 225 x 1024"},
    {"model.safetensors", "[450,512]", "[450,513]", "its shape takes 461700"},
    {"model.safetensors", "[450,512]", "[450,0]", "dimension 1 is not a size"},
    {"model.safetensors", "[450,512]", "[-450,512]", "dimension 0 is not a size"},
    {"model.safetensors", "[450,512]", "[4294967296,4294967296]", "is not a size"},
    {"model.safetensors", "[450,512]", "[450,512,1,1,1]", "up to 4 numbers"},
    {"model.safetensors", "[0,460800]", "[460800,0]", "not two ascending numbers"},
    {"model.safetensors", "[0,460800]", "[2,460802]", "begins at byte"},
    {"model.safetensors", "[0,460800]", "[0]", "not two ascending numbers"},
    {"model.safetensors", "model.norm.weight", "model.norm.wight", "'model.norm.weight' is missing"},
    {"model.safetensors", "model.norm.weight", "model.embed_tokens.weight", "model.safetensors"},
    {"model.safetensors", "q_proj.weight_scale", "q_proj.weight_scole", "'.weight_scale' beside it is missing"},
    {"model.safetensors", "attn_sub_norm.weight", "attn_sub_norm.bias", "attn_sub_norm.weight' is missing"},
    {"model.safetensors", "ffn_sub_norm.weight", "ffn_sub_norm.wight", "ffn_sub_norm.weight' is missing"},
    {"model.safetensors", "{\"model", "{\"x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"model", "begins at byte"},
    {"model.safetensors", "{\"model", "{model", "model.safetensors: line 1"},
};

/* The same with OneBit layers. */
static const struct hf_fault ONEBIT_FAULTS[] = {
    {"model.safetensors", "q_proj.weight_scale", "q_proj.weight_scole", "q_proj.weight' is a OneBit layer, but '.weight_scale' beside it is missing"},
    {"model.safetensors", "v_proj.input_factor", "v_proj.input_foctor", "v_proj.weight' is I8, wanted U8, F32"},
    {"model.safetensors", "[256,64]", "[512,32]", "q_proj.weight' (OneBit, packed) is 512 x 32 bytes, the configuration wants 256 x 512 / 8"},
    {"model.safetensors", "[256,64]", "[16384]", "q_proj.weight' (OneBit, packed) is 16384 x 1 bytes"},
    {"model.safetensors", "k_proj.weight_scale\":{\"dtype\":\"F16\",\"shape\":[128]", "k_proj.weight_scale\":{\"dtype\":\"F16\",\"shape\":[2,64]", "k_proj.weight_scale' is 2 x 64, the configuration wants 1 x 128"},
    {"model.safetensors", "up_proj.input_factor\":{\"dtype\":\"F16\",\"shape\":[512]", "up_proj.input_factor\":{\"dtype\":\"F16\",\"shape\":[2,256]", "up_proj.input_factor' is 2 x 256, wanted a vector of 512"},
    {"model.safetensors", "up_proj.input_factor\":{\"dtype\":\"F16\"", "up_proj.input_factor\":{\"dtype\":\"I16\"", "dtype I16 is unknown"},
    {"config.json", "silu", "gelu", "'hidden_act' is gelu"},
};

static void replace(const char *path, const struct hf_fault *f)
{
    static uint8_t bytes[4 << 20];
    struct buffer b = {0};
    FILE *file = fopen(path, "rb");
    size_t n = file ? fread(bytes, 1, sizeof bytes, file) : 0, n_find = strlen(f->find), at = 0;
    bool weights = strstr(path, ".safetensors") != NULL;
    if (file)
        fclose(file);
    while (at + n_find < n && memcmp(bytes + at, f->find, n_find) != 0)
        at++;
    CHECK(at + n_find < n, "'%s' is not in %s", f->find, path);
    buffer_add(&b, bytes, at);
    buffer_add(&b, f->put, strlen(f->put));
    buffer_add(&b, bytes + at + n_find, n - at - n_find);
    if (weights)
        store_u64(b.data, load_u64(b.data) + strlen(f->put) - n_find);
    made_file(path, b.data, b.n_bytes);
    buffer_free(&b);
}

/* The folder with the fault put in. */
static void check_fault(const struct hf_fault *f)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", in, f->file);
    if (f->find)
        replace(path, f);
    else
        CHECK(remove(path) == 0, "%s", path);
    check_refused(f->put ? f->put : f->file, in, BITNET_BAD, f->says);
}

static void test_onebit(void)
{
    struct made_weights w = {5, true, false, MADE_ONE, 0, 0};
    for (size_t i = 0; i < sizeof ONEBIT_FAULTS / sizeof *ONEBIT_FAULTS; i++) {
        made_folder(in, "BitLlamaForCausalLMInf", "silu", "", MADE_ONEBIT, false, &w);
        check_fault(&ONEBIT_FAULTS[i]);
    }
}

/* What one kind of network must have, and another may. */
static void test_norms(void)
{
    static const struct hf_fault lost = {"model.safetensors", "self_attn.k_norm.weight",
                                         "self_attn.k_nrom.weight", "k_norm.weight' is missing"};
    static const struct hf_fault other = {"model.safetensors", "attn_sub_norm.weight",
                                          "attn_sub_norm.bias", "has no place"};
    struct made_weights w = {4, false, false, MADE_ONE, 0, 0};
    made_folder(in, "Qwen3ForCausalLM", "silu", "", MADE_F32, false, &w);
    check_fault(&lost);
    made_folder(in, "LlamaForCausalLM", "silu", "", MADE_F32, true, &w);
    check_fault(&other);
    struct made_gguf *g = made_model("llama", 35, 0, &w);
    made_floats(g, "blk.0.attn_k_norm.weight", 1, T_HEAD, 0);
    char path[96];
    snprintf(path, sizeof path, "%s/k_norm.gguf", folder);
    made_write(g, path);
    check_refused("k_norm alone", path, BITNET_BAD, "one of attn_q_norm and attn_k_norm");
    made_free(g);
}

static void test_token_names(void)
{
    static const struct {
        const char *text, *says;
    } faults[] = {{"{\"bos_token\": \"<nope>\"}", "'bos_token' is <nope>, which is no token of"},
                  {"{\"eos_token\": {\"content\": \"<nope>\"}}", "'eos_token' is <nope>"},
                  {"{\"eos_token\": 5}", "'eos_token' is no text"}};
    struct made_weights w = {4, false, false, MADE_ONE, 0, 0};
    char path[160];
    snprintf(path, sizeof path, "%s/tokenizer_config.json", in);
    made_folder(in, "BitNetForCausalLM", "relu2", made_bitnet, MADE_PACKED, true, &w);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        made_file(path, faults[i].text, strlen(faults[i].text));
        check_refused(faults[i].text, in, BITNET_BAD, faults[i].says);
    }
    remove(path);
    CHECK(mkdir(path, 0777) == 0, "%s", path);
    check_refused("a folder", in, BITNET_BAD, "tokenizer_config.json: is no plain file");
    rmdir(path);
    CHECK(symlink("nowhere", path) == 0, "%s", path);
    check_refused("a link to nothing", in, BITNET_FAILED, "tokenizer_config.json: cannot open");
    remove(path);
}

static void test_hf(void)
{
    struct made_weights w = {4, false, false, MADE_ONE, 0, 0};
    char path[160];
    for (size_t i = 0; i < sizeof HF_FAULTS / sizeof *HF_FAULTS; i++) {
        made_folder(in, "BitNetForCausalLM", "relu2", made_bitnet, MADE_PACKED, true, &w);
        check_fault(&HF_FAULTS[i]);
    }
    /* The weights' file, byte by byte where it matters. */
    static const struct {
        size_t keep, at;
        const char *put, *says;
    } cuts[] = {{0, 0, "", "is empty"}, {9, 0, "", "not a safetensors"}, {100, 0, "", "cut short"},
                {5000, 0, "", "are missing"}, {0, 8, "x", "not a safetensors"},
                {0, 6, "\xff", "not a safetensors"}, {0, 0, "version https://git-lfs", "LFS"},
                {0, 0, "<html>", "web page"}};
    static uint8_t bytes[4 << 20];
    made_folder(in, "BitNetForCausalLM", "relu2", made_bitnet, MADE_PACKED, true, &w);
    snprintf(path, sizeof path, "%s/model.safetensors", in);
    FILE *file = fopen(path, "rb");
    size_t n = file ? fread(bytes, 1, sizeof bytes, file) : 0;
    if (file)
        fclose(file);
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        uint8_t saved[32];
        size_t n_put = strlen(cuts[i].put);
        memcpy(saved, bytes + cuts[i].at, sizeof saved);
        memcpy(bytes + cuts[i].at, cuts[i].put, n_put);
        made_file(path, bytes, cuts[i].keep || !n_put ? cuts[i].keep : n);
        memcpy(bytes + cuts[i].at, saved, sizeof saved);
        check_refused(cuts[i].says, in, BITNET_BAD, cuts[i].says);
    }
    bytes[n - 1500] = 0xff; /* inside a packed matrix */
    made_file(path, bytes, n);
    check_refused("code 3", in, BITNET_BAD, "holds code 3");
    bytes[n] = 0;
    made_file(path, bytes, n + 1);
    check_refused("a byte too many", in, BITNET_BAD, "after the last tensor");
}

int main(void)
{
    snprintf(folder, sizeof folder, "/tmp/bitnet-test-XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    snprintf(out, sizeof out, "%s/m.bnp", folder);
    test_gguf();
    test_code_3();
    test_not_low_bit();
    snprintf(in, sizeof in, "%s/nothing", folder);
    check_refused("no file", in, BITNET_FAILED, "cannot open");
    snprintf(in, sizeof in, "%s/model", folder);
    test_hf();
    test_norms();
    test_token_names();
    test_onebit();
    char command[96];
    snprintf(command, sizeof command, "rm -r %s", folder);
    CHECK(system(command) == 0, "%s", command);
    return check_done();
}
