/* cmd_file.h: an output file that is whole or not there: written beside its target and renamed. */
#ifndef BITNET_CMD_FILE_H
#define BITNET_CMD_FILE_H

#include <stdio.h>

#include "src/base.h"

struct out_file {
    FILE *stream;
    const char *path; /* "-": standard output */
    char *temporary;  /* NULL: written in place, as for a pipe or a device */
};
bool out_file_open(struct out_file *f, const char *path, struct bitnet_error *err);
bool out_file_write(struct out_file *f, const void *bytes, size_t n_bytes,
                    struct bitnet_error *err);
/* Renames when err holds no failure, else removes; false when there was or is one. */
bool out_file_close(struct out_file *f, struct bitnet_error *err);

#endif
