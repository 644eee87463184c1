#include "tools/modelfile.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { MAGIC_BYTES = 4 };

static bool has_magic(const uint8_t *head)
{
    return memcmp(head + 1, "BNP", MAGIC_BYTES - 1) == 0;
}

static bool is_bnp_stdin(struct bitnet_error *err)
{
    struct map m;
    if (!map_open(&m, "-", err))
        return true;
    bool yes = m.n_bytes >= MAGIC_BYTES && has_magic(m.bytes);
    map_close(&m);
    return yes;
}

bool is_bnp_file(const char *path, struct bitnet_error *err)
{
    uint8_t head[MAGIC_BYTES];
    if (strcmp(path, "-") == 0)
        return is_bnp_stdin(err);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool yes = fd >= 0 && pread(fd, head, sizeof head, 0) == (ssize_t)sizeof head &&
               has_magic(head);
    if (fd >= 0)
        close(fd);
    return yes;
}

bool model_file_open(struct model_file *f, const char *path, struct bitnet_error *err)
{
    *f = (struct model_file){0};
    if (path && !map_open(&f->map, path, err))
        return false;
    if (!path && !map_embedded(&f->map))
        return fail(err, BITNET_USAGE, "no model is named, and this bitnet carries none");
    if (bnp_open(&f->bnp, f->map.bytes, f->map.n_bytes, path ? path : "built-in model", err))
        return true;
    map_close(&f->map);
    return false;
}

void model_file_close(struct model_file *f)
{
    bnp_close(&f->bnp);
    map_close(&f->map);
}
