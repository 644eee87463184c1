/* cmd_file.h: where a command's result goes: standard output, a device or pipe, or a file
 * that appears whole or not at all. */
#ifndef BITNET_CMD_FILE_H
#define BITNET_CMD_FILE_H

#include <stdio.h>

#include "src/map.h"

struct out_file {
    bool open;
    const char *path;
    FILE *stream; /* NULL: a file, through output */
    struct output output;
};
/* path "-": standard output. */
bool out_file_open(struct out_file *f, const char *path, struct bitnet_error *err);
bool out_file_write(struct out_file *f, const void *bytes, size_t n_bytes,
                    struct bitnet_error *err);
/* Puts the file in its place when err holds no failure, else leaves what was there; false
 * when there was or is one. */
bool out_file_close(struct out_file *f, struct bitnet_error *err);

#endif
