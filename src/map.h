/* map.h: files as memory, and files written whole. The only module that knows mmap, and how
 * systems differ in handling files. */
#ifndef BITNET_MAP_H
#define BITNET_MAP_H

#include "src/base.h"

/* Read-only bytes of a file. Whoever cuts the file while it is mapped gets SIGBUS; our own output
 * files are renamed into place, never rewritten, so an open model stays whole. */
struct map {
    const uint8_t *bytes; /* page-aligned */
    uint64_t n_bytes;
    bool mapped; /* false: stays, as part of the binary or standard input */
};

/* Maps a regular file; "-" is standard input, which a pipe may be too and which nothing can be read
 * from afterwards. Missing or unreadable is BITNET_FAILED; empty or a folder is BITNET_BAD. */
bool map_open(struct map *m, const char *path, struct bitnet_error *err);
/* The model that the binary carries; false when it carries none. */
bool map_embedded(struct map *m);
void map_close(struct map *m);

/* All of it will be read once, front to back: verifying a file that is not in memory yet takes
 * less than half the time. */
void map_read_once(const struct map *m);

/* Memory of which much may never be used: where the system would make pages of 2 MiB of it, the
 * first byte of each would cost all of them. */
void map_sparse(void *p, size_t n_bytes);

/* A file that appears under its name only when it is complete: it grows without a name where the
 * system can do that, else beside its target as "TARGET.PID-TIME.tmp", and is renamed at the end.
 * A symbolic link is followed; the mode of a file that is replaced is kept. Devices and pipes are
 * refused: a rename would replace them. */
struct output {
    int fd;
    char *path; /* the target, links followed */
    char *temp; /* the name that it is renamed from */
    uint64_t n_bytes, n_on_way; /* appended; how many of them are on their way to the disk */
    bool nameless; /* nothing stands under temp */
};
bool output_open(struct output *o, const char *path, struct bitnet_error *err);
bool output_write(struct output *o, const void *bytes, size_t n_bytes, struct bitnet_error *err);
bool output_write_at(struct output *o, uint64_t off, const void *bytes, size_t n_bytes,
                     struct bitnet_error *err);
bool output_commit(struct output *o, struct bitnet_error *err); /* renames and closes */
void output_abandon(struct output *o); /* after a failure, or at any time: leaves no trace */

#endif
