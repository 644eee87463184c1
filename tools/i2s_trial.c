/* i2s_trial.c: see i2s_trial.h. A loss is told as a share of ln(vocabulary), which guessing costs.
 * Under its own layout a model needs a third of that or less for an English sentence; with permuted
 * columns it knows nothing, and needs all of it or more. */
#include "tools/i2s_trial.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TOKENS_READ = 64, ROWS = 16, N_LAYOUTS = 3 };
static const double most_loss = 0.7, least_lead = 0.1; /* of a layout that is the right one */

static const char text[] =
    "The sun came up over the hill and the birds began to sing. A little girl looked out of the "
    "window and smiled. She put on her shoes, took her red coat and went outside to play with her "
    "dog in the garden. Her mother called her name and told her to come home before it was dark.";

/* Mean -ln p of ids[1..n_ids), as a share. */
static bool read_text(bitnet_session *s, size_t n_vocab, const int32_t *ids, size_t n_ids,
                      double *loss, struct bitnet_error *err)
{
    double sum = 0;
    for (size_t at = 0, n; at + 1 < n_ids; at += n) {
        struct bitnet_input in[ROWS];
        n = n_ids - 1 - at < ROWS ? n_ids - 1 - at : ROWS;
        for (size_t i = 0; i < n; i++)
            in[i] = (struct bitnet_input){ids[at + i], 0, true};
        if (!bitnet_eval(s, in, n, err))
            return false;
        for (size_t i = 0; i < n; i++)
            sum -= bitnet_logprob(bitnet_logits(s, i), n_vocab, ids[at + i + 1]);
    }
    *loss = sum / (double)(n_ids - 1) / log((double)n_vocab);
    return true;
}

/* The loss of the model in the file; false where it cannot read the text at all. */
static bool model_loss(bitnet_engine *e, const char *path, double *loss, struct bitnet_error *err)
{
    const struct bitnet_session_options options = {
        .n_ctx = MAX_TOKENS_READ, .n_seqs = 1, .max_batch = ROWS, .max_logits = ROWS};
    bitnet_model *m = NULL;
    bitnet_session *s = NULL;
    struct bitnet_ids ids = {0};
    bool ok = bitnet_model_open(&m, path, err) &&
              bitnet_encode(bitnet_model_tokenizer(m), text, sizeof text - 1, BITNET_BOS, &ids,
                            err) &&
              bitnet_session_open(&s, e, m, &options, err);
    size_t n_ids = ids.n_ids < MAX_TOKENS_READ ? ids.n_ids : MAX_TOKENS_READ;
    ok = ok && n_ids > 1 &&
         read_text(s, bitnet_model_shape(m)->n_vocab, ids.ids, n_ids, loss, err);
    bitnet_session_close(s);
    bitnet_ids_free(&ids);
    bitnet_model_close(m);
    return ok;
}

static bool layout_loss(const struct import_job *j, bitnet_engine *e, const char *layout,
                        const char *path, double *loss)
{
    struct bitnet_error none = {0};
    struct import_job trial = *j;
    trial.out = path;
    trial.report = NULL;
    trial.note = NULL;
    trial.import.i2s_layout = layout;
    bool ok = import_model(&trial, &none) && model_loss(e, path, loss, &none);
    remove(path);
    return ok;
}

bool i2s_trial(const struct import_job *j, const char **layout, char remark[128],
               struct bitnet_error *err)
{
    static const char *const layouts[N_LAYOUTS] = {"128", "64", "4row"};
    const char *first = NULL;
    double best = INFINITY, next = INFINITY;
    bitnet_engine *e;
    size_t n_path = strlen(j->out) + sizeof ".trial.tmp";
    char *path = malloc(n_path);
    if (!path)
        return fail(err, BITNET_FAILED, "%s: out of memory", j->in);
    if (!bitnet_engine_open(&e, NULL, j->n_threads, err)) {
        free(path);
        return false;
    }
    snprintf(path, n_path, "%s.trial.tmp", j->out);
    for (size_t i = 0; i < N_LAYOUTS; i++) {
        double loss = INFINITY;
        if (!layout_loss(j, e, layouts[i], path, &loss) || isnan(loss))
            continue;
        next = loss < best ? best : loss < next ? loss : next;
        if (loss < best) {
            best = loss;
            first = layouts[i];
        }
    }
    if (first && best <= most_loss && next - best >= least_lead) {
        *layout = first;
        snprintf(remark, 128, "I2_S layout %s, by its loss on a text: %.0f %% of guessing, "
                 "others %.0f %% or more", *layout, 100 * best, 100 * next);
    } else {
        snprintf(remark, 128, "I2_S layout %s, by its weights; no layout predicts a text better",
                 *layout);
    }
    bitnet_engine_close(e);
    free(path);
    return true;
}
