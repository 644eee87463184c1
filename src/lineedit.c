/* lineedit.c: the terminal is in raw mode only while a line is read. Everything is drawn
 * on stderr, since stdout carries text and may go elsewhere. One screen row shows a
 * window of the line around the cursor; a pasted newline is part of the line and shown as
 * a sign. */
#include "src/lineedit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "src/utf8.h"

/* Keys beyond characters; values past Unicode. */
enum key {
    KEY_LEFT = 0x110000, KEY_RIGHT, KEY_UP, KEY_DOWN, KEY_HOME, KEY_END, KEY_DELETE,
    KEY_WORD_LEFT, KEY_WORD_RIGHT, KEY_PASTE_ON, KEY_PASTE_OFF, KEY_NONE, KEY_EOF
};
enum { CTRL_A = 1, CTRL_B, CTRL_C, CTRL_D, CTRL_E, CTRL_F, CTRL_H = 8, CTRL_K = 11, CTRL_L,
       CTRL_N = 14, CTRL_P = 16, CTRL_U = 21, CTRL_W = 23, BACKSPACE = 0x7f };

static char *state_path(const char *name)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    bool own = state != NULL && state[0] == '/';
    if (!own && (home == NULL || home[0] == '\0'))
        return NULL;
    const char *base = own ? state : home, *between = own ? "" : "/.local/state";
    size_t n = strlen(base) + strlen(between) + strlen(name) + 16;
    char *path = malloc(n);
    if (path == NULL)
        return NULL;
    snprintf(path, n, "%s%s/bitnet/%s", base, between, name);
    for (char *p = path; (p = strchr(p + 1, '/')) != NULL;) {
        *p = '\0';
        mkdir(path, 0700);
        *p = '/';
    }
    return path;
}

static void push(struct lineedit *e, const char *text, size_t n_bytes)
{
    char *copy = malloc(n_bytes + 1);
    if (copy == NULL)
        return;
    memcpy(copy, text, n_bytes);
    copy[n_bytes] = '\0';
    if (e->n_history == LINE_HISTORY) {
        free(e->history[0]);
        memmove(e->history, e->history + 1, (LINE_HISTORY - 1) * sizeof *e->history);
        e->n_history--;
    }
    e->history[e->n_history++] = copy;
}

static void load_history(struct lineedit *e)
{
    char line[4096];
    FILE *f = e->history_path != NULL ? fopen(e->history_path, "r") : NULL;
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        size_t n = strcspn(line, "\n");
        if (n > 0)
            push(e, line, n);
    }
    if (f != NULL)
        fclose(f);
}

void lineedit_open(struct lineedit *e, const char *history_name)
{
    const char *term = getenv("TERM");
    *e = (struct lineedit){0};
    e->prompts = isatty(0) && isatty(2);
    e->plain = !e->prompts || term == NULL || strcmp(term, "dumb") == 0;
    if (!e->plain && history_name != NULL)
        e->history_path = state_path(history_name);
    load_history(e);
}

void lineedit_remember(struct lineedit *e, const char *text, size_t n_bytes)
{
    if (e->plain || n_bytes == 0 || memchr(text, '\n', n_bytes) != NULL ||
        (e->n_history > 0 && strlen(e->history[e->n_history - 1]) == n_bytes &&
         memcmp(e->history[e->n_history - 1], text, n_bytes) == 0))
        return;
    push(e, text, n_bytes);
    FILE *f = e->history_path != NULL ? fopen(e->history_path, "a") : NULL;
    if (f == NULL)
        return;
    fprintf(f, "%.*s\n", (int)n_bytes, text);
    fclose(f);
    chmod(e->history_path, 0600);
}

void lineedit_close(struct lineedit *e)
{
    for (size_t i = 0; i < e->n_history; i++)
        free(e->history[i]);
    buffer_free(&e->line);
    buffer_free(&e->typed);
    free(e->history_path);
    *e = (struct lineedit){0};
}

/* Screen columns of a code point: marks take none, the wide blocks of East Asia two. */
static size_t columns(uint32_t code)
{
    static const uint32_t none[][2] = {{0x300, 0x36f}, {0x200b, 0x200f}, {0x20d0, 0x20ff},
                                       {0xfe00, 0xfe0f}};
    static const uint32_t wide[][2] = {{0x1100, 0x115f}, {0x2e80, 0xa4cf},   {0xac00, 0xd7a3},
                                       {0xf900, 0xfaff}, {0xfe30, 0xfe6f},   {0xff00, 0xff60},
                                       {0xffe0, 0xffe6}, {0x1f300, 0x1f64f}, {0x1f900, 0x1f9ff},
                                       {0x20000, 0x3fffd}};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        if (code >= none[i][0] && code <= none[i][1])
            return 0;
    }
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
        if (code >= wide[i][0] && code <= wide[i][1])
            return 2;
    }
    return 1;
}

/* Bytes of the character at `at`; one that is no UTF-8 counts alone. */
static size_t n_at(const struct lineedit *e, size_t at, uint32_t *code)
{
    size_t n = utf8_decode((const char *)e->line.data + at, e->line.n_bytes - at, code);
    if (n == 0)
        *code = '?';
    return n > 0 ? n : 1;
}

static size_t before(const struct lineedit *e, size_t at)
{
    do {
        at--;
    } while (at > 0 && (e->line.data[at] & 0xc0) == 0x80);
    return at;
}

static size_t width_between(const struct lineedit *e, size_t from, size_t to)
{
    size_t n = 0;
    uint32_t code;
    while (from < to) {
        from += n_at(e, from, &code);
        n += columns(code);
    }
    return n;
}

static void draw(struct lineedit *e, const char *prompt, bool color)
{
    struct winsize w;
    size_t n_columns = ioctl(2, TIOCGWINSZ, &w) == 0 && w.ws_col > 8 ? w.ws_col : 80;
    size_t room = n_columns - 1 > strlen(prompt) + 4 ? n_columns - 1 - strlen(prompt) : 4;
    struct buffer b = {0};
    uint32_t code;
    char text[32];
    if (e->cursor < e->n_left)
        e->n_left = e->cursor;
    while (width_between(e, e->n_left, e->cursor) >= room)
        e->n_left += n_at(e, e->n_left, &code);
    buffer_add(&b, "\r\x1b[1m", color ? 5 : 1);
    buffer_add(&b, prompt, strlen(prompt));
    buffer_add(&b, "\x1b[0m", color ? 4 : 0);
    size_t used = 0;
    for (size_t at = e->n_left; at < e->line.n_bytes;) {
        size_t n = n_at(e, at, &code);
        used += columns(code);
        if (used > room)
            break;
        if (code == '\n')
            buffer_add(&b, "\xe2\x86\xb5", 3);
        else if (code < 0x20 || code == 0x7f || (n == 1 && code == '?'))
            buffer_add(&b, "?", 1);
        else
            buffer_add(&b, e->line.data + at, n);
        at += n;
    }
    size_t column = strlen(prompt) + width_between(e, e->n_left, e->cursor);
    int n = snprintf(text, sizeof text, "\x1b[K\r\x1b[%zuC", column);
    buffer_add(&b, text, (size_t)n);
    if (!b.failed && write(2, b.data, b.n_bytes) < 0)
        e->plain = true;
    buffer_free(&b);
}

static int next_byte(void)
{
    unsigned char c;
    ssize_t n = read(0, &c, 1);
    return n == 1 ? c : -1;
}

/* The rest of ESC [ ... or ESC O ... */
static uint32_t escape_key(void)
{
    static const struct {
        const char *sequence;
        enum key key;
    } keys[] = {{"[A", KEY_UP},      {"[B", KEY_DOWN},       {"[C", KEY_RIGHT},
                {"[D", KEY_LEFT},    {"[H", KEY_HOME},       {"[F", KEY_END},
                {"OH", KEY_HOME},    {"OF", KEY_END},        {"OA", KEY_UP},
                {"OB", KEY_DOWN},    {"OC", KEY_RIGHT},      {"OD", KEY_LEFT},
                {"[1~", KEY_HOME},   {"[4~", KEY_END},       {"[7~", KEY_HOME},
                {"[8~", KEY_END},    {"[3~", KEY_DELETE},    {"[1;5C", KEY_WORD_RIGHT},
                {"[1;5D", KEY_WORD_LEFT}, {"b", KEY_WORD_LEFT}, {"f", KEY_WORD_RIGHT},
                {"[200~", KEY_PASTE_ON}, {"[201~", KEY_PASTE_OFF}};
    char seen[16];
    size_t n = 0;
    int c;
    do {
        c = next_byte();
        if (c < 0)
            return KEY_EOF;
        if (c == CTRL_C) /* behind an ESC that nothing follows */
            return CTRL_C;
        seen[n++] = (char)c;
        seen[n] = '\0';
    } while (n + 1 < sizeof seen && (n == 1 ? c == '[' || c == 'O' : c < 0x40 || c > 0x7e));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (strcmp(keys[i].sequence, seen) == 0)
            return keys[i].key;
    }
    return KEY_NONE;
}

static uint32_t next_key(char *bytes, size_t *n_bytes)
{
    int c = next_byte();
    *n_bytes = 0;
    if (c < 0)
        return KEY_EOF;
    if (c == 0x1b)
        return escape_key();
    bytes[(*n_bytes)++] = (char)c;
    while (*n_bytes < 4 && utf8_unfinished(bytes, *n_bytes) == *n_bytes) {
        c = next_byte();
        if (c < 0)
            return KEY_EOF;
        bytes[(*n_bytes)++] = (char)c;
    }
    return *n_bytes == 1 ? (unsigned char)bytes[0] : 0x80;
}

static void insert(struct lineedit *e, const char *bytes, size_t n)
{
    buffer_add(&e->line, bytes, n); /* makes room; then the tail moves over it */
    if (e->line.failed)
        return;
    if (e->cursor == 0)
        e->pasted = e->pasting;
    memmove(e->line.data + e->cursor + n, e->line.data + e->cursor,
            e->line.n_bytes - n - e->cursor);
    memcpy(e->line.data + e->cursor, bytes, n);
    e->cursor += n;
}

static void erase(struct lineedit *e, size_t from, size_t to)
{
    if (from == to)
        return; /* an empty line has no data at all */
    memmove(e->line.data + from, e->line.data + to, e->line.n_bytes - to);
    e->line.n_bytes -= to - from;
    e->cursor = from;
}

static size_t word_left(const struct lineedit *e)
{
    size_t at = e->cursor;
    while (at > 0 && e->line.data[at - 1] == ' ')
        at--;
    while (at > 0 && e->line.data[at - 1] != ' ')
        at--;
    return at;
}

static size_t word_right(const struct lineedit *e)
{
    size_t at = e->cursor;
    while (at < e->line.n_bytes && e->line.data[at] == ' ')
        at++;
    while (at < e->line.n_bytes && e->line.data[at] != ' ')
        at++;
    return at;
}

static void show_history(struct lineedit *e, bool up)
{
    if (up ? e->at == 0 : e->at == e->n_history)
        return;
    if (e->at == e->n_history) {
        e->typed.n_bytes = 0;
        buffer_add(&e->typed, e->line.data, e->line.n_bytes);
    }
    e->at += up ? (size_t)-1 : 1;
    e->line.n_bytes = 0;
    e->pasted = false;
    if (e->at == e->n_history)
        buffer_add(&e->line, e->typed.data, e->typed.n_bytes);
    else
        buffer_add(&e->line, e->history[e->at], strlen(e->history[e->at]));
    e->cursor = e->line.n_bytes;
    e->n_left = 0;
}

/* Moves, erases, inserts; false when the key ends the line. */
static bool handle(struct lineedit *e, uint32_t key, const char *bytes, size_t n_bytes)
{
    uint32_t code;
    size_t n = e->line.n_bytes, at = e->cursor;
    switch (key) {
    case '\r':
    case '\n':
        if (!e->pasting)
            return false;
        insert(e, "\n", 1);
        break;
    case CTRL_A: case KEY_HOME: e->cursor = 0; break;
    case CTRL_E: case KEY_END: e->cursor = n; break;
    case CTRL_B: case KEY_LEFT: e->cursor = at > 0 ? before(e, at) : 0; break;
    case CTRL_F: case KEY_RIGHT: e->cursor = at < n ? at + n_at(e, at, &code) : n; break;
    case KEY_WORD_LEFT: e->cursor = word_left(e); break;
    case KEY_WORD_RIGHT: e->cursor = word_right(e); break;
    case CTRL_P: case KEY_UP: show_history(e, true); break;
    case CTRL_N: case KEY_DOWN: show_history(e, false); break;
    case CTRL_K: erase(e, at, n); break;
    case CTRL_U: erase(e, 0, at); break;
    case CTRL_W: erase(e, word_left(e), at); break;
    case CTRL_D: case KEY_DELETE:
        if (at < n)
            erase(e, at, at + n_at(e, at, &code));
        break;
    case BACKSPACE: case CTRL_H:
        if (at > 0)
            erase(e, before(e, at), at);
        break;
    case CTRL_L:
        if (write(2, "\x1b[H\x1b[2J", 7) < 0)
            return false;
        break;
    case KEY_PASTE_ON: e->pasting = true; break;
    case KEY_PASTE_OFF: e->pasting = false; break;
    default:
        if (key == '\t' || (key >= 0x20 && key < 0x110000))
            insert(e, bytes, n_bytes);
    }
    return true;
}

static enum line_result read_keys(struct lineedit *e, const char *prompt, bool color)
{
    char bytes[4];
    size_t n_bytes;
    for (;;) {
        draw(e, prompt, color);
        uint32_t key = next_key(bytes, &n_bytes);
        if (key == KEY_EOF)
            return errno == EINTR ? LINE_INTERRUPTED : LINE_END;
        if (key == CTRL_C)
            return LINE_INTERRUPTED;
        if (key == CTRL_D && e->line.n_bytes == 0)
            return LINE_END;
        if (!handle(e, key, bytes, n_bytes))
            return LINE_TEXT;
    }
}

static enum line_result read_plain(struct lineedit *e, const char *prompt)
{
    if (e->prompts)
        fputs(prompt, stderr);
    for (;;) {
        char c;
        ssize_t n = read(0, &c, 1); /* by the byte: nothing is taken that is not used */
        if (n < 0)
            return errno == EINTR ? LINE_INTERRUPTED : LINE_END;
        if (n == 0)
            return e->line.n_bytes > 0 ? LINE_TEXT : LINE_END;
        if (c == '\n')
            return LINE_TEXT;
        buffer_add(&e->line, &c, 1);
    }
}

enum line_result lineedit_read(struct lineedit *e, const char *prompt, bool color)
{
    struct termios old, raw;
    static const char paste_on[] = "\x1b[?2004h", paste_off[] = "\x1b[?2004l\r\n";
    e->line.n_bytes = e->cursor = e->n_left = 0;
    e->at = e->n_history;
    e->pasting = e->pasted = false;
    errno = 0;
    if (e->plain || tcgetattr(0, &old) != 0)
        return read_plain(e, prompt);
    raw = old;
    raw.c_iflag &= ~(tcflag_t)(BRKINT | ICRNL | INPCK | ISTRIP | IXON);
    raw.c_lflag &= ~(tcflag_t)(ECHO | ICANON | IEXTEN | ISIG);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    if (tcsetattr(0, TCSADRAIN, &raw) != 0 || write(2, paste_on, sizeof paste_on - 1) < 0)
        return read_plain(e, prompt);
    enum line_result result =
        e->signalled && e->signalled() ? LINE_INTERRUPTED : read_keys(e, prompt, color);
    if (write(2, paste_off, sizeof paste_off - 1) < 0)
        result = LINE_END;
    tcsetattr(0, TCSADRAIN, &old);
    return result;
}
