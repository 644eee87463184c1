/* cache.h: foreign models given where a .bnp file is wanted. They are converted once into the
 * user's cache ($XDG_CACHE_HOME/bitnet, or ~/.cache/bitnet) and found there by their content the
 * next time. Two processes that want the same model convert it once: the second one waits. */
#ifndef TOOLS_CACHE_H
#define TOOLS_CACHE_H

#include "src/base.h"

struct cached {
    char *path;     /* of a .bnp file; NULL when none was named */
    bool temporary; /* cache_close removes it */
};

/* path: anything that `bitnet convert` takes, a .bnp file, or NULL. no_cache: convert into a
 * temporary file. A conversion says on stderr where its result is, unless quiet. */
bool cache_open(struct cached *c, const char *path, bool no_cache, bool quiet,
                struct bitnet_error *err);
/* Once the model is open: a temporary file loses its name and vanishes with its last user. */
void cache_close(struct cached *c);

#endif
