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
    int n_threads;
    bool quiet;   /* no progress bar */
    FILE *report; /* NULL: none */
    bool verbose; /* the report has a line for each tensor */
};

bool import_model(const struct import_job *j, struct bitnet_error *err);

/* One line of the report. */
void report_tensor(FILE *to, const struct source_tensor *t, const struct plan *p);

#endif
