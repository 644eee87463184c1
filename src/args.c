/* args.c: reads argv by the rows of a command. Options stand in any order among the
 * operands; "--" ends them; a value follows as the next word, after "=", or right behind
 * a single letter. */
#include "src/args.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

const char *args_spelling(const struct arg_option *o, size_t i, size_t *n_bytes)
{
    const char *p = o->names;
    for (; i > 0 && p != NULL; i--) {
        p = strchr(p, ' ');
        p = p != NULL ? p + 1 : NULL;
    }
    if (p != NULL)
        *n_bytes = strcspn(p, " ");
    return p;
}

const struct arg_option *args_row(const struct arg_command *c, size_t i, const char **title)
{
    for (size_t g = 0; g < ARGS_MAX_GROUPS && c->groups[g] != NULL; g++) {
        const struct arg_option *o = c->groups[g]->options;
        size_t n_rows = 0;
        while (o[n_rows].names != NULL)
            n_rows++;
        if (i < n_rows) {
            if (title != NULL)
                *title = i == 0 ? c->groups[g]->title : NULL;
            return &o[i];
        }
        i -= n_rows;
    }
    return NULL;
}

static bool spelled(const struct arg_option *o, const char *text, size_t n_bytes)
{
    size_t n;
    const char *name;
    for (size_t i = 0; (name = args_spelling(o, i, &n)) != NULL; i++) {
        if (n == n_bytes && memcmp(name, text, n) == 0)
            return true;
    }
    return false;
}

static const struct arg_option *find(const struct arg_command *c, const char *text, size_t n_bytes)
{
    const struct arg_option *o;
    for (size_t i = 0; (o = args_row(c, i, NULL)) != NULL; i++) {
        if (spelled(o, text, n_bytes))
            return o;
    }
    return NULL;
}

/* How many letters must be added, dropped, changed or swapped with their neighbour; names
 * are short, so longer ones count as infinitely far. */
static size_t distance(const char *a, size_t n_a, const char *b, size_t n_b)
{
    enum { MAX = 40 };
    size_t row[3][MAX + 1];
    if (n_a > MAX || n_b > MAX)
        return MAX;
    for (size_t j = 0; j <= n_b; j++)
        row[0][j] = j;
    for (size_t i = 1; i <= n_a; i++) {
        size_t *now = row[i % 3], *up = row[(i + 2) % 3], *up2 = row[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= n_b; j++) {
            size_t best = up[j - 1] + (a[i - 1] != b[j - 1]);
            if (up[j] + 1 < best)
                best = up[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                up2[j - 2] + 1 < best)
                best = up2[j - 2] + 1;
            now[j] = best;
        }
    }
    return row[n_a % 3][n_b];
}

/* A third of the letters may be wrong, two at most; one letter is never near another. */
static size_t reach(size_t n_bytes)
{
    return n_bytes >= 6 ? 2 : n_bytes >= 3 ? 1 : 0;
}

static const char *nearest_option(const struct arg_command *c, const char *text, size_t n_bytes,
                                  size_t *n_near)
{
    const char *near = NULL, *name;
    size_t best = reach(n_bytes) + 1, n;
    const struct arg_option *o;
    for (size_t i = 0; (o = args_row(c, i, NULL)) != NULL; i++) {
        for (size_t k = 0; (name = args_spelling(o, k, &n)) != NULL; k++) {
            size_t d = distance(text, n_bytes, name, n);
            if (d < best) {
                best = d;
                near = name;
                *n_near = n;
            }
        }
    }
    return near;
}

const struct arg_command *args_command(const char *name)
{
    for (size_t i = 0; arg_commands[i] != NULL; i++) {
        if (strcmp(arg_commands[i]->name, name) == 0)
            return arg_commands[i];
    }
    return NULL;
}

const char *args_nearest_command(const char *text)
{
    const char *near = NULL;
    size_t best = reach(strlen(text)) + 1;
    for (size_t i = 0; arg_commands[i] != NULL; i++) {
        const char *name = arg_commands[i]->name;
        size_t d = distance(text, strlen(text), name, strlen(name));
        if (d < best) {
            best = d;
            near = name;
        }
    }
    return near;
}

bool args_parse_seconds(const char *text, double *out)
{
    static const struct {
        const char *unit;
        double seconds;
    } units[] = {{"ms", 0.001}, {"s", 1}, {"m", 60}, {"h", 3600}};
    char digits[32];
    size_t n = strspn(text, "0123456789.");
    double unit = text[n] == '\0' ? 1 : 0, value;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcmp(text + n, units[i].unit) == 0)
            unit = units[i].seconds;
    }
    if (unit == 0 || n == 0 || n >= sizeof digits)
        return false;
    memcpy(digits, text, n);
    digits[n] = '\0';
    if (!parse_f64(digits, 0, 1e9, &value))
        return false;
    *out = value * unit;
    return true;
}

static bool is_word(const char *words, const char *text)
{
    size_t n = strlen(text);
    for (const char *w = words; *w != '\0'; w += strspn(w, "|")) {
        size_t n_word = strcspn(w, "|");
        if (n_word == n && memcmp(w, text, n) == 0)
            return true;
        w += n_word;
    }
    return false;
}

bool args_check(const struct arg_option *o, const char *spelling, const char *text,
                struct bitnet_error *err)
{
    int64_t whole;
    double real;
    switch (o->kind) {
    case ARG_INT:
        if (parse_i64(text, (int64_t)o->min, (int64_t)o->max, &whole))
            return true;
        return fail(err, BITNET_USAGE, "%s %s: must be a whole number from %.0f to %.0f",
                    spelling, text, o->min, o->max);
    case ARG_REAL:
        if (parse_f64(text, o->min, o->max, &real))
            return true;
        return fail(err, BITNET_USAGE, "%s %s: must be a number from %g to %g", spelling, text,
                    o->min, o->max);
    case ARG_TIME:
        if (args_parse_seconds(text, &real) && real > 0)
            return true;
        return fail(err, BITNET_USAGE, "%s %s: must be a time such as 2s, 500ms or 1.5m",
                    spelling, text);
    case ARG_WORD:
        if (is_word(o->words, text))
            return true;
        return fail(err, BITNET_USAGE, "%s %s: must be one of %s", spelling, text, o->words);
    case ARG_FILE:
        if (text[0] != '\0')
            return true;
        return fail(err, BITNET_USAGE, "%s: the name of the file is empty", spelling);
    case ARG_FLAG:
    case ARG_TEXT:
        break;
    }
    return true;
}

static bool unknown(const struct arg_command *c, const char *word, struct bitnet_error *err)
{
    size_t n = strcspn(word, "="), n_near = 0;
    const char *near = nearest_option(c, word, n, &n_near);
    if (near != NULL)
        return fail(err, BITNET_USAGE, "unknown option '%.*s'; did you mean '%.*s'?", (int)n, word,
                    (int)n_near, near);
    return fail(err, BITNET_USAGE, "unknown option '%.*s'", (int)n, word);
}

static bool keep(struct args *a, const struct arg_option *o, const char *spelling,
                 const char *value, struct bitnet_error *err)
{
    if (o->kind != ARG_FLAG && value == NULL)
        return fail(err, BITNET_USAGE, "%s needs a value: %s %s", spelling, spelling, o->metavar);
    if (value != NULL && !args_check(o, spelling, value, err))
        return false;
    a->given[a->n_given++] = (struct arg_given){o, value};
    return true;
}

/* -vq, -n20: letters that take no value; the last may take the rest of the word as its
 * own. */
static bool letters(struct args *a, const char *word, const char *next, int *i,
                    struct bitnet_error *err)
{
    for (const char *p = word + 1; *p != '\0'; p++) {
        const char letter[3] = {'-', *p, '\0'};
        const struct arg_option *o = find(a->command, letter, 2);
        if (o == NULL)
            return unknown(a->command, word, err);
        if (o->kind != ARG_FLAG) {
            if (p[1] == '\0')
                (*i)++;
            return keep(a, o, letter, p[1] != '\0' ? p + 1 : next, err);
        }
        if (!keep(a, o, letter, NULL, err))
            return false;
    }
    return true;
}

static bool option(struct args *a, char **argv, int *i, struct bitnet_error *err)
{
    const char *word = argv[*i], *equals = strchr(word, '=');
    size_t n = equals != NULL ? (size_t)(equals - word) : strlen(word);
    const struct arg_option *o = find(a->command, word, n);
    char spelling[64];
    snprintf(spelling, sizeof spelling, "%.*s", (int)n, word);
    if (strcmp(spelling, "-ngl") == 0 || strcmp(spelling, "--n-gpu-layers") == 0)
        return fail(err, BITNET_USAGE, "unknown option '%s': there are no GPU layers here; leave "
                                       "it out", spelling);
    if (o == NULL && word[1] != '-')
        return letters(a, word, argv[*i + 1], i, err);
    if (o == NULL)
        return unknown(a->command, word, err);
    if (o->kind == ARG_FLAG) {
        if (equals != NULL)
            return fail(err, BITNET_USAGE, "%s takes no value", spelling);
        return keep(a, o, spelling, NULL, err);
    }
    if (equals != NULL)
        return keep(a, o, spelling, equals + 1, err);
    (*i)++;
    return keep(a, o, spelling, argv[*i], err);
}

bool args_parse(struct args *a, const struct arg_command *command, int argc, char **argv,
                struct bitnet_error *err)
{
    /* A word of letters (-vq) gives more than one option. */
    size_t n_room = 1;
    for (int i = 1; i < argc; i++)
        n_room += 1 + strlen(argv[i]);
    *a = (struct args){.command = command};
    a->given = calloc(n_room, sizeof *a->given);
    a->operands = calloc((size_t)argc + 1, sizeof *a->operands);
    if (a->given == NULL || a->operands == NULL)
        return fail(err, BITNET_FAILED, "out of memory for %d words", argc);
    bool more_options = true;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (more_options && strcmp(word, "--") == 0)
            more_options = false;
        else if (!more_options || word[0] != '-' || word[1] == '\0')
            a->operands[a->n_operands++] = word;
        else if (!option(a, argv, &i, err))
            return false;
        else if (args_flag(a, "--help"))
            return true;
    }
    if (a->n_operands < (size_t)command->min_operands)
        return fail(err, BITNET_USAGE, "too few arguments: bitnet %s %s", command->name,
                    command->usage);
    if (command->max_operands >= 0 && a->n_operands > (size_t)command->max_operands)
        return fail(err, BITNET_USAGE, "'%s' is one argument too many: bitnet %s %s",
                    a->operands[command->max_operands], command->name, command->usage);
    return true;
}

void args_free(struct args *a)
{
    free(a->given);
    free(a->operands);
    *a = (struct args){0};
}

static const struct arg_option *row(const struct args *a, const char *name)
{
    const struct arg_option *o = find(a->command, name, strlen(name));
    if (o == NULL) {
        fprintf(stderr, "bitnet: no row for %s of '%s'\n", name, a->command->name);
        abort();
    }
    return o;
}

const char *args_nth(const struct args *a, const char *name, size_t i)
{
    const struct arg_option *o = row(a, name);
    for (size_t k = 0; k < a->n_given; k++) {
        if (a->given[k].option == o && i-- == 0)
            return a->given[k].value;
    }
    return NULL;
}

bool args_given(const struct args *a, const char *name)
{
    const struct arg_option *o = row(a, name);
    for (size_t k = 0; k < a->n_given; k++) {
        if (a->given[k].option == o)
            return true;
    }
    return false;
}

bool args_flag(const struct args *a, const char *name)
{
    assert(row(a, name)->kind == ARG_FLAG);
    return args_given(a, name);
}

const char *args_text(const struct args *a, const char *name)
{
    const struct arg_option *o = row(a, name);
    for (size_t k = a->n_given; k-- > 0;) {
        if (a->given[k].option == o)
            return a->given[k].value;
    }
    return o->standard;
}

int64_t args_int(const struct args *a, const char *name)
{
    const struct arg_option *o = row(a, name);
    const char *text = args_text(a, name);
    int64_t value = 0;
    assert(o->kind == ARG_INT);
    if (text != NULL && !parse_i64(text, (int64_t)o->min, (int64_t)o->max, &value))
        assert(!"a default outside its own range");
    return value;
}

double args_real(const struct args *a, const char *name)
{
    const struct arg_option *o = row(a, name);
    const char *text = args_text(a, name);
    double value = 0;
    assert(o->kind == ARG_REAL);
    if (text != NULL && !parse_f64(text, o->min, o->max, &value))
        assert(!"a default outside its own range");
    return value;
}

double args_seconds(const struct args *a, const char *name)
{
    const char *text = args_text(a, name);
    double value = 0;
    if (text != NULL)
        args_parse_seconds(text, &value);
    return value;
}
