/* cmd_prompt.h: what is asked: from options, files and standard input to token ids. */
#ifndef BITNET_CMD_PROMPT_H
#define BITNET_CMD_PROMPT_H

#include "src/cmd_host.h"

/* Where text comes from when no file is named: standard input counts when it is a file, a
 * pipe or a socket; a terminal or /dev/null does not, nor where the model comes from it. */
bool prompt_stdin_has_text(const struct args *a);
/* All of a file, "-" for standard input; the line end behind it, \n or \r\n, is dropped. */
bool prompt_read_file(const char *path, struct buffer *text, struct bitnet_error *err);

enum fit { FIT_ERROR, FIT_HEAD, FIT_TAIL, FIT_MIDDLE };
struct prompt {
    const char *instruction; /* or NULL: the text is all there is */
    const char *text;        /* or NULL */
    size_t n_text;
    const char *system; /* or NULL */
    size_t n_system;
    enum fit fit;
    size_t n_reserve; /* tokens kept free for the answer when the text is cut */
    bool was_cut;     /* out */
};
/* False, with advice, where neither an instruction nor a text is there. */
bool prompt_given(const struct prompt *p, struct bitnet_error *err);
/* What the options say of it; texts are the caller's to fill in. */
bool prompt_options(struct host *h, struct prompt *p, struct bitnet_error *err);
/* Room for n_predict tokens of answer, -1 for any number, where the text is cut. */
bool prompt_reserve(const struct host *h, struct prompt *p, int64_t n_predict,
                    struct bitnet_error *err);
/* The message in the template's frame and its ids, the text cut to the context as fit
 * says. An empty text is none, unless the instruction has a {} for it. */
bool prompt_encode(const struct host *h, struct prompt *p, struct rendered *r,
                   struct bitnet_ids *ids, struct bitnet_error *err);
/* An option's text, and that of -p or the operand, with --escape applied; owned by the
 * caller, NULL where none is given. */
bool prompt_text(const struct args *a, const char *name, char **out, struct bitnet_error *err);
bool prompt_instruction(const struct args *a, char **out, struct bitnet_error *err);

#endif
