/* infile.h: a foreign file, open for reading at any offset and from any thread.
 *
 * Foreign files are read in pieces and not mapped: one that shrinks underneath gives an error
 * line instead of a signal, and peak memory stays that of the pieces. */
#ifndef TOOLS_INFILE_H
#define TOOLS_INFILE_H

#include "src/base.h"

struct infile {
    char *path;
    uint64_t n_bytes;
    int fd;
};

/* Regular files only. A file that is surely no model (empty, an LFS pointer, a web page, a zip or
 * pickle, an archive) is refused here, with what to do instead. */
bool infile_open(struct infile *f, const char *path, struct bitnet_error *err);
void infile_close(struct infile *f);
/* Exactly n_bytes from off on. */
bool infile_read(const struct infile *f, uint64_t off, void *to, size_t n_bytes,
                 struct bitnet_error *err);
/* Adds the whole file to h. */
bool infile_hash(const struct infile *f, struct hasher *h, struct bitnet_error *err);

/* dir + "/" + name, to be freed; NULL when memory ran out. */
char *path_join(const char *dir, const char *name);
bool path_is_dir(const char *path);
bool path_is_file(const char *path);
/* A file that need not be there; an error when something is there that cannot be read. */
bool path_optional(const char *path, bool *there, struct bitnet_error *err);
const char *path_base(const char *path); /* what follows the last slash */

#endif
