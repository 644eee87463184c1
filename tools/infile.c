/* infile.c: opens, sniffs and reads foreign files. */
#include "tools/infile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool starts(const uint8_t *head, size_t n_head, const char *with)
{
    size_t n = strlen(with);
    return n_head >= n && memcmp(head, with, n) == 0;
}

/* What this surely is instead of a model, or NULL. */
static const char *not_a_model(const uint8_t *head, size_t n_head)
{
    size_t skip = 0;
    while (skip < n_head && strchr(" \t\r\n", head[skip]))
        skip++;
    const uint8_t *text = head + skip;
    size_t n_text = n_head - skip;
    if (starts(head, n_head, "version https://git-lfs"))
        return "is a Git LFS pointer, not the file itself: run 'git lfs pull', or download it";
    if (starts(text, n_text, "<!DOCTYPE") || starts(text, n_text, "<!doctype") ||
        starts(text, n_text, "<html") || starts(text, n_text, "<HTML") ||
        starts(text, n_text, "<?xml"))
        return "is a web page, not a model: the download gave an error page, fetch it again";
    if (starts(head, n_head, "PK\x03\x04"))
        return "is a zip file, probably a PyTorch checkpoint: save it as safetensors first";
    if (starts(head, n_head, "\x1f\x8b") || starts(head, n_head, "\xfd" "7zXZ") ||
        starts(head, n_head, "\x28\xb5\x2f\xfd"))
        return "is compressed: unpack it first";
    return NULL;
}

bool infile_open(struct infile *f, const char *path, struct bitnet_error *err)
{
    *f = (struct infile){.fd = -1, .path = strdup(path)};
    if (!f->path)
        return fail(err, BITNET_FAILED, "%s: out of memory", path);
    f->fd = strcmp(path, "-") == 0 ? dup(0) : open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (f->fd < 0 || fstat(f->fd, &st) != 0) {
        fail(err, BITNET_FAILED, "%s: cannot open: %s", path, strerror(errno));
        infile_close(f);
        return false;
    }
    if (!S_ISREG(st.st_mode)) {
        fail(err, BITNET_FAILED, "%s: is not a regular file; a source is not read from front to "
             "back, so save it to one first", path);
        infile_close(f);
        return false;
    }
    f->n_bytes = (uint64_t)st.st_size;
    uint8_t head[64];
    size_t n_head = f->n_bytes < sizeof head ? (size_t)f->n_bytes : sizeof head;
    bool ok = infile_read(f, 0, head, n_head, err);
    if (ok) {
        const char *what = n_head == 0 ? "is empty" : not_a_model(head, n_head);
        ok = !what || fail(err, BITNET_BAD, "%s: %s", path, what);
    }
    if (!ok)
        infile_close(f);
    return ok;
}

void infile_close(struct infile *f)
{
    if (f->fd >= 0)
        close(f->fd);
    free(f->path);
    *f = (struct infile){.fd = -1};
}

bool infile_read(const struct infile *f, uint64_t off, void *to, size_t n_bytes,
                 struct bitnet_error *err)
{
    uint64_t n_there = off < f->n_bytes ? f->n_bytes - off : 0;
    if (off > f->n_bytes || n_bytes > n_there)
        return fail(err, BITNET_BAD, "%s: cut short: %llu bytes wanted at byte %llu, %llu are there",
                    f->path, (unsigned long long)n_bytes, (unsigned long long)off,
                    (unsigned long long)n_there);
    uint8_t *p = to;
    while (n_bytes > 0) {
        ssize_t got = pread(f->fd, p, n_bytes, (off_t)off);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail(err, BITNET_FAILED, "%s: cannot read: %s", f->path, strerror(errno));
        if (got == 0)
            return fail(err, BITNET_BAD, "%s: became shorter while it was read", f->path);
        p += got, off += (uint64_t)got, n_bytes -= (size_t)got;
    }
    return true;
}

bool infile_hash(const struct infile *f, struct hasher *h, struct bitnet_error *err)
{
    enum { PIECE_BYTES = 1 << 20 };
    uint8_t *piece = malloc(PIECE_BYTES);
    if (!piece)
        return fail(err, BITNET_FAILED, "%s: out of memory", f->path);
    bool ok = true;
    for (uint64_t off = 0; ok && off < f->n_bytes;) {
        uint64_t left = f->n_bytes - off;
        size_t n = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
        ok = infile_read(f, off, piece, n, err);
        if (ok)
            hasher_add(h, piece, n);
        off += n;
    }
    free(piece);
    return ok;
}

char *path_join(const char *dir, const char *name)
{
    size_t n = strlen(dir) + strlen(name) + 2;
    char *path = malloc(n);
    if (path)
        snprintf(path, n, "%s/%s", dir, name);
    return path;
}

bool path_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool path_is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

bool path_optional(const char *path, bool *there, struct bitnet_error *err)
{
    struct stat st, link;
    bool found = stat(path, &st) == 0;
    *there = found;
    if (found ? S_ISREG(st.st_mode) : errno == ENOENT && lstat(path, &link) != 0)
        return true;
    return found ? fail(err, BITNET_BAD, "%s: is no plain file", path)
                 : fail(err, BITNET_FAILED, "%s: cannot open: %s", path, strerror(errno));
}

const char *path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}
