/* import.c: survey, decide, declare, write: one pass over the list of tensors for each. */
#include "tools/import.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/bnp.h"
#include "tools/i2s_trial.h"
#include "tools/infile.h"
#include "tools/modelfile.h"

/* BitNet training gives one scale per matrix; scales by row or group come from training that
 * left the activations alone. For architectures that both kinds use, that decides. */
static const char *family_act(const struct source *s, const struct plan *plans)
{
    if (s->net.act)
        return s->net.act;
    for (size_t i = 0; i < s->n_tensors; i++)
        if (s->tensors[i].role == ROLE_BODY && plans[i].scale != SCALE_TENSOR)
            return weights_only_act;
    return "i8";
}

static void write_rope(struct bnp_writer *w, const struct net *n)
{
    bnp_writer_f64(w, "rope.base", n->rope_base);
    bnp_writer_text(w, "rope.pairing", n->rope_pairing);
    if (n->n_rot && n->n_rot != n->head_dim)
        bnp_writer_u64(w, "rope.n_rot", n->n_rot);
    if (strcmp(n->rope_scaling, "none") == 0)
        return;
    bnp_writer_text(w, "rope.scaling", n->rope_scaling);
    bnp_writer_f64(w, "rope.factor", n->rope_factor);
    if (n->n_ctx_orig)
        bnp_writer_u64(w, "rope.n_ctx_orig", n->n_ctx_orig);
    if (strcmp(n->rope_scaling, "yarn") == 0) {
        bnp_writer_f64(w, "rope.attn_factor", n->rope_attn_factor);
        bnp_writer_f64(w, "rope.beta_fast", n->beta_fast);
        bnp_writer_f64(w, "rope.beta_slow", n->beta_slow);
    }
}

static void write_meta(struct bnp_writer *w, const struct source *s, const char *act)
{
    const struct net *n = &s->net;
    char converter[64];
    bnp_writer_text(w, "arch.name", n->arch);
    bnp_writer_u64(w, "arch.n_layers", n->n_layers);
    bnp_writer_u64(w, "arch.n_embd", n->n_embd);
    bnp_writer_u64(w, "arch.n_ff", n->n_ff);
    bnp_writer_u64(w, "arch.n_heads", n->n_heads);
    bnp_writer_u64(w, "arch.n_kv_heads", n->n_kv_heads);
    bnp_writer_u64(w, "arch.head_dim", n->head_dim);
    bnp_writer_u64(w, "arch.n_vocab", n->n_vocab);
    bnp_writer_u64(w, "arch.n_ctx", n->n_ctx);
    bnp_writer_f64(w, "arch.norm_eps", n->norm_eps);
    if (n->out_norm_eps > 0)
        bnp_writer_f64(w, "arch.out_norm_eps", n->out_norm_eps);
    bnp_writer_text(w, "arch.ffn_act", n->ffn_act);
    bnp_writer_text(w, "arch.act", act);
    write_rope(w, n);
    if (n->pool_last)
        bnp_writer_text(w, "pool", "last");
    if (n->chat_template[0])
        bnp_writer_text(w, "chat.template", n->chat_template);
    if (n->name[0])
        bnp_writer_text(w, "info.name", n->name);
    bnp_writer_text(w, "info.source", path_base(s->path));
    bnp_writer_text(w, "info.source_hash", s->hash);
    snprintf(converter, sizeof converter, "bitnet %s", bitnet_version());
    bnp_writer_text(w, "info.converter", converter);
    if (n->licence[0])
        bnp_writer_text(w, "info.licence", n->licence);
    if (s->tokenizer.n_bytes)
        bnp_writer_tokenizer(w, s->tokenizer.data, s->tokenizer.n_bytes);
}

static bool survey_all(const struct import_job *j, struct blocks *b, struct plan *plans,
                       struct bitnet_error *err)
{
    const struct source *s = b->source;
    struct progress bar;
    uint64_t n_done = 0, n_all = 0;
    for (size_t i = 0; i < s->n_tensors; i++)
        n_all += s->tensors[i].n_rows * s->tensors[i].n_cols;
    progress_start(&bar, "survey", "w", n_all, j->quiet);
    bool ok = true;
    for (size_t i = 0; ok && i < s->n_tensors; i++) {
        ok = encode_survey(b, &s->tensors[i], &plans[i], err);
        progress_set(&bar, n_done += s->tensors[i].n_rows * s->tensors[i].n_cols);
    }
    progress_clear(&bar);
    return ok;
}

static bool write_all(const struct import_job *j, struct blocks *b, struct plan *plans,
                      struct bnp_writer *w, struct bitnet_error *err)
{
    const struct source *s = b->source;
    struct progress bar;
    uint64_t n_done = 0, n_all = 0, lines, scales;
    for (size_t i = 0; i < s->n_tensors; i++) {
        const struct source_tensor *t = &s->tensors[i];
        const struct plan *p = &plans[i];
        if (!bnp_writer_declare(w, t->name, p->encoding, p->scale, p->group, t->n_rows, t->n_cols,
                                err))
            return false;
        if (layout_bytes(p->encoding, p->scale, p->group, t->n_rows, t->n_cols, &lines, &scales))
            n_all += lines + scales;
    }
    bool ok = bnp_writer_begin(w, err);
    progress_start(&bar, "convert", "B", n_all, j->quiet);
    for (size_t i = 0; ok && i < s->n_tensors; i++) {
        ok = encode_write(b, &s->tensors[i], &plans[i], w, &bar, n_done, err);
        n_done += plans[i].n_bytes;
    }
    progress_clear(&bar);
    return ok && bnp_writer_finish(w, err);
}

static bool convert(const struct import_job *j, struct blocks *b, struct plan *plans,
                    const char *remark, struct bitnet_error *err)
{
    const struct source *s = b->source;
    struct bnp_writer *w;
    if (!survey_all(j, b, plans, err))
        return false;
    const char *act = family_act(s, plans);
    for (size_t i = 0; i < s->n_tensors; i++)
        if (!encode_choose(&s->tensors[i], act, &j->encode, &plans[i], err))
            return false;
    if (!bnp_writer_open(&w, j->out, err))
        return false;
    write_meta(w, s, act);
    bool ok = write_all(j, b, plans, w, err);
    bnp_writer_close(w);
    if (ok && j->report)
        report_all(j, s, plans, s->net.arch, act, remark);
    return ok;
}

/* Opens j->in, with the layout of its weights settled. */
static bool open_source(struct source *s, const struct import_job *j, char remark[128],
                        struct bitnet_error *err)
{
    struct import_options o = j->import;
    if (!source_open(s, j->in, &o, err))
        return false;
    if (j->note && !j->quiet)
        fprintf(stderr, "bitnet: %s: %s\n", j->in, j->note);
    if (!s->likely_layout)
        return true;
    o.i2s_layout = s->likely_layout;
    source_close(s);
    return i2s_trial(j, &o.i2s_layout, remark, err) && source_open(s, j->in, &o, err);
}

bool import_model(const struct import_job *j, struct bitnet_error *err)
{
    struct source s;
    struct blocks b;
    char remark[128] = "";
    if (is_bnp_file(j->in, err))
        return recode_model(j, err);
    if (!open_source(&s, j, remark, err))
        return false;
    bool ok = blocks_open(&b, &s, j->n_threads, err);
    if (ok) {
        struct plan *plans = calloc(s.n_tensors, sizeof *plans);
        ok = plans ? convert(j, &b, plans, remark, err)
                   : fail(err, BITNET_FAILED, "%s: out of memory", j->in);
        free(plans);
        blocks_close(&b);
    }
    source_close(&s);
    return ok;
}
