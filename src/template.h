/* template.h: the chat templates that are built in. A template turns messages into one
 * text in which the marks of the template itself stand apart from what people wrote, so
 * that a user who types <|eot_id|> types seven letters and signs and never a control
 * token. */
#ifndef BITNET_TEMPLATE_H
#define BITNET_TEMPLATE_H

#include "src/base.h"

enum role { ROLE_SYSTEM, ROLE_USER, ROLE_ASSISTANT, N_ROLES };
const char *role_name(enum role r); /* "system", "user", "assistant" */

struct template {
    const char *name;
    struct {
        const char *before, *after;
    } roles[N_ROLES];
    const char *reply; /* opens the answer */
    bool trim;         /* blanks around a message are dropped */
};

/* bitnet, llama3, chatml, falcon3, falcon-e, plain; or NULL. */
const struct template *template_find(const char *name);
/* The i-th of them, or NULL: for lists. */
const struct template *template_at(size_t i);
/* The name of the template that a model's Jinja text stands for, told by its marks; NULL
 * when it is none of ours. */
const char *template_detect(const char *jinja);

/* The rendered text. A mark, such as <|eot_id|>, is a piece of its own and the only thing
 * that may become a control token; what stands between two marks is one piece. */
struct rendered {
    struct buffer text;
    struct piece {
        size_t end; /* offset into text; it starts where the one before ends */
        bool is_mark;
    } *pieces;
    size_t n_pieces, n_alloc;
    bool failed; /* memory ran out */
};
void template_message(struct rendered *r, const struct template *t, enum role role,
                      const char *text, size_t n_bytes);
void template_close(struct rendered *r, const struct template *t, enum role role); /* its end */
void template_reply(struct rendered *r, const struct template *t);
void rendered_add(struct rendered *r, const char *text, size_t n_bytes, bool is_mark);
void rendered_free(struct rendered *r);

#endif
