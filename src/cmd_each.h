/* cmd_each.h: many records through one pass over the weights. */
#ifndef BITNET_CMD_EACH_H
#define BITNET_CMD_EACH_H

#include "src/cmd_choose.h"

/* What one record asks for; the options, changed by the keys of a JSON record. */
struct record {
    struct prompt prompt;
    struct bitnet_sampling sampling;
    struct answer_rules rules;
    int64_t n_predict;
    bool own_sampling;   /* differs from the options in more than the seed */
    struct buffer bytes; /* what the prompt's pointers point into */
    struct buffer id;    /* as JSON, empty without one */
    const char *stops[16];
};
/* Reads a line of text, or a JSON object. */
bool record_read(struct record *r, const struct host *h, const struct prompt *prompt, bool json,
                 const char *bytes, size_t n_bytes, struct bitnet_error *err);
void record_free(struct record *r);

bool each_is_wanted(const struct args *a); /* --each-line, -0 or --jsonl */
int each_main(const struct args *a);
int chat_main(const struct args *a);

#endif
