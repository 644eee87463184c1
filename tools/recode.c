/* recode.c: a .bnp file into another one: ternary matrices between 2 and 1.6 bits, which loses
 * nothing, and tables of floats into another encoding. Everything else is copied as it lies. */
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "tools/import.h"
#include "tools/modelfile.h"

struct recoding {
    struct model_file in;
    struct source source;
    struct plan *plans; /* [n_tensors] */
    bool *changed;      /* [n_tensors] */
};

static const struct bnp_tensor *tensor_of(const struct source *s, const struct source_tensor *t)
{
    const struct recoding *r = s->impl;
    return &r->in.bnp.tensors[t->index];
}

static bool read_rows(const struct source *s, const struct source_tensor *t, uint64_t row,
                      size_t n_rows, struct rows *to, struct bitnet_error *err)
{
    const struct matrix *m = &tensor_of(s, t)->matrix;
    (void)err;
    for (size_t i = 0; i < n_rows; i++)
        layout_row(to->values + i * m->n_cols, m, row + i);
    return true;
}

static bool is_ternary(const struct matrix *m)
{
    return (m->encoding == ENC_T2 || m->encoding == ENC_T1_6) && m->scale_kind != SCALE_GROUP;
}

static bool is_table(const struct bnp_tensor *t)
{
    return strcmp(t->name, "token_embd") == 0 || strcmp(t->name, "output") == 0;
}

/* Low-bit tables stay; those of floats follow --head where it is given. */
static bool wants_head(const struct import_job *j, const struct bnp_tensor *t)
{
    int e = t->matrix.encoding;
    bool floats = e == ENC_I8 || e == ENC_I8X2 || e == ENC_I6 || e == ENC_I4 || e == ENC_F16;
    return is_table(t) && floats && j->head_given && e != j->encode.head;
}

/* Two encodings of the same integers under the same scales: trits, or bytes. */
static bool same_codes(int a, int b)
{
    bool trits = (a == ENC_T2 || a == ENC_T1_6) && (b == ENC_T2 || b == ENC_T1_6);
    return trits || ((a == ENC_I8 || a == ENC_I8X2) && (b == ENC_I8 || b == ENC_I8X2));
}

static void describe(struct recoding *r, const struct import_job *j, size_t i)
{
    const struct bnp_tensor *t = &r->in.bnp.tensors[i];
    const struct matrix *m = &t->matrix;
    struct source_tensor *to = &r->source.tensors[i];
    struct plan *p = &r->plans[i];
    static const char *const names[] = {"?", "f32", "f16", "i8", "t2", "t1.6", "b1",
                                        "i6", "i4",  "i8x2"};
    *to = (struct source_tensor){.file = j->in, .n_rows = m->n_rows, .n_cols = m->n_cols,
                                 .index = i};
    memcpy(to->name, t->name, sizeof to->name);
    memcpy(to->origin, t->name, sizeof t->name);
    to->from = names[m->encoding <= ENC_I8X2 ? m->encoding : 0];
    to->role = is_table(t) ? ROLE_TABLE : m->encoding == ENC_F32 ? ROLE_GAIN : ROLE_BODY;
    *p = (struct plan){.encoding = (enum encoding)m->encoding, .group = m->group,
                       .scale = (enum scale_kind)m->scale_kind, .n_bytes = t->n_bytes};
    if (j->encode.body && is_ternary(m) && to->role == ROLE_BODY)
        p->encoding = (enum encoding)j->encode.body;
    r->changed[i] = p->encoding != (enum encoding)m->encoding;
    if (wants_head(j, t)) {
        r->changed[i] = true;
        if (same_codes(m->encoding, j->encode.head))
            p->encoding = (enum encoding)j->encode.head;
        else
            encode_table(p, j->encode.head);
    }
}

static void copy_meta(const struct bnp *in, struct bnp_writer *w)
{
    const char *key;
    for (size_t i = 0; (key = bnp_meta_key(in, i)); i++) {
        uint64_t u;
        double f;
        if (bnp_text(in, key))
            bnp_writer_text(w, key, bnp_text(in, key));
        else if (bnp_u64(in, key, &u))
            bnp_writer_u64(w, key, u);
        else if (bnp_f64(in, key, &f))
            bnp_writer_f64(w, key, f);
    }
    if (in->tokenizer_bytes)
        bnp_writer_tokenizer(w, in->tokenizer, in->tokenizer_bytes);
}

/* The lines of a matrix in the other encoding of its codes, then its scales as they are. */
static bool write_codes(const char *path, const struct bnp_tensor *t, struct plan *p,
                        struct bnp_writer *w, struct bitnet_error *err)
{
    const struct matrix *m = &t->matrix;
    enum encoding from = (enum encoding)m->encoding;
    size_t from_bytes = layout_block_bytes(from, 0, m->n_cols);
    size_t to_bytes = layout_block_bytes(p->encoding, 0, m->n_cols);
    size_t n_blocks = layout_blocks(m->n_rows);
    int8_t *codes = malloc(BLOCK_ROWS * m->n_cols);
    uint8_t *block = malloc(to_bytes);
    bool ok = codes && block ? true : fail(err, BITNET_FAILED, "%s: out of memory", path);
    for (size_t b = 0; ok && b < n_blocks; b++) {
        if (!layout_unpack(codes, NULL, m->lines + b * from_bytes, from, 0, m->n_cols))
            ok = fail(err, BITNET_BAD, "%s: tensor '%s', row %zu and on: a code without meaning",
                      path, t->name, b * BLOCK_ROWS);
        if (ok) {
            layout_pack(block, p->encoding, 0, codes, NULL, m->n_cols);
            ok = bnp_writer_data(w, block, to_bytes, err);
        }
    }
    free(codes);
    free(block);
    uint64_t lines = (uint64_t)n_blocks * from_bytes;
    p->n_bytes = n_blocks * to_bytes + (t->n_bytes - lines);
    return ok && (t->n_bytes == lines ||
                  bnp_writer_data(w, t->data + lines, t->n_bytes - lines, err));
}

static bool write_all(struct recoding *r, const struct import_job *j, struct blocks *b,
                      struct bnp_writer *w, struct bitnet_error *err)
{
    struct progress bar;
    uint64_t n_done = 0;
    const struct source *s = &r->source;
    copy_meta(&r->in.bnp, w);
    for (size_t i = 0; i < s->n_tensors; i++)
        if (!bnp_writer_declare(w, s->tensors[i].name, r->plans[i].encoding, r->plans[i].scale,
                                r->plans[i].group, s->tensors[i].n_rows, s->tensors[i].n_cols,
                                err))
            return false;
    bool ok = bnp_writer_begin(w, err);
    progress_start(&bar, "convert", "B", r->in.bnp.n_bytes, j->quiet);
    for (size_t i = 0; ok && i < s->n_tensors; i++) {
        const struct bnp_tensor *t = &r->in.bnp.tensors[i];
        ok = bnp_verify(&r->in.bnp, i, err);
        if (ok && !r->changed[i])
            ok = bnp_writer_data(w, t->data, t->n_bytes, err);
        else if (ok && same_codes(t->matrix.encoding, r->plans[i].encoding))
            ok = write_codes(s->path, t, &r->plans[i], w, err);
        else if (ok)
            ok = encode_write(b, &s->tensors[i], &r->plans[i], w, &bar, n_done, err);
        progress_set(&bar, n_done += t->n_bytes);
    }
    progress_clear(&bar);
    return ok && bnp_writer_finish(w, err);
}

/* 1.6-bit lines of 20 columns cannot meet activations in groups. */
static bool check_act(const struct recoding *r, const struct import_job *j, struct bitnet_error *err)
{
    const char *act = bnp_text(&r->in.bnp, "arch.act");
    if (j->encode.body == ENC_T1_6 && act && strncmp(act, "i8g", 3) == 0)
        return fail(err, BITNET_BAD, "%s: its activations are %s, in groups, which t1.6 cannot "
                    "meet: use --body t2", j->in, act);
    if (j->import.act || j->import.ffn_act)
        return fail(err, BITNET_USAGE, "%s: a .bnp file says what its activations are: --act and "
                    "--ffn-act are for foreign files", j->in);
    return true;
}

static bool recode(struct recoding *r, const struct import_job *j, struct bitnet_error *err)
{
    struct source *s = &r->source;
    struct blocks b;
    struct bnp_writer *w;
    s->n_tensors = r->in.bnp.n_tensors;
    s->tensors = calloc(s->n_tensors, sizeof *s->tensors);
    r->plans = calloc(s->n_tensors, sizeof *r->plans);
    r->changed = calloc(s->n_tensors, sizeof *r->changed);
    if (!s->tensors || !r->plans || !r->changed)
        return fail(err, BITNET_FAILED, "%s: out of memory", j->in);
    for (size_t i = 0; i < s->n_tensors; i++)
        describe(r, j, i);
    if (!check_act(r, j, err) || !blocks_open(&b, s, j->n_threads, err))
        return false;
    bool ok = bnp_writer_open(&w, j->out, err);
    if (ok) {
        ok = write_all(r, j, &b, w, err);
        bnp_writer_close(w);
    }
    blocks_close(&b);
    if (ok && j->report)
        report_all(j, s, r->plans, bnp_text(&r->in.bnp, "arch.name"),
                   bnp_text(&r->in.bnp, "arch.act"), "");
    return ok;
}

bool recode_model(const struct import_job *j, struct bitnet_error *err)
{
    struct recoding r = {.source = {.path = j->in, .read = read_rows}};
    r.source.impl = &r;
    if (!model_file_open(&r.in, j->in, err))
        return false;
    bool ok = recode(&r, j, err);
    free(r.plans);
    free(r.changed);
    free(r.source.tensors);
    model_file_close(&r.in);
    return ok;
}
