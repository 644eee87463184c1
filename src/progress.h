/* progress.h: one line on stderr that says how far a long command is, how fast and how long it
 * will take yet. Nothing is printed when stderr is no terminal. */
#ifndef BITNET_PROGRESS_H
#define BITNET_PROGRESS_H

#include "src/base.h"

struct progress {
    const char *what; /* "verify model.bnp" */
    const char *unit; /* "B" prints 1.2 GB/s, others count: "tok", "records" */
    uint64_t n_total; /* 0: unknown */
    uint64_t start_ns, shown_ns;
    bool on;
};

/* quiet: print nothing even on a terminal. */
void progress_start(struct progress *p, const char *what, const char *unit, uint64_t n_total,
                    bool quiet);
void progress_set(struct progress *p, uint64_t n_done); /* call often: it prints rarely */
void progress_clear(struct progress *p); /* wipes the line: before other output, and at the end */

#endif
