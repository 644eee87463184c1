/* pretok.c: see pretok.h. A scanner gets text[at..end) and returns where the chunk that
 * starts at `at` ends. The families are rows of one table: which passes, and what the
 * last one allows. */
#include "src/pretok.h"

#include "src/unicode.h"
#include "src/utf8.h"

enum {
    letter = UNICODE_LETTER,
    number = UNICODE_NUMBER,
    mark = UNICODE_MARK,
    space = UNICODE_SPACE,
    line = 32 /* CR or LF */
};

/* The class of the character at p + at, and where the next one starts. */
static unsigned class_at(const char *text, size_t at, size_t end, size_t *next)
{
    uint32_t code;
    size_t n = utf8_decode(text + at, end - at, &code);
    *next = at + (n == 0 ? 1 : n);
    if (n == 0) {
        return 0;
    }
    unsigned class = unicode_class(code);
    return code == '\n' || code == '\r' ? class | line : class;
}

/* The end of the run of characters that have one of the bits `any`, or (any 0) none of
 * `none`. */
static size_t run_end(const char *text, size_t at, size_t end, unsigned any,
                      unsigned none)
{
    size_t next;
    while (at < end) {
        unsigned class = class_at(text, at, end, &next);
        if (any != 0 ? (class & any) == 0 : (class & none) != 0) {
            break;
        }
        at = next;
    }
    return at;
}

/* The length of 's 't 're 've 'm 'll 'd at text + at, or 0. */
static size_t contraction(const char *text, size_t at, size_t end, bool any_case)
{
    if (text[at] != '\'' || end - at < 2) {
        return 0;
    }
    int fold = any_case ? 0x20 : 0;
    int a = text[at + 1], b = end - at > 2 ? text[at + 2] : 0;
    a = a >= 'A' && a <= 'Z' ? a | fold : a;
    b = b >= 'A' && b <= 'Z' ? b | fold : b;
    if (a == 's' || a == 't' || a == 'm' || a == 'd') {
        return 2;
    }
    return ((a == 'r' || a == 'v') && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

/* White space from at on: all of it at the end of the text, else all but its last
 * character, which goes to the word behind, else that one. */
static size_t spaces_end(const char *text, size_t at, size_t end)
{
    size_t last = at, next = at;
    while (next < end) {
        size_t after;
        if ((class_at(text, next, end, &after) & space) == 0) {
            return last > at ? last : next;
        }
        last = next;
        next = after;
    }
    return next;
}

static size_t gpt2_end(const char *text, size_t at, size_t end)
{
    size_t n = contraction(text, at, end, false);
    if (n > 0) {
        return at + n;
    }
    size_t next, word = at + (text[at] == ' ');
    if (word < end) {
        unsigned class = class_at(text, word, end, &next);
        if ((class & letter) != 0) {
            return run_end(text, next, end, letter, 0);
        }
        if ((class & number) != 0) {
            return run_end(text, next, end, number, 0);
        }
        if ((class & space) == 0) {
            return run_end(text, next, end, 0, letter | number | space);
        }
    }
    return spaces_end(text, at, end);
}

/* letters: what makes a word; max_digits: how many numbers stay together. */
static size_t llama3_end(const char *text, size_t at, size_t end, unsigned letters,
                         int max_digits)
{
    size_t n = contraction(text, at, end, true);
    if (n > 0) {
        return at + n;
    }
    size_t next, after;
    unsigned class = class_at(text, at, end, &next);
    if ((class & letters) != 0) {
        return run_end(text, next, end, letters, 0);
    }
    if ((class & (line | number)) == 0 && next < end &&
        (class_at(text, next, end, &after) & letters) != 0) {
        return run_end(text, after, end, letters, 0);
    }
    if ((class & number) != 0) {
        for (int i = 1; i < max_digits && next < end; i++, next = after) {
            if ((class_at(text, next, end, &after) & number) == 0) {
                break;
            }
        }
        return next;
    }
    unsigned no_symbol = letters | number | space;
    size_t symbols = at + (text[at] == ' ');
    size_t symbols_end = run_end(text, symbols, end, 0, no_symbol);
    if (symbols_end > symbols) {
        return run_end(text, symbols_end, end, line, 0);
    }
    /* White space: up to the last line end in the run, if there is one. */
    size_t lines = at;
    for (size_t i = at; i < end; i = next) {
        class = class_at(text, i, end, &next);
        if ((class & space) == 0) {
            break;
        }
        lines = (class & line) != 0 ? next : lines;
    }
    return lines > at ? lines : spaces_end(text, at, end);
}

static bool is_cut_out(const char *text, size_t at, size_t end, bool backtick,
                       size_t *next)
{
    char c = text[at];
    if (c == '$' || c == '+' || c == '<' || c == '=' || c == '>' || c == '^' ||
        c == '~' || c == '|' || (c == '`' && backtick)) {
        *next = at + 1;
        return true;
    }
    return (class_at(text, at, end, next) & UNICODE_PUNCT) != 0;
}

/* The end of a run that is punctuation throughout, or not at all. */
static size_t punct_end(const char *text, size_t at, size_t end, bool backtick)
{
    size_t next;
    bool first = is_cut_out(text, at, end, backtick, &next);
    while (next < end) {
        at = next;
        if (is_cut_out(text, at, end, backtick, &next) != first) {
            return at;
        }
    }
    return next;
}

/* The end of a run of numbers, or of none. */
static size_t numbers_end(const char *text, size_t at, size_t end)
{
    size_t in_run = run_end(text, at, end, number, 0);
    return in_run > at ? in_run : run_end(text, at, end, 0, number);
}

static bool three_digits(const char *text, size_t at, size_t end)
{
    return end - at >= 3 && text[at] >= '0' && text[at] <= '9' && text[at + 1] >= '0' &&
           text[at + 1] <= '9' && text[at + 2] >= '0' && text[at + 2] <= '9';
}

static size_t threes_end(const char *text, size_t at, size_t end)
{
    if (three_digits(text, at, end)) {
        return at + 3;
    }
    while (at < end && !three_digits(text, at, end)) {
        at++;
    }
    return at;
}

static size_t scan(enum pretokenizer family, int pass, const char *text, size_t at,
                   size_t end)
{
    bool is_falcon = family == PRETOK_FALCON;
    switch (family) {
    case PRETOK_NONE: return end;
    case PRETOK_GPT2: return gpt2_end(text, at, end);
    case PRETOK_LLAMA3: return llama3_end(text, at, end, letter, 3);
    case PRETOK_QWEN2: return llama3_end(text, at, end, letter, 1);
    case PRETOK_QWEN35: return llama3_end(text, at, end, letter | mark, 1);
    case PRETOK_FALCON:
    case PRETOK_DEFAULT: break;
    }
    switch (pass) {
    case 0: return punct_end(text, at, end, is_falcon);
    case 1: return gpt2_end(text, at, end);
    case 2: return is_falcon ? end : numbers_end(text, at, end);
    default: return threes_end(text, at, end);
    }
}

void pretok_start(struct pretok *p, enum pretokenizer family, const char *text,
                  size_t n_bytes)
{
    *p = (struct pretok){.text = text, .family = family, .n_bytes = n_bytes};
}

size_t pretok_next(struct pretok *p)
{
    if (p->at == p->n_bytes) {
        return 0;
    }
    bool in_passes = p->family == PRETOK_FALCON || p->family == PRETOK_DEFAULT;
    int last = in_passes ? 3 : 0;
    size_t begin = p->at, limit = p->n_bytes;
    for (int pass = 0; pass <= last; pass++) {
        /* When the piece of a pass is used up, cut its next one. */
        if (pass == last || p->ends[pass] <= begin) {
            p->ends[pass] = scan(p->family, pass, p->text, begin, limit);
        }
        limit = p->ends[pass];
    }
    p->at = limit;
    return limit - begin;
}
