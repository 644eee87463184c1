/* cmd_choose.c: exact scores of given answers.
 *
 * Prompt and answer are tokenized as one text, since a token may reach across their
 * border. The score of an answer is the sum of ln p over its ids from the first place on
 * where the ids with any of the answers differ from those of the prompt alone: the same
 * place for all, so that the scores compare, and at most the end of the prompt, so that
 * they are whole. */
#include "src/cmd_choose.h"

#include <stdlib.h>
#include <string.h>

static bool add(struct choices *c, const char *text, size_t n, struct bitnet_error *err)
{
    if (n == 0)
        return fail(err, BITNET_USAGE, "--choices: a choice is empty");
    if (c->n == CHOOSE_MAX)
        return fail(err, BITNET_USAGE, "--choices: at most %d", CHOOSE_MAX);
    char *copy = malloc(n + 1), *to = copy;
    if (copy == NULL)
        return fail(err, BITNET_FAILED, "out of memory for the choices");
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '\\' && i + 1 < n && text[i + 1] == ',')
            i++;
        *to++ = text[i];
    }
    *to = '\0';
    for (size_t i = 0; i < c->n; i++) {
        if (strcmp(c->items[i].text, copy) == 0) {
            fail(err, BITNET_USAGE, "--choices: '%s' stands there twice", copy);
            free(copy);
            return false;
        }
    }
    c->items[c->n++].text = copy;
    return true;
}

static bool add_list(struct choices *c, const char *list, struct bitnet_error *err)
{
    const char *from = list;
    for (const char *p = list;; p++) {
        if (*p == '\\' && p[1] == ',') {
            p++;
        } else if (*p == ',' || *p == '\0') {
            if (!add(c, from, (size_t)(p - from), err))
                return false;
            from = p + 1;
            if (*p == '\0')
                return true;
        }
    }
}

bool choices_open(struct choices *c, const struct args *a, bool yesno, struct bitnet_error *err)
{
    const char *list;
    *c = (struct choices){.margin = args_real(a, "--margin")};
    if (yesno)
        return add(c, "yes", 3, err) && add(c, "no", 2, err);
    for (size_t i = 0; (list = args_nth(a, "--choices", i)) != NULL; i++) {
        if (!add_list(c, list, err))
            return false;
    }
    return c->n >= 2 || fail(err, BITNET_USAGE, "--choices: needs two or more, with commas");
}

void choices_close(struct choices *c)
{
    for (size_t i = 0; i < c->n; i++)
        free(c->items[i].text);
    c->n = 0;
}

static size_t n_common(const struct bitnet_ids *a, const struct bitnet_ids *b)
{
    size_t n = 0;
    while (n < a->n_ids && n < b->n_ids && a->ids[n] == b->ids[n])
        n++;
    return n;
}

/* Ids of the rendered prompt with the answer behind it. */
static bool encode_with(const struct host *h, const struct rendered *prompt, const char *answer,
                        struct bitnet_ids *ids, struct bitnet_error *err)
{
    struct rendered r = {0};
    size_t start = 0, n = prompt->text.n_bytes;
    const char *text = n > 0 ? (const char *)prompt->text.data : "";
    for (size_t i = 0; i < prompt->n_pieces; i++) {
        rendered_add(&r, text + start, prompt->pieces[i].end - start, prompt->pieces[i].is_mark);
        start = prompt->pieces[i].end;
    }
    bool ends_in_mark = prompt->n_pieces > 0 && prompt->pieces[prompt->n_pieces - 1].is_mark;
    if (n > 0 && !ends_in_mark && strchr(" \t\n", text[n - 1]) == NULL)
        rendered_add(&r, " ", 1, false);
    rendered_add(&r, answer, strlen(answer), false);
    bool good = host_encode(h, &r, true, ids, err);
    rendered_free(&r);
    return good;
}

/* Reads ids[from..to) into a sequence; the row of the last one is wanted. */
static bool read_ids(struct host *h, uint32_t seq, const struct bitnet_ids *ids, size_t from,
                     size_t to, struct bitnet_error *err)
{
    struct bitnet_input in[128];
    while (from < to) {
        size_t n = to - from < h->max_batch ? to - from : h->max_batch;
        for (size_t i = 0; i < n; i++)
            in[i] = (struct bitnet_input){ids->ids[from + i], seq, from + i + 1 == to};
        if (!host_eval(h, in, n, err))
            return false;
        from += n;
    }
    return true;
}

/* Adds to each choice ln p of its ids behind the first, each from the row of the token
 * before it. Choices are read beside each other, as many as there are sequences and
 * rows. */
static bool score_tails(struct choices *c, struct host *h, const struct bitnet_ids *all,
                        size_t n_prompt, struct bitnet_error *err)
{
    struct bitnet_input in[CHOOSE_ROWS];
    struct {
        struct choice *choice;
        int32_t next;
    } rows[CHOOSE_ROWS];
    size_t i = 0, at = n_prompt;
    while (i < c->n) {
        size_t n_in = 0, n_seqs = 0;
        while (i < c->n && n_in < CHOOSE_ROWS && n_seqs < CHOOSE_SEQS - 1) {
            uint32_t seq = 1 + (uint32_t)(i % (CHOOSE_SEQS - 1));
            if (at == n_prompt)
                bitnet_seq_copy(h->session, seq, 0, n_prompt);
            for (; at + 1 < all[i].n_ids && n_in < CHOOSE_ROWS; at++, n_in++) {
                in[n_in] = (struct bitnet_input){all[i].ids[at], seq, true};
                rows[n_in].choice = &c->items[i];
                rows[n_in].next = all[i].ids[at + 1];
            }
            if (at + 1 == all[i].n_ids) {
                i++;
                at = n_prompt;
            }
            n_seqs++;
        }
        if (n_in > 0 && !host_eval(h, in, n_in, err))
            return false;
        for (size_t k = 0; k < n_in; k++)
            rows[k].choice->logprob += bitnet_logprob(bitnet_logits(h->session, k), h->n_vocab,
                                                      rows[k].next);
    }
    return true;
}

static void decide(struct choices *c)
{
    c->best = 0;
    for (size_t i = 1; i < c->n; i++) {
        if (c->items[i].logprob > c->items[c->best].logprob)
            c->best = i;
    }
    c->second = c->best == 0;
    for (size_t i = 0; i < c->n; i++) {
        if (i != c->best && c->items[i].logprob > c->items[c->second].logprob)
            c->second = i;
    }
    c->undecided = c->items[c->best].logprob - c->items[c->second].logprob < c->margin;
}

/* all[i]: the ids with choice i; all[n]: of the prompt alone. */
static bool score_all(struct choices *c, struct host *h, const struct bitnet_ids *all,
                      struct bitnet_ids *kept, struct bitnet_error *err)
{
    const struct bitnet_ids *prompt = &all[c->n];
    size_t n_prompt = prompt->n_ids;
    for (size_t i = 0; i < c->n; i++) {
        size_t n = n_common(prompt, &all[i]);
        n_prompt = n < n_prompt ? n : n_prompt;
    }
    if (n_prompt == 0)
        return fail(err, BITNET_USAGE, "choices need a prompt: give -p");
    if (n_prompt > h->n_ctx)
        return fail(err, BITNET_FAILED, "the prompt has %zu tokens, the context holds %zu%s",
                    n_prompt, h->n_ctx, host_remedy(h));
    size_t n_kept = n_common(kept, prompt);
    n_kept = n_kept < n_prompt ? n_kept : n_prompt - 1; /* the last row must be computed */
    bitnet_seq_cut(h->session, 0, n_kept);
    kept->n_ids = 0;
    if (!read_ids(h, 0, prompt, n_kept, n_prompt, err))
        return false;
    for (size_t i = 0; i < c->n; i++) {
        c->items[i].n_tokens = all[i].n_ids - n_prompt;
        c->items[i].logprob = bitnet_logprob(bitnet_logits(h->session, 0), h->n_vocab,
                                             all[i].ids[n_prompt]);
    }
    c->n_prompt = n_prompt;
    c->n_read = n_prompt - n_kept;
    for (size_t i = 0; i < c->n; i++) {
        c->n_read += all[i].n_ids - n_prompt - 1;
        if (all[i].n_ids > h->n_ctx)
            return fail(err, BITNET_FAILED, "prompt and '%.40s' have %zu tokens, the context holds "
                        "%zu%s", c->items[i].text, all[i].n_ids, h->n_ctx, host_remedy(h));
    }
    if (!score_tails(c, h, all, n_prompt, err))
        return false;
    /* Sequence 0 still holds the prompt: the next one may share its start. */
    for (size_t i = 0; i < n_prompt && kept->n_alloc >= n_prompt; i++)
        kept->ids[kept->n_ids++] = prompt->ids[i];
    decide(c);
    return true;
}

bool choices_score(struct choices *c, struct host *h, struct prompt *p, struct bitnet_ids *kept,
                   struct bitnet_error *err)
{
    struct bitnet_ids all[CHOOSE_MAX + 1] = {{0}};
    struct rendered r = {0};
    bool good = prompt_encode(h, p, &r, &all[c->n], err);
    for (size_t i = 0; i < c->n && good; i++)
        good = encode_with(h, &r, c->items[i].text, &all[i], err);
    if (good && kept->n_alloc < h->n_ctx) {
        int32_t *ids = realloc(kept->ids, h->n_ctx * sizeof *ids);
        if (ids != NULL) {
            kept->ids = ids;
            kept->n_alloc = h->n_ctx;
        }
    }
    good = good && score_all(c, h, all, kept, err);
    for (size_t i = 0; i <= c->n; i++)
        bitnet_ids_free(&all[i]);
    rendered_free(&r);
    return good;
}
