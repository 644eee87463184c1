/* import_report.c: says what became of each tensor: how it is kept and what was lost. */
#include "tools/import.h"

static void report_tensor(FILE *to, const struct source_tensor *t, const struct plan *p)
{
    static const char *const scales[] = {"", " tensor", " row", " column", ""};
    char name[16], error[32] = "lossless";
    layout_name(name, p->encoding, p->group);
    if (p->max_error > 0)
        snprintf(error, sizeof error, "error <= %.3g", p->max_error);
    fprintf(to, "%-24s %8llu x %-7llu %-18s -> %-7s%-8s %6.3f bits  %s\n", t->name,
            (unsigned long long)t->n_rows, (unsigned long long)t->n_cols, t->from, name,
            scales[p->scale], 8.0 * (double)p->n_bytes / ((double)t->n_rows * (double)t->n_cols),
            error);
}

/* One line for each kind of tensor: how many, how packed, how much was lost. */
static void report_summary(const struct import_job *j, const struct source *s,
                           const struct plan *plans, const char *arch, const char *act)
{
    FILE *to = j->report;
    static const char *const roles[] = {"norms", "embedding and head", "matrices"};
    uint64_t n_all = 0;
    for (size_t i = 0; i < s->n_tensors; i++)
        n_all += plans[i].n_bytes;
    fprintf(to, "%s: %s, %zu tensors, %.1f MB, activations %s\n", j->out, arch,
            s->n_tensors, (double)n_all / 1e6, act);
    for (int role = ROLE_BODY; role >= ROLE_GAIN; role--) {
        double n_bytes = 0, n_weights = 0, worst = 0;
        const struct plan *first = NULL;
        bool mixed = false;
        size_t n = 0;
        for (size_t i = 0; i < s->n_tensors; i++) {
            const struct plan *p = &plans[i];
            if ((int)s->tensors[i].role != role)
                continue;
            first = first ? first : p;
            mixed |= p->encoding != first->encoding || p->group != first->group;
            n_bytes += (double)p->n_bytes;
            n_weights += (double)s->tensors[i].n_rows * (double)s->tensors[i].n_cols;
            worst = p->max_error > worst ? p->max_error : worst;
            n++;
        }
        char name[16] = "none", error[48] = "lossless";
        if (first)
            layout_name(name, first->encoding, first->group);
        if (worst > 0)
            snprintf(error, sizeof error, "largest error %.3g", worst);
        fprintf(to, "  %4zu %-18s %s%s, %.3f bits per weight, %s\n", n, roles[role], name,
                mixed ? " and others" : "", n_weights > 0 ? 8 * n_bytes / n_weights : 0, error);
    }
}

void report_all(const struct import_job *j, const struct source *s, const struct plan *plans,
                const char *arch, const char *act, const char *remark)
{
    for (size_t i = 0; j->verbose && i < s->n_tensors; i++)
        report_tensor(j->report, &s->tensors[i], &plans[i]);
    report_summary(j, s, plans, arch, act);
    if (remark[0])
        fprintf(j->report, "  %s\n", remark);
}
