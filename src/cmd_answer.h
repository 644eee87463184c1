/* cmd_answer.h: from the bytes of tokens to the text that may be printed. Holds back what
 * is not yet a whole character, or may be the start of a stop text, and ends the answer
 * where a stop text, a line, a sentence or a number of bytes says so. Knows no model. */
#ifndef BITNET_CMD_ANSWER_H
#define BITNET_CMD_ANSWER_H

#include "src/base.h"

enum finish {
    FINISH_NONE, /* goes on */
    FINISH_EOS,  /* the model ended it */
    FINISH_STOP,
    FINISH_UNTIL,
    FINISH_LENGTH,
    FINISH_CONTEXT,
    FINISH_TIME,
    FINISH_BYTES,
    FINISH_INTERRUPT,
};
const char *finish_name(enum finish f);
bool finish_is_limit(enum finish f); /* the answer was cut, as --strict means it */

enum until { UNTIL_END, UNTIL_NEWLINE, UNTIL_SENTENCE };
struct answer_rules {
    const char *const *stops; /* not empty ones */
    size_t n_stops;
    enum until until;
    uint64_t max_bytes; /* 0: no limit */
};

struct answer {
    struct answer_rules rules;
    struct buffer raw;  /* bytes of a character that is not whole yet */
    struct buffer text; /* whole characters */
    size_t n_ready;     /* of text: may be printed */
    size_t n_start;     /* of text: blanks dropped in front, under until */
    size_t n_searched;  /* of text: no stop text starts before this */
    enum finish finish;
};
void answer_begin(struct answer *a, const struct answer_rules *rules);
void answer_add(struct answer *a, const char *bytes, size_t n_bytes);
/* No more comes: what was held back is text after all, but for half a character. */
void answer_end(struct answer *a, enum finish finish);
void answer_free(struct answer *a);

#endif
