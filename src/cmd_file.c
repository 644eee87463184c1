/* cmd_file.c: output files of the commands. */
#include "src/cmd_file.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

bool out_file_open(struct out_file *f, const char *path, struct bitnet_error *err)
{
    struct stat st;
    *f = (struct out_file){.path = path};
    if (strcmp(path, "-") == 0) {
        f->stream = stdout;
        f->path = "standard output";
    } else if (stat(path, &st) != 0 || S_ISREG(st.st_mode)) {
        f->open = output_open(&f->output, path, err);
        return f->open;
    } else {
        f->stream = fopen(path, "wb");
    }
    f->open = f->stream != NULL;
    return f->open || fail(err, BITNET_FAILED, "%s: %s", path, strerror(errno));
}

static bool cannot_write(const struct out_file *f, struct bitnet_error *err)
{
    if (errno == EPIPE)
        return fail(err, 128 + SIGPIPE, "closed pipe");
    return fail(err, BITNET_FAILED, "%s: %s", f->path, strerror(errno));
}

bool out_file_write(struct out_file *f, const void *bytes, size_t n_bytes,
                    struct bitnet_error *err)
{
    if (f->stream == NULL)
        return output_write(&f->output, bytes, n_bytes, err);
    return fwrite(bytes, 1, n_bytes, f->stream) == n_bytes || cannot_write(f, err);
}

bool out_file_close(struct out_file *f, struct bitnet_error *err)
{
    f->open = false;
    if (f->stream == NULL && err->code != BITNET_OK)
        output_abandon(&f->output);
    else if (f->stream == NULL)
        output_commit(&f->output, err);
    else if (err->code == BITNET_OK && fflush(f->stream) != 0)
        cannot_write(f, err);
    if (f->stream != NULL && f->stream != stdout && fclose(f->stream) != 0)
        cannot_write(f, err);
    return err->code == BITNET_OK;
}
