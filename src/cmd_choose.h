/* cmd_choose.h: which of a few given answers does the model find likeliest? Each is
 * scored by the exact log-probability of its tokens after the prompt, over one reading of
 * the prompt. */
#ifndef BITNET_CMD_CHOOSE_H
#define BITNET_CMD_CHOOSE_H

#include "src/cmd_prompt.h"

enum { CHOOSE_MAX = 64, CHOOSE_SEQS = 5, CHOOSE_ROWS = 32 };

struct choice {
    char *text;
    double logprob;
    size_t n_tokens;
};
struct choices {
    struct choice items[CHOOSE_MAX];
    size_t n;
    double margin;
    size_t best, second; /* out */
    bool undecided;      /* out: closer than margin */
    size_t n_prompt;     /* out: tokens of the prompt */
    size_t n_read;       /* out: tokens that the network read for this answer */
};
/* From --choices, or yes and no. */
bool choices_open(struct choices *c, const struct args *a, bool yesno, struct bitnet_error *err);
void choices_close(struct choices *c);

/* Scores the choices behind the prompt. Sequence 0 may hold the start of an earlier
 * prompt, whose ids stand in *kept: what both share is not read again. The session has
 * CHOOSE_SEQS sequences and CHOOSE_ROWS rows of logits. */
bool choices_score(struct choices *c, struct host *h, struct prompt *p, struct bitnet_ids *kept,
                   struct bitnet_error *err);

#endif
