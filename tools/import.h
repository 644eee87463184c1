/* import.h: a foreign model, or a .bnp file, into a .bnp file. What `bitnet convert` does, and the
 * cache of converted models. */
#ifndef TOOLS_IMPORT_H
#define TOOLS_IMPORT_H

#include <stdio.h>

#include "tools/encode.h"
#include "tools/source.h"

struct import_job {
    const char *in, *out;
    struct import_options import;
    struct encode_options encode;
    bool head_given; /* by the user: a .bnp file's tables change only then */
    int n_threads;
    bool quiet;       /* no progress bar, no note */
    const char *note; /* for stderr, as soon as j->in is known to be a model; NULL: none */
    FILE *report;     /* NULL: none */
    bool verbose;     /* the report has a line for each tensor */
};

bool import_model(const struct import_job *j, struct bitnet_error *err);
bool recode_model(const struct import_job *j, struct bitnet_error *err); /* j->in is a .bnp file */

/* remark: a line more, or "". */
void report_all(const struct import_job *j, const struct source *s, const struct plan *plans,
                const char *arch, const char *act, const char *remark);

#endif
