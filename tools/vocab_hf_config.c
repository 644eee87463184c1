/* vocab_hf_config.c: what the files beside a tokenizer say of it: tokenizer_config.json
 * names BOS and EOS and carries the chat template, generation_config.json and
 * config.json list the ids that end an answer. All of them are optional. */
#include <stdlib.h>
#include <string.h>

#include "tools/infile.h"
#include "tools/vocab.h"

/* A token by name, or by an object with its content; id stays where none is named. Only what begins
 * and ends a text must be there: others are names for what is not used here. */
static bool named(const struct vocab_file *f, const struct json *c, const char *key,
                  const char *path, bool must, int32_t *id, struct bitnet_error *err)
{
    const struct json *v = json_get(c, key);
    const char *name =
        json_text(v != NULL && v->kind == JSON_OBJECT ? json_get(v, "content") : v);
    int32_t found = name != NULL ? vocab_find_name(f, name) : -1;
    *id = found >= 0 ? found : *id;
    return found >= 0 || json_absent(v) || !must ||
           fail(err, BITNET_BAD, "%s: '%s' is %.40s, which is no token of %s", path, key,
                name != NULL ? name : "no text", f->path);
}

/* The template itself, or the one called "default" in a list. */
static const char *template_text(const struct json *v)
{
    if (v == NULL || v->kind != JSON_ARRAY) {
        return json_text(v);
    }
    for (v = json_first(v); v != NULL; v = json_next(v)) {
        if (json_is(json_get(v, "name"), "default")) {
            return json_text(json_get(v, "template"));
        }
    }
    return NULL;
}

static bool read_config(struct vocab_file *f, const struct json *c, const char *path,
                        struct bitnet_error *err)
{
    static const char *const keys[] = {"bos_token", "eos_token", "unk_token",
                                       "pad_token"};
    int32_t *const ids[] = {&f->vocab.bos, &f->vocab.eos, &f->vocab.unk, &f->vocab.pad};
    for (size_t i = 0; i < 4; i++) {
        if (!named(f, c, keys[i], path, i < 2, ids[i], err)) {
            return false;
        }
    }
    const struct json *add_bos = json_get(c, "add_bos_token");
    const struct json *add_eos = json_get(c, "add_eos_token");
    if (add_bos != NULL && add_bos->kind == JSON_BOOL) {
        f->vocab.add_bos = add_bos->truth;
    }
    if (add_eos != NULL && add_eos->kind == JSON_BOOL) {
        f->vocab.add_eos = add_eos->truth;
    }
    const char *text = template_text(json_get(c, "chat_template"));
    if (text != NULL) {
        f->chat_template = strdup(text);
        return f->chat_template != NULL ||
               fail(err, BITNET_FAILED, "%s: not enough memory for its vocabulary",
                    f->path);
    }
    return true;
}

/* An id, of a token there is. */
static bool check_id(const struct vocab_file *f, const struct json *v, const char *key,
                     const char *path, int64_t *id, struct bitnet_error *err)
{
    if (json_i64(v, id) && *id >= 0 && (uint64_t)*id < f->vocab.n_tokens) {
        return true;
    }
    return fail(err, BITNET_BAD, "%s: '%s' has %.40s, wanted ids from 0 to %zu", path, key,
                v->text != NULL ? v->text : "what is no number", f->vocab.n_tokens - 1);
}

/* The ids that end an answer: one, or a list. */
static bool read_stops(struct vocab_file *f, const struct json *c, const char *path,
                       struct bitnet_error *err)
{
    const struct json *bos = json_get(c, "bos_token_id"), *eos = json_get(c, "eos_token_id");
    int64_t id;
    if (!json_absent(bos) && !check_id(f, bos, "bos_token_id", path, &id, err)) {
        return false;
    }
    if (!json_absent(eos) && eos->kind != JSON_ARRAY) {
        if (!check_id(f, eos, "eos_token_id", path, &id, err)) {
            return false;
        }
        vocab_stop(f, id);
        return true;
    }
    for (eos = json_first(eos); eos != NULL; eos = json_next(eos)) {
        if (!check_id(f, eos, "eos_token_id", path, &id, err)) {
            return false;
        }
        vocab_stop(f, id);
    }
    return true;
}

/* Newer folders carry the template in a file of its own. */
static bool read_template_file(struct vocab_file *f, const char *dir,
                               struct bitnet_error *err)
{
    char *path = path_join(dir, "chat_template.jinja");
    struct infile in;
    bool there = false, ok = true;
    if (path != NULL && f->chat_template == NULL) {
        ok = path_optional(path, &there, err);
    }
    if (ok && there && (ok = infile_open(&in, path, err))) {
        size_t n_bytes = in.n_bytes < 1 << 20 ? (size_t)in.n_bytes : 1 << 20;
        f->chat_template = calloc(n_bytes + 1, 1);
        ok = f->chat_template != NULL
                 ? infile_read(&in, 0, f->chat_template, n_bytes, err)
                 : fail(err, BITNET_FAILED, "%s: not enough memory", path);
        infile_close(&in);
    }
    free(path);
    return ok;
}

/* A bare vocabulary: what these tokens are called everywhere. */
static void by_custom(struct vocab_file *f)
{
    static const char *const names[][3] = {{"<|begin_of_text|>", "<s>", NULL},
                                           {"<|end_of_text|>", "</s>", "<|endoftext|>"},
                                           {"<unk>", NULL, NULL}};
    int32_t *const ids[] = {&f->vocab.bos, &f->vocab.eos, &f->vocab.unk};
    for (size_t i = 0; i < 3; i++) {
        for (size_t k = 0; k < 3 && names[i][k] != NULL && *ids[i] < 0; k++) {
            *ids[i] = vocab_find_name(f, names[i][k]);
        }
    }
}

bool vocab_hf_neighbours(struct vocab_file *f, const char *path, struct bitnet_error *err)
{
    static const char *const files[] = {"tokenizer_config.json", "generation_config.json",
                                        "config.json"};
    size_t n_dir = (size_t)(path_base(path) - path);
    n_dir -= n_dir > 1; /* path_join puts the slash back */
    char *dir = n_dir > 0 ? strndup(path, n_dir) : strdup(".");
    bool ok = dir != NULL || fail(err, BITNET_FAILED, "%s: not enough memory", path);
    for (size_t i = 0; i < sizeof files / sizeof *files && ok; i++) {
        char *name = path_join(dir, files[i]);
        struct json_doc doc;
        bool there = false;
        ok = name != NULL ? path_optional(name, &there, err)
                          : fail(err, BITNET_FAILED, "%s: not enough memory", path);
        if (there && ok && (ok = json_read(&doc, name, err))) {
            ok = i == 0 ? read_config(f, doc.root, name, err)
                        : read_stops(f, doc.root, name, err);
            json_free(&doc);
        }
        free(name);
    }
    ok = ok && read_template_file(f, dir, err);
    free(dir);
    by_custom(f);
    return ok;
}
