/* map.c: mapping files and replacing them whole; see map.h. */
#define _GNU_SOURCE /* O_TMPFILE */
#include "src/map.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Room for twice the bytes of p, or the first; NULL: there is none, and p stays. */
static uint8_t *more_room(uint8_t *p, size_t *n_room)
{
    enum { FIRST_BYTES = 1 << 20 };
    size_t n = p ? 2 * *n_room : FIRST_BYTES;
    void *more = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (more == MAP_FAILED)
        return NULL;
    if (p) {
        memcpy(more, p, *n_room);
        munmap(p, *n_room);
    }
    *n_room = n;
    return more;
}

/* What comes through a pipe, in pages of its own. */
static bool map_pipe(struct map *m, int fd, const char *name, struct bitnet_error *err)
{
    size_t n_room = 0, n = 0;
    uint8_t *p = more_room(NULL, &n_room), *more = p;
    ssize_t got = 1;
    while (more && got > 0) {
        got = read(fd, p + n, n_room - n);
        n += got > 0 ? (size_t)got : 0;
        if (n == n_room && (more = more_room(p, &n_room)) != NULL)
            p = more;
    }
    if (more && got == 0 && n > 0) {
        *m = (struct map){p, n, true};
        return true;
    }
    if (!more)
        fail(err, BITNET_FAILED, "%s: no memory for more than %zu bytes", name, n);
    else if (got < 0)
        fail(err, BITNET_FAILED, "%s: %s", name, strerror(errno));
    else
        fail(err, BITNET_BAD, "%s: is empty", name);
    if (p)
        munmap(p, n_room);
    return false;
}

static bool map_file(struct map *m, int fd, const char *name, struct bitnet_error *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return fail(err, BITNET_FAILED, "%s: %s", name, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return fail(err, BITNET_BAD, "%s: is a folder, not a model file; a Hugging Face folder "
                    "needs 'bitnet convert %s -o model.bnp' first", name, name);
    if (!S_ISREG(st.st_mode))
        return fail(err, BITNET_BAD, "%s: not a regular file, so it cannot be mapped", name);
    if (st.st_size == 0)
        return fail(err, BITNET_BAD, "%s: the file is empty", name);
    if ((uint64_t)st.st_size > SIZE_MAX)
        return fail(err, BITNET_FAILED, "%s: %" PRIu64 " bytes do not fit this machine's addresses",
                    name, (uint64_t)st.st_size);
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return fail(err, BITNET_FAILED, "%s: cannot map %" PRIu64 " bytes: %s", name,
                    (uint64_t)st.st_size, strerror(errno));
    *m = (struct map){p, (uint64_t)st.st_size, true};
    return true;
}

/* Whoever reads standard input after this gets an error, no part of the model, no early end. */
static int take_stdin(void)
{
    int fd = dup(0), nothing = open("/dev/null", O_WRONLY);
    if (nothing >= 0)
        dup2(nothing, 0), close(nothing);
    return fd;
}

/* Standard input comes once, and stays mapped for all who ask. */
static bool map_stdin(struct map *m, struct bitnet_error *err)
{
    static const char name[] = "standard input";
    static struct map whole;
    struct stat st;
    if (!whole.bytes) {
        int fd = take_stdin();
        if (fd < 0)
            return fail(err, BITNET_FAILED, "%s: %s", name, strerror(errno));
        bool piped = fstat(fd, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode));
        bool ok = piped ? map_pipe(&whole, fd, name, err) : map_file(&whole, fd, name, err);
        close(fd);
        if (!ok)
            return false;
    }
    *m = (struct map){whole.bytes, whole.n_bytes, false};
    return true;
}

bool map_open(struct map *m, const char *path, struct bitnet_error *err)
{
    *m = (struct map){0};
    if (strcmp(path, "-") == 0)
        return map_stdin(m, err);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not make us wait */
    if (fd < 0)
        return fail(err, BITNET_FAILED, "%s: cannot open: %s", path, strerror(errno));
    bool ok = map_file(m, fd, path, err);
    close(fd);
    return ok;
}

void map_close(struct map *m)
{
    if (m->mapped)
        munmap((void *)(uintptr_t)m->bytes, (size_t)m->n_bytes);
    *m = (struct map){0};
}

void map_read_once(const struct map *m)
{
    if (m->mapped)
        posix_madvise((void *)(uintptr_t)m->bytes, (size_t)m->n_bytes, POSIX_MADV_SEQUENTIAL);
}

void map_sparse(void *p, size_t n_bytes)
{
#ifdef MADV_NOHUGEPAGE
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)p;
    const uintptr_t begin = (at + page - 1) / page * page, end = (at + n_bytes) / page * page;
    if (begin < end)
        madvise((void *)begin, end - begin, MADV_NOHUGEPAGE);
#else
    (void)p, (void)n_bytes;
#endif
}

#ifdef EMBED_MODEL
#ifdef __APPLE__
#define RODATA ".const_data\n"
#define RETURN ".text\n"
#else
#define RODATA ".pushsection .rodata.model, \"a\"\n"
#define RETURN ".popsection\n"
#endif
/* The assembler copies the file: no table of numbers for the compiler to parse. */
__asm__(RODATA ".balign 4096\n"
        ".globl bitnet_embedded_begin\nbitnet_embedded_begin:\n"
        ".incbin \"" EMBED_MODEL "\"\n"
        ".globl bitnet_embedded_end\nbitnet_embedded_end:\n"
        ".byte 0\n" RETURN);
extern const uint8_t embedded_begin[] __asm__("bitnet_embedded_begin");
extern const uint8_t embedded_end[] __asm__("bitnet_embedded_end");

bool map_embedded(struct map *m)
{
    *m = (struct map){embedded_begin, (uint64_t)(embedded_end - embedded_begin), false};
    return true;
}
#else
bool map_embedded(struct map *m)
{
    *m = (struct map){0};
    return false;
}
#endif

/* Opens a file without a name in the target's folder, where system and file system know such. */
static int open_nameless(const char *path, mode_t mode)
{
#ifdef O_TMPFILE
    if (access("/proc/self/fd", X_OK) != 0)
        return -1; /* it could not be given a name at the end */
    char *folder = strdup(path);
    if (!folder)
        return -1;
    char *slash = strrchr(folder, '/');
    if (slash)
        slash[slash == folder] = 0;
    int fd = open(slash ? folder : ".", O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
    free(folder);
    return fd;
#else
    (void)path, (void)mode;
    return -1;
#endif
}

/* Gives the nameless file the name temp, from which it is renamed: link() never replaces. */
static bool name_it(int fd, const char *temp)
{
    char self[32];
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    unlink(temp);
    return linkat(AT_FDCWD, self, AT_FDCWD, temp, AT_SYMLINK_FOLLOW) == 0;
}

static char *temp_name(const char *path)
{
    size_t n = strlen(path) + 40;
    char *temp = malloc(n);
    if (temp) /* pid and time: two containers on one volume may share a pid */
        snprintf(temp, n, "%s.%ld-%06x.tmp", path, (long)getpid(),
                 (unsigned)(now_ns() / 1000 & 0xffffff));
    return temp;
}

bool output_open(struct output *o, const char *path, struct bitnet_error *err)
{
    struct stat st;
    *o = (struct output){.fd = -1};
    if (strcmp(path, "-") == 0)
        return fail(err, BITNET_USAGE, "-: what replaces a file when it is whole cannot go to a "
                    "pipe; name a file");
    bool exists = stat(path, &st) == 0;
    if (exists && !S_ISREG(st.st_mode))
        return fail(err, BITNET_FAILED, "%s: is %s, and output replaces a file", path,
                    S_ISDIR(st.st_mode) ? "a folder" : "not a regular file");
    o->path = exists ? realpath(path, NULL) : strdup(path);
    o->temp = o->path ? temp_name(o->path) : NULL;
    if (!o->temp) {
        output_abandon(o);
        return fail(err, BITNET_FAILED, "%s: out of memory", path);
    }
    o->fd = open_nameless(o->path, 0666);
    o->nameless = o->fd >= 0;
    if (o->fd < 0)
        o->fd = open(o->temp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (o->fd < 0) {
        fail(err, BITNET_FAILED, "%s: cannot write: %s", path, strerror(errno));
        o->nameless = true; /* nothing to remove */
        output_abandon(o);
        return false;
    }
    if (exists)
        (void)!fchmod(o->fd, st.st_mode & 07777);
    return true;
}

static bool write_failed(struct output *o, struct bitnet_error *err)
{
    return fail(err, BITNET_FAILED, "%s: cannot write: %s", o->path, strerror(errno));
}

/* The disk works while we compute: what is left for output_commit to wait for is little. Only a
 * hint, so its failing does not matter. */
static void send_to_disk(struct output *o)
{
#ifdef SYNC_FILE_RANGE_WRITE
    const uint64_t enough = 8 << 20;
    if (o->n_bytes - o->n_on_way < enough)
        return;
    sync_file_range(o->fd, (off_t)o->n_on_way, (off_t)(o->n_bytes - o->n_on_way),
                    SYNC_FILE_RANGE_WRITE);
#endif
    o->n_on_way = o->n_bytes;
}

bool output_write(struct output *o, const void *bytes, size_t n_bytes, struct bitnet_error *err)
{
    const uint8_t *p = bytes;
    o->n_bytes += n_bytes;
    while (n_bytes > 0) {
        ssize_t n = write(o->fd, p, n_bytes);
        if (n < 0 && errno != EINTR)
            return write_failed(o, err);
        if (n > 0)
            p += n, n_bytes -= (size_t)n;
    }
    send_to_disk(o);
    return true;
}

bool output_write_at(struct output *o, uint64_t off, const void *bytes, size_t n_bytes,
                     struct bitnet_error *err)
{
    const uint8_t *p = bytes;
    while (n_bytes > 0) {
        ssize_t n = pwrite(o->fd, p, n_bytes, (off_t)off);
        if (n < 0 && errno != EINTR)
            return write_failed(o, err);
        if (n > 0)
            p += n, off += (uint64_t)n, n_bytes -= (size_t)n;
    }
    return true;
}

bool output_commit(struct output *o, struct bitnet_error *err)
{
    if (o->nameless && !name_it(o->fd, o->temp)) {
        write_failed(o, err);
        output_abandon(o);
        return false;
    }
    o->nameless = false;
    int fd = o->fd;
    o->fd = -1;
    /* On disk first: after a power cut the name must not lead to half a file where a whole one was.
     * What cannot be synced (EINVAL) need not be. Network file systems report a full disk as late
     * as close. */
    bool synced = fsync(fd) == 0 || errno == EINVAL;
    if (close(fd) != 0 || !synced || rename(o->temp, o->path) != 0) {
        write_failed(o, err);
        output_abandon(o);
        return false;
    }
    o->nameless = true; /* renamed: nothing to remove */
    output_abandon(o);
    return true;
}

void output_abandon(struct output *o)
{
    if (o->fd >= 0)
        close(o->fd);
    if (o->temp && !o->nameless)
        unlink(o->temp);
    free(o->path);
    free(o->temp);
    *o = (struct output){.fd = -1, .nameless = true};
}
