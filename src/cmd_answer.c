/* cmd_answer.c: whole characters, stop texts, lines, sentences, byte limits. */
#include "src/cmd_answer.h"

#include <string.h>

#include "src/utf8.h"

const char *finish_name(enum finish f)
{
    static const char *const names[] = {"none",    "eos",  "stop",  "until",    "length",
                                        "context", "time", "bytes", "interrupt"};
    return names[f];
}

bool finish_is_limit(enum finish f)
{
    return f == FINISH_LENGTH || f == FINISH_CONTEXT || f == FINISH_TIME || f == FINISH_BYTES;
}

void answer_begin(struct answer *a, const struct answer_rules *rules)
{
    a->rules = *rules;
    a->raw.n_bytes = a->text.n_bytes = a->n_ready = a->n_start = a->n_searched = 0;
    a->finish = FINISH_NONE;
}

void answer_free(struct answer *a)
{
    buffer_free(&a->raw);
    buffer_free(&a->text);
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Moves whole characters from raw to text; a byte that fits none becomes U+FFFD. */
static void take_characters(struct answer *a)
{
    const char *p = (const char *)a->raw.data;
    size_t n = a->raw.n_bytes, i = 0;
    size_t n_whole = n - (n > 0 ? utf8_unfinished(p, n) : 0);
    while (i < n_whole) {
        uint32_t code;
        size_t k = utf8_decode(p + i, n_whole - i, &code);
        if (k > 0)
            buffer_add(&a->text, p + i, k);
        else
            buffer_add(&a->text, "\xef\xbf\xbd", 3);
        i += k > 0 ? k : 1;
    }
    if (i > 0) {
        memmove(a->raw.data, a->raw.data + i, n - i);
        a->raw.n_bytes = n - i;
    }
}

static bool ends_with_word(const uint8_t *text, size_t n, const char *word)
{
    size_t k = strlen(word);
    return n >= k && memcmp(text + n - k, word, k) == 0 &&
           (n == k || is_blank(text[n - k - 1]) || text[n - k - 1] == '"');
}

/* A full stop that ends no sentence: of a title or of an initial. */
static bool is_abbreviation(const uint8_t *text, size_t n)
{
    static const char *const words[] = {"Mr", "Mrs", "Ms", "Dr", "St", "Prof", "vs", "e.g", "i.e"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (ends_with_word(text, n, words[i]))
            return true;
    }
    return n >= 1 && text[n - 1] >= 'A' && text[n - 1] <= 'Z' && text[n - 1] != 'I' &&
           (n == 1 || is_blank(text[n - 2]));
}

/* Bytes of the closing quote or bracket at p, or 0. */
static size_t closer(const uint8_t *p, size_t n)
{
    static const char *const marks[] = {"\"", "'", ")", "]", "\xe2\x80\x9d", "\xe2\x80\x99",
                                        "\xc2\xbb"};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        size_t k = strlen(marks[i]);
        if (n >= k && memcmp(p, marks[i], k) == 0)
            return k;
    }
    return 0;
}

/* Where the sentence that starts at `from` ends: behind its full stop and closing quotes,
 * once a blank follows. SIZE_MAX: not yet. The marks of Chinese and Japanese need no
 * blank. */
static size_t sentence_end(const uint8_t *t, size_t from, size_t n)
{
    static const char *const wide[] = {"\xe3\x80\x82", "\xef\xbc\x81", "\xef\xbc\x9f"};
    for (size_t i = from; i < n; i++) {
        if (t[i] == '\n')
            return i;
        for (size_t k = 0; k < 3; k++) {
            if (n - i >= 3 && memcmp(t + i, wide[k], 3) == 0)
                return i + 3;
        }
        if (t[i] != '.' && t[i] != '!' && t[i] != '?')
            continue;
        size_t end = i + 1, k;
        while (end < n && (t[end] == '.' || t[end] == '!' || t[end] == '?'))
            end++;
        while ((k = closer(t + end, n - end)) > 0)
            end += k;
        if (end < n && is_blank(t[end]) && !(t[i] == '.' && is_abbreviation(t + from, i - from)))
            return end;
    }
    return SIZE_MAX;
}

static size_t until_end(struct answer *a)
{
    const uint8_t *t = a->text.data;
    size_t n = a->text.n_bytes;
    while (a->n_start < n && is_blank(t[a->n_start]))
        a->n_start++;
    if (a->n_start == n)
        return SIZE_MAX;
    if (a->rules.until == UNTIL_SENTENCE)
        return sentence_end(t, a->n_start, n);
    const uint8_t *newline = memchr(t + a->n_start, '\n', n - a->n_start);
    return newline != NULL ? (size_t)(newline - t) : SIZE_MAX;
}

/* The first place at or after `from` where a stop text stands whole; *n_held: how many
 * bytes at the end may be the start of one. */
static size_t stop_at(const struct answer *a, size_t from, size_t *n_held)
{
    const uint8_t *t = a->text.data;
    size_t n = a->text.n_bytes, best = SIZE_MAX;
    *n_held = 0;
    for (size_t i = 0; i < a->rules.n_stops; i++) {
        const char *stop = a->rules.stops[i];
        size_t k = strlen(stop);
        for (size_t at = from; at < n && at < best; at++) {
            size_t n_rest = n - at < k ? n - at : k;
            if (t[at] != (uint8_t)stop[0] || memcmp(t + at, stop, n_rest) != 0)
                continue;
            if (n_rest == k)
                best = at;
            else if (n - at > *n_held)
                *n_held = n - at;
        }
    }
    return best;
}

/* The longest prefix of at most max bytes that ends with a whole character. */
static size_t whole_characters(const uint8_t *text, size_t max)
{
    while (max > 0 && (text[max] & 0xc0) == 0x80)
        max--;
    return max;
}

/* Where the rules of length end the text, SIZE_MAX: nowhere yet. */
static size_t limit_at(struct answer *a, enum finish *finish)
{
    size_t until = a->rules.until != UNTIL_END ? until_end(a) : SIZE_MAX;
    size_t n = a->text.n_bytes, max = SIZE_MAX;
    if (a->rules.max_bytes > 0 && n - a->n_start > a->rules.max_bytes)
        max = whole_characters(a->text.data, a->n_start + (size_t)a->rules.max_bytes);
    *finish = max < until ? FINISH_BYTES : FINISH_UNTIL;
    return max < until ? max : until;
}

/* The earliest end counts. While the last bytes may be the start of a stop text that
 * would end the answer before a limit does, the limit waits. last: no more bytes come. */
static void settle(struct answer *a, bool last)
{
    size_t n_held = 0;
    enum finish limited;
    if (a->finish != FINISH_NONE || a->text.n_bytes == 0)
        return;
    size_t stop = stop_at(a, a->n_searched, &n_held), limit = limit_at(a, &limited);
    a->n_searched = a->text.n_bytes - (last ? 0 : n_held);
    if (stop < limit) {
        a->text.n_bytes = stop;
        a->finish = FINISH_STOP;
    } else if (limit <= a->n_searched) {
        a->text.n_bytes = limit;
        a->finish = limited;
    }
    size_t n = a->text.n_bytes;
    if (a->n_start > n)
        a->n_start = n;
    a->n_ready = a->n_searched < n ? a->n_searched : n;
    if (a->n_ready > limit)
        a->n_ready = limit;
    if (a->n_ready < a->n_start)
        a->n_ready = a->n_start;
}

void answer_add(struct answer *a, const char *bytes, size_t n_bytes)
{
    if (a->finish != FINISH_NONE)
        return;
    buffer_add(&a->raw, bytes, n_bytes);
    take_characters(a);
    settle(a, false);
}

void answer_end(struct answer *a, enum finish finish)
{
    settle(a, true);
    if (a->finish == FINISH_NONE)
        a->finish = finish;
    a->n_ready = a->text.n_bytes;
}
