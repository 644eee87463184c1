/* cmd_reader.h: records of a file or pipe, one after the other, in bounded memory; asks
 * first whether one has come, so that a slow writer stops nobody. */
#ifndef BITNET_CMD_READER_H
#define BITNET_CMD_READER_H

#include "src/base.h"

enum { RECORD_MAX_BYTES = 16 << 20 };

struct reader {
    const char *name;
    int fd;
    char delimiter;
    bool at_end;
    bool skipping; /* the rest of a record that was too long */
    size_t n_end;  /* bytes of the delimiter that was behind the last record */
    uint8_t *data; /* [n_alloc], unread bytes from n_used to n_bytes */
    size_t n_used, n_bytes, n_alloc, n_searched;
};
enum reader_result {
    READER_RECORD,
    READER_TOO_LONG, /* a record, but longer than RECORD_MAX_BYTES: its bytes are gone */
    READER_LATER,    /* nothing whole yet */
    READER_END,
    READER_FAILED,
};
/* The bytes of the line end that the text ends with: 2 for \r\n, 1 for \n, else 0; a \r of
 * its own is text. */
size_t line_end_bytes(const void *text, size_t n_bytes);
/* path "-": standard input. A delimiter \n takes the \r in front of it along. */
bool reader_open(struct reader *r, const char *path, char delimiter, struct bitnet_error *err);
/* The bytes stay valid until the next call. wait: sleeps until one comes; a signal ends
 * the sleep with READER_LATER. A last record needs no delimiter. */
enum reader_result reader_next(struct reader *r, bool wait, const char **bytes, size_t *n_bytes,
                               struct bitnet_error *err);
void reader_close(struct reader *r);

#endif
