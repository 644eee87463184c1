/* cmd_out.h: standard output as it streams, and the JSON of answers. */
#ifndef BITNET_CMD_OUT_H
#define BITNET_CMD_OUT_H

#include "src/cmd_choose.h"

/* Text for standard output; flushed at once on a terminal, else every 50 ms, so that a
 * reader in a pipe sees it grow and a file is not written by the token. False: it cannot
 * be written. */
bool out_text(const void *text, size_t n_bytes, struct bitnet_error *err);
bool out_flush(struct bitnet_error *err);
/* Is fd a terminal that takes colour and cursor keys? when: auto, always, never. */
bool out_color(int fd, const char *when);

/* Appends ", "key": ..." to an object; the first key comes without the comma. */
void out_key(struct buffer *b, const char *key);
void out_string(struct buffer *b, const char *key, const char *text, size_t n_bytes);
void out_number(struct buffer *b, const char *key, double value); /* null when not finite */
void out_whole(struct buffer *b, const char *key, int64_t value);
void out_ids(struct buffer *b, const char *key, const struct bitnet_ids *ids);

/* The keys of a decision between choices, without the braces. */
void out_choices(struct buffer *b, const struct host *h, const struct choices *c);
/* The keys of an answer, as the man page lists them, without the braces. Times are left
 * out where the bytes must not depend on them. */
void out_answer(struct buffer *b, const struct host *h, const struct job *j, uint64_t seed,
                bool times);

#endif
