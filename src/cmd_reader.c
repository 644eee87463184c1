/* cmd_reader.c: records out of read(2) and poll(2). */
#include "src/cmd_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

size_t line_end_bytes(const void *text, size_t n_bytes)
{
    const char *bytes = text;
    if (n_bytes == 0 || bytes[n_bytes - 1] != '\n')
        return 0;
    return n_bytes > 1 && bytes[n_bytes - 2] == '\r' ? 2 : 1;
}

bool reader_open(struct reader *r, const char *path, char delimiter, struct bitnet_error *err)
{
    bool is_stdin = strcmp(path, "-") == 0;
    *r = (struct reader){.name = is_stdin ? "standard input" : path, .delimiter = delimiter};
    r->fd = is_stdin ? 0 : open(path, O_RDONLY | O_CLOEXEC);
    return r->fd >= 0 || fail(err, BITNET_FAILED, "%s: %s", path, strerror(errno));
}

void reader_close(struct reader *r)
{
    if (r->fd > 0)
        close(r->fd);
    free(r->data);
    *r = (struct reader){0};
}

static bool make_room(struct reader *r, struct bitnet_error *err)
{
    if (r->n_used > 0) {
        memmove(r->data, r->data + r->n_used, r->n_bytes - r->n_used);
        r->n_bytes -= r->n_used;
        r->n_searched -= r->n_used;
        r->n_used = 0;
    }
    if (r->n_bytes < r->n_alloc)
        return true;
    size_t n = r->n_alloc > 0 ? r->n_alloc * 2 : 65536;
    uint8_t *data = realloc(r->data, n);
    if (data == NULL)
        return fail(err, BITNET_FAILED, "%s: out of memory for a record", r->name);
    r->data = data;
    r->n_alloc = n;
    return true;
}

/* One read; false when there is nothing to be had now. */
static bool more(struct reader *r, bool wait, enum reader_result *result, struct bitnet_error *err)
{
    struct pollfd p = {.fd = r->fd, .events = POLLIN};
    *result = READER_LATER;
    int ready = poll(&p, 1, wait ? -1 : 0);
    if (ready <= 0)
        return false;
    if (!make_room(r, err)) {
        *result = READER_FAILED;
        return false;
    }
    ssize_t n = read(r->fd, r->data + r->n_bytes, r->n_alloc - r->n_bytes);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return false;
    if (n < 0) {
        fail(err, BITNET_FAILED, "%s: %s", r->name, strerror(errno));
        *result = READER_FAILED;
        return false;
    }
    r->at_end = n == 0;
    r->n_bytes += (size_t)n;
    return true;
}

enum reader_result reader_next(struct reader *r, bool wait, const char **bytes, size_t *n_bytes,
                               struct bitnet_error *err)
{
    enum reader_result result;
    for (;;) {
        uint8_t *from = r->n_bytes > 0 ? r->data + r->n_used : NULL;
        uint8_t *end = r->n_bytes > r->n_searched
                           ? memchr(r->data + r->n_searched, r->delimiter,
                                    r->n_bytes - r->n_searched)
                           : NULL;
        bool last = end == NULL && r->at_end;
        if (last && r->n_used == r->n_bytes && !r->skipping)
            return READER_END;
        if (end != NULL || last) {
            *bytes = from != NULL ? (const char *)from : "";
            size_t n = end != NULL ? (size_t)(end + 1 - from) : r->n_bytes - r->n_used;
            r->n_end = r->delimiter == '\n' ? line_end_bytes(from, n) : end != NULL;
            *n_bytes = n - r->n_end;
            r->n_used += n;
            r->n_searched = r->n_used;
            if (!r->skipping && *n_bytes <= RECORD_MAX_BYTES)
                return READER_RECORD;
            r->skipping = false;
            return READER_TOO_LONG;
        }
        r->n_searched = r->n_bytes;
        if (r->n_bytes - r->n_used > RECORD_MAX_BYTES + 1) { /* the last may be a \r */
            r->skipping = true;
            r->n_used = r->n_searched = r->n_bytes;
        }
        if (!more(r, wait, &result, err))
            return result;
    }
}
