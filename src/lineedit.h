/* lineedit.h: one line from a terminal, with cursor keys, history and paste of many
 * lines; or plain reading where the terminal is dumb or none. Knows nothing of chats. */
#ifndef BITNET_LINEEDIT_H
#define BITNET_LINEEDIT_H

#include "src/base.h"

enum line_result { LINE_TEXT, LINE_END, LINE_INTERRUPTED };

enum { LINE_HISTORY = 500 };
struct lineedit {
    bool plain;           /* no keys: lines as the terminal or a pipe gives them */
    bool prompts;         /* print the prompt */
    char *history_path;   /* NULL: none is kept on disk */
    char *history[LINE_HISTORY];
    size_t n_history, at; /* at: the entry on show, n_history is the line being typed */
    struct buffer line;   /* the result; holds no NUL at its end */
    size_t cursor, n_left; /* byte offsets: of the cursor, of the first byte on show */
    struct buffer typed;  /* the new line while an old one is on show */
    bool pasting;
    bool pasted; /* the line starts with what was pasted */
    /* Has a signal come? Asked once keys are on: a Ctrl-C just before is a signal, not a key, and
     * no read would ever be interrupted by it. NULL: nobody knows. */
    int (*signalled)(void);
};
/* history_name: a file in the user's state folder (XDG_STATE_HOME), or NULL. */
void lineedit_open(struct lineedit *e, const char *history_name);
/* The prompt is plain ASCII; colour is put around it when asked. */
enum line_result lineedit_read(struct lineedit *e, const char *prompt, bool color);
void lineedit_remember(struct lineedit *e, const char *text, size_t n_bytes);
void lineedit_close(struct lineedit *e);

#endif
