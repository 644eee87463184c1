/* cache.c: see cache.h.
 *
 * An entry is named by a hash over the format version, the sizes and times of the source's files
 * and samples of their bytes: reading all of a model at every start would cost more than running
 * it. Every entry appears whole, by renaming. One lock file guards conversions and clearing out;
 * using an entry takes no lock and renews its time, by which the oldest go first. */
#include "tools/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tools/gguf.h"
#include "tools/import.h"
#include "tools/infile.h"
#include "tools/modelfile.h"

static const uint64_t max_cache_bytes = 32ull << 30;

enum { N_SAMPLES = 64, SAMPLE_BYTES = 4096, HEAD_BYTES = 1 << 20, STALE_SECONDS = 24 * 3600 };

/* What stands behind a source's name: size, time, its first megabyte, and samples of the rest. */
static bool hash_file(struct hasher *h, const char *path, struct bitnet_error *err)
{
    struct infile f;
    struct stat st;
    uint8_t numbers[24];
    if (!infile_open(&f, path, err))
        return false;
    uint8_t *piece = malloc(HEAD_BYTES);
    bool ok = piece && fstat(f.fd, &st) == 0 ? true
                                             : fail(err, BITNET_FAILED, "%s: out of memory", path);
    if (ok) {
        store_u64(numbers, f.n_bytes);
        store_u64(numbers + 8, (uint64_t)st.st_mtime);
        store_u64(numbers + 16, (uint64_t)st.st_ctime);
        hasher_add(h, numbers, sizeof numbers);
        size_t n = f.n_bytes < HEAD_BYTES ? (size_t)f.n_bytes : HEAD_BYTES;
        ok = infile_read(&f, 0, piece, n, err);
        if (ok)
            hasher_add(h, piece, n);
    }
    for (uint64_t i = 1; ok && f.n_bytes > HEAD_BYTES && i <= N_SAMPLES; i++) {
        uint64_t off = (f.n_bytes - SAMPLE_BYTES) / N_SAMPLES * i;
        ok = infile_read(&f, off, piece, SAMPLE_BYTES, err);
        if (ok)
            hasher_add(h, piece, SAMPLE_BYTES);
    }
    free(piece);
    infile_close(&f);
    return ok;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool has_end(const char *name, const char *end)
{
    size_t n = strlen(name), n_end = strlen(end);
    return n >= n_end && strcmp(name + n - n_end, end) == 0;
}

/* The files of dir that belong to a model, in the order of their names. */
static bool list_dir(const char *dir, const char *end, char ***names, size_t *n_names)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    size_t n_alloc = 0;
    bool ok = d != NULL;
    *names = NULL;
    *n_names = 0;
    while (ok && (e = readdir(d))) {
        if (e->d_name[0] == '.' || !has_end(e->d_name, end))
            continue;
        if (*n_names == n_alloc) {
            n_alloc = n_alloc ? 2 * n_alloc : 32;
            char **moved = realloc(*names, n_alloc * sizeof *moved);
            ok = moved != NULL;
            *names = moved ? moved : *names;
        }
        char *name = ok ? strdup(e->d_name) : NULL;
        ok = name != NULL;
        if (ok)
            (*names)[(*n_names)++] = name;
    }
    if (d)
        closedir(d);
    if (ok && *n_names)
        qsort(*names, *n_names, sizeof **names, by_text);
    return ok;
}

static void free_names(char **names, size_t n_names)
{
    for (size_t i = 0; i < n_names; i++)
        free(names[i]);
    free(names);
}

static bool hash_dir(struct hasher *h, const char *dir, struct bitnet_error *err)
{
    char **names;
    size_t n_names;
    bool ok = list_dir(dir, "", &names, &n_names) ||
              fail(err, BITNET_FAILED, "%s: cannot read the folder", dir);
    for (size_t i = 0; ok && i < n_names; i++) {
        if (!has_end(names[i], ".json") && !has_end(names[i], ".safetensors") &&
            !has_end(names[i], ".model"))
            continue;
        char *path = path_join(dir, names[i]);
        ok = path ? hash_file(h, path, err) : fail(err, BITNET_FAILED, "out of memory");
        free(path);
    }
    free_names(names, n_names);
    return ok;
}

/* The file, or all parts of a split one, up to the first that is missing. */
static bool hash_parts(struct hasher *h, const char *source, struct bitnet_error *err)
{
    char *path = strdup(source), *number = path ? gguf_part_number(path) : NULL;
    bool ok = path ? true : fail(err, BITNET_FAILED, "out of memory");
    if (ok && !number)
        ok = hash_file(h, path, err);
    for (unsigned i = 1; ok && number && i < 1000; i++) {
        char digits[16];
        snprintf(digits, sizeof digits, "%05u", i);
        memcpy(number, digits, 5);
        if (!path_is_file(path))
            break;
        ok = hash_file(h, path, err);
    }
    free(path);
    return ok;
}

/* "NAME-0123456789abcdef.bnp" in the cache's folder. */
static char *entry_path(const char *dir, const char *source, struct bitnet_error *err)
{
    struct hasher h;
    char name[160];
    hasher_init(&h);
    snprintf(name, sizeof name, "bitnet %s, format %d", bitnet_version(), BNP_VERSION);
    hasher_add(&h, name, strlen(name));
    bool folder = path_is_dir(source);
    if (!(folder ? hash_dir(&h, source, err) : hash_parts(&h, source, err)))
        return NULL;
    size_t n = strlen(source);
    while (n > 1 && source[n - 1] == '/')
        n--;
    size_t start = n;
    while (start > 0 && source[start - 1] != '/')
        start--;
    int n_base = (int)(n - start < 100 ? n - start : 100);
    snprintf(name, sizeof name, "%.*s-%016llx.bnp", n_base, source + start,
             (unsigned long long)hasher_value(&h));
    char *path = path_join(dir, name);
    if (!path)
        fail(err, BITNET_FAILED, "out of memory");
    return path;
}

static bool make_dirs(char *path)
{
    for (char *p = path + 1; *p; p++) {
        if (*p == '/') {
            *p = 0;
            int failed = mkdir(path, 0700);
            *p = '/';
            if (failed && errno != EEXIST)
                return false;
        }
    }
    return mkdir(path, 0700) == 0 || errno == EEXIST;
}

/* The cache's folder, made if it is not there. */
static char *cache_dir(struct bitnet_error *err)
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char *dir = NULL;
    if (xdg && xdg[0] == '/')
        dir = path_join(xdg, "bitnet");
    else if (home && home[0] == '/')
        dir = path_join(home, ".cache/bitnet");
    if (!dir) {
        fail(err, BITNET_FAILED, "no folder for the cache: HOME is not set (--no-cache works "
             "without)");
        return NULL;
    }
    if (!make_dirs(dir)) {
        fail(err, BITNET_FAILED, "%s: cannot be made: %s (--no-cache works without)", dir,
             strerror(errno));
        free(dir);
        return NULL;
    }
    return dir;
}

/* Waits until nobody else converts; closing the descriptor unlocks. -1: failed. */
static int take_lock(const char *dir, struct bitnet_error *err)
{
    char *path = path_join(dir, "lock");
    int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int got = -1;
    while (fd >= 0 && (got = fcntl(fd, F_SETLKW, &whole)) != 0 && errno == EINTR)
        ;
    if (got != 0) {
        fail(err, BITNET_FAILED, "%s: cannot lock: %s", path ? path : dir, strerror(errno));
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    free(path);
    return fd;
}

/* A whole model of this version stands there. */
static bool usable(const char *path)
{
    struct bitnet_error ignored = {0};
    struct model_file f;
    if (!path_is_file(path) || !model_file_open(&f, path, &ignored))
        return false;
    model_file_close(&f);
    return true;
}

struct entry {
    char *path;
    uint64_t n_bytes;
    time_t used;
};

static int by_age(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return x->used < y->used ? -1 : x->used > y->used;
}

/* Removes the entries that were used longest ago until the rest fits, never `keep`. */
static void clear_out(const char *dir, const char *keep, uint64_t max_bytes)
{
    char **names;
    size_t n_names, n = 0;
    uint64_t n_all = 0;
    bool ok = list_dir(dir, ".bnp", &names, &n_names);
    struct entry *entries = calloc(n_names + 1, sizeof *entries);
    for (size_t i = 0; ok && entries && i < n_names; i++) {
        struct stat st;
        entries[n].path = path_join(dir, names[i]);
        if (!entries[n].path || stat(entries[n].path, &st) != 0) {
            free(entries[n].path);
            continue;
        }
        entries[n].n_bytes = (uint64_t)st.st_size;
        entries[n].used = st.st_mtime;
        n_all += entries[n++].n_bytes;
    }
    if (n)
        qsort(entries, n, sizeof *entries, by_age);
    for (size_t i = 0; i < n; i++) {
        if (n_all > max_bytes && strcmp(entries[i].path, keep) != 0 &&
            unlink(entries[i].path) == 0)
            n_all -= entries[i].n_bytes;
        free(entries[i].path);
    }
    free(entries);
    free_names(names, n_names);
}

/* What killed conversions may have left. */
static void sweep(const char *dir)
{
    char **names;
    size_t n_names;
    struct stat st;
    bool ok = list_dir(dir, ".tmp", &names, &n_names);
    for (size_t i = 0; ok && i < n_names; i++) {
        char *path = path_join(dir, names[i]);
        if (path && stat(path, &st) == 0 && time(NULL) - st.st_mtime > STALE_SECONDS)
            unlink(path);
        free(path);
    }
    free_names(names, n_names);
}

static bool convert(const char *source, const char *to, bool quiet, bool temporary,
                    struct bitnet_error *err)
{
    size_t room = strlen(to) + 64;
    char *note = malloc(room);
    if (!note)
        return fail(err, BITNET_FAILED, "%s: out of memory", source);
    snprintf(note, room, "converting %s %s", temporary ? "for this run into" : "once, into", to);
    struct import_job j = {.in = source, .out = to, .quiet = quiet, .note = note,
                           .encode.head = ENC_I8};
    bool ok = import_model(&j, err);
    free(note);
    return ok;
}

static bool open_cached(struct cached *c, const char *source, bool quiet, struct bitnet_error *err)
{
    char *dir = cache_dir(err);
    c->path = dir ? entry_path(dir, source, err) : NULL;
    bool ok = c->path != NULL;
    if (ok && !usable(c->path)) {
        int lock = take_lock(dir, err);
        ok = lock >= 0;
        if (ok && !usable(c->path)) { /* nobody else made it while we waited */
            ok = convert(source, c->path, quiet, false, err);
            sweep(dir);
            if (ok)
                clear_out(dir, c->path, max_cache_bytes);
        }
        if (lock >= 0)
            close(lock);
    } else if (ok) {
        utimensat(AT_FDCWD, c->path, NULL, 0);
    }
    free(dir);
    return ok;
}

static bool open_temporary(struct cached *c, const char *source, bool quiet,
                           struct bitnet_error *err)
{
    const char *tmp = getenv("TMPDIR");
    char *path = path_join(tmp && tmp[0] == '/' ? tmp : "/tmp", "bitnet-XXXXXX");
    int fd = path ? mkstemp(path) : -1;
    if (fd < 0) {
        fail(err, BITNET_FAILED, "%s: cannot be made: %s", path ? path : "temporary file",
             strerror(errno));
        free(path);
        return false;
    }
    close(fd);
    c->path = path;
    c->temporary = true;
    return convert(source, path, quiet, true, err);
}

bool cache_open(struct cached *c, const char *path, bool no_cache, bool quiet,
                struct bitnet_error *err)
{
    *c = (struct cached){0};
    if (!path)
        return true;
    bool ok;
    if (strcmp(path, "-") == 0 ||
        (!path_is_dir(path) && (is_bnp_file(path, err) || !path_is_file(path)))) {
        c->path = strdup(path); /* what is not there is for the model's own complaint */
        ok = c->path || fail(err, BITNET_FAILED, "out of memory");
    } else if (no_cache) {
        ok = open_temporary(c, path, quiet, err);
    } else {
        ok = open_cached(c, path, quiet, err);
    }
    if (!ok)
        cache_close(c);
    return ok;
}

void cache_close(struct cached *c)
{
    if (c->temporary && c->path)
        unlink(c->path);
    free(c->path);
    *c = (struct cached){0};
}
