#include "src/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_COLUMNS = 79, BAR_COLUMNS = 20 };
static const uint64_t first_ns = 300 * 1000000ull, every_ns = 100 * 1000000ull;

void progress_start(struct progress *p, const char *what, const char *unit, uint64_t n_total,
                    bool quiet)
{
    const char *term = getenv("TERM");
    bool dumb = !term || strcmp(term, "dumb") == 0;
    *p = (struct progress){.what = what, .unit = unit, .n_total = n_total};
    p->on = !quiet && !dumb && isatty(STDERR_FILENO);
    p->start_ns = now_ns();
    /* What is done at once shows no bar. */
    p->shown_ns = p->start_ns + first_ns - every_ns;
}

/* "12.3 M" */
static void print_count(char out[16], double n)
{
    static const char prefix[] = " kMGT";
    size_t i = 0;
    for (; n >= 999.5 && prefix[i + 1]; i++)
        n /= 1000;
    snprintf(out, 16, n < 10 && i > 0 ? "%.1f %.1s" : "%.0f %.1s", n, i ? prefix + i : "");
}

static void print_time(char out[16], double seconds)
{
    unsigned s = seconds < 359999 ? (unsigned)(seconds + 0.5) : 359999;
    if (s < 3600)
        snprintf(out, 16, "%u:%02u", s / 60, s % 60);
    else
        snprintf(out, 16, "%u:%02u:%02u", s / 3600, s / 60 % 60, s % 60);
}

void progress_set(struct progress *p, uint64_t n_done)
{
    uint64_t now = p->on ? now_ns() : 0;
    if (!p->on || now < p->shown_ns + every_ns)
        return;
    char line[256], rate[16], done[16], left[16] = "?", bar[BAR_COLUMNS + 1] = "";
    double s = (double)(now - p->start_ns) / 1e9, per_s = (double)n_done / s;
    p->shown_ns = now;
    print_count(rate, per_s);
    print_count(done, (double)n_done);
    if (p->n_total) {
        double part = n_done < p->n_total ? (double)n_done / (double)p->n_total : 1;
        for (size_t i = 0; i < BAR_COLUMNS; i++)
            bar[i] = (double)i < part * BAR_COLUMNS ? '#' : '.';
        if (n_done)
            print_time(left, s * (1 - part) / part);
        snprintf(line, sizeof line, "%.32s %s %3.0f%% %s%s/s, %s left", p->what, bar, 100 * part,
                 rate, p->unit, left);
    } else {
        snprintf(line, sizeof line, "%.32s %s%s, %s%s/s", p->what, done, p->unit, rate, p->unit);
    }
    fprintf(stderr, "\r%-*.*s", LINE_COLUMNS, LINE_COLUMNS, line);
    fflush(stderr);
}

void progress_clear(struct progress *p)
{
    if (p->on && p->shown_ns > p->start_ns + first_ns - every_ns)
        fprintf(stderr, "\r%*s\r", LINE_COLUMNS, "");
    p->on = false;
}
