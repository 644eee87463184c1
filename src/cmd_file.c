/* cmd_file.c: output files of the commands. */
#include "src/cmd_file.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool out_file_open(struct out_file *f, const char *path, struct bitnet_error *err)
{
    struct stat st;
    *f = (struct out_file){.path = path, .stream = stdout};
    if (strcmp(path, "-") == 0)
        return true;
    if (stat(path, &st) != 0 || S_ISREG(st.st_mode)) {
        size_t n = strlen(path) + 32;
        f->temporary = malloc(n);
        if (f->temporary == NULL)
            return fail(err, BITNET_FAILED, "%s: out of memory", path);
        snprintf(f->temporary, n, "%s.part-%ld", path, (long)getpid());
    }
    f->stream = fopen(f->temporary != NULL ? f->temporary : path, "wb");
    if (f->stream != NULL)
        return true;
    fail(err, BITNET_FAILED, "%s: %s", path, strerror(errno));
    free(f->temporary);
    f->temporary = NULL;
    return false;
}

static bool cannot_write(const struct out_file *f, struct bitnet_error *err)
{
    if (errno == EPIPE)
        return fail(err, 128 + SIGPIPE, "closed pipe");
    return fail(err, BITNET_FAILED, "%s: %s", f->stream == stdout ? "standard output" : f->path,
                strerror(errno));
}

bool out_file_write(struct out_file *f, const void *bytes, size_t n_bytes,
                    struct bitnet_error *err)
{
    return fwrite(bytes, 1, n_bytes, f->stream) == n_bytes || cannot_write(f, err);
}

bool out_file_close(struct out_file *f, struct bitnet_error *err)
{
    if (f->stream == NULL)
        return false;
    if (err->code == BITNET_OK && fflush(f->stream) != 0)
        cannot_write(f, err);
    if (f->stream != stdout && fclose(f->stream) != 0 && err->code == BITNET_OK)
        cannot_write(f, err);
    if (f->temporary != NULL && err->code != BITNET_OK)
        unlink(f->temporary);
    else if (f->temporary != NULL && rename(f->temporary, f->path) != 0)
        fail(err, BITNET_FAILED, "%s: %s", f->path, strerror(errno));
    free(f->temporary);
    f->stream = NULL;
    return err->code == BITNET_OK;
}
