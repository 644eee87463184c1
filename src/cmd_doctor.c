/* cmd_doctor.c: `bitnet doctor`: the machine, what it can do, and what to do about it. */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "src/cmd_out.h"
#include "src/machine.h"

enum { MAX_WARNINGS = 16 };

struct doctor {
    const struct args *args;
    struct machine machine;
    struct host host; /* model NULL: there is none */
    int n_threads;
    double one_gb_per_s, all_gb_per_s;
    uint64_t session_bytes;
    double tok_per_s;
    struct warning {
        char what[200], remedy[200];
    } warnings[MAX_WARNINGS];
    size_t n_warnings;
};

/* "what | remedy" */
static void warn(struct doctor *d, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void warn(struct doctor *d, const char *format, ...)
{
    char text[400];
    va_list list;
    if (d->n_warnings == MAX_WARNINGS)
        return;
    struct warning *w = &d->warnings[d->n_warnings++];
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    size_t n = strcspn(text, "|");
    snprintf(w->what, sizeof w->what, "%.*s", (int)(n > 0 ? n - 1 : 0), text);
    snprintf(w->remedy, sizeof w->remedy, "%.190s", text[n] != '\0' ? text + n + 2 : "");
}

static void check_cores(struct doctor *d)
{
    const struct machine *m = &d->machine;
    if (m->n_affinity > 0 && m->n_affinity < m->n_online)
        warn(d, "the affinity mask leaves %d of %d CPUs | start without taskset, or widen the "
                "cpuset of the container", m->n_affinity, m->n_online);
    if (m->quota > 0 && m->quota < m->n_online)
        warn(d, "the container may use %.1f of %d CPUs, and is stopped when it uses more | raise "
                "the quota (docker --cpus), or keep -t at or below it", m->quota, m->n_online);
    if (m->n_efficiency > 0 && d->n_threads > m->n_performance && m->n_performance > 0)
        warn(d, "%d threads on %d performance and %d efficiency cores: the slow ones hold up the "
                "fast | -t %d", d->n_threads, m->n_performance, m->n_efficiency, m->n_performance);
    else if (m->n_cores > 0 && d->n_threads > m->n_cores)
        warn(d, "%d threads on %d cores: two share one | -t %d", d->n_threads, m->n_cores,
             m->n_cores);
    if (m->n_numa > 1)
        warn(d, "memory lies on %d NUMA nodes; reads from another node are slow | numactl "
                "--interleave=all bitnet ..., or --cpunodebind=0 --membind=0", m->n_numa);
    if (m->load > 0.5 * m->n_usable)
        warn(d, "other programs keep %.1f CPUs busy; figures here are low | try again when it is "
                "quiet", m->load);
    if (strcmp(m->governor, "powersave") == 0)
        warn(d, "the CPU's frequency governor is powersave | cpupower frequency-set -g "
                "performance");
}

static void check_rest(struct doctor *d, const char *tier, const char *note)
{
    const struct machine *m = &d->machine;
    if (note[0] != '\0')
        warn(d, "%s | bitnet selftest shows more; please report it", note);
    if (strcmp(tier, "scalar") == 0)
        warn(d, "the scalar tier is in use: ten times slower than vectors | a CPU with AVX2 or "
                "NEON, and no --tier scalar");
    if (strcmp(m->huge_pages, "never") == 0)
        warn(d, "transparent huge pages are off: up to a tenth of the read speed | echo madvise "
                ">/sys/kernel/mm/transparent_hugepage/enabled");
    if (d->host.model == NULL)
        return;
    uint64_t need = bitnet_model_shape(d->host.model)->file_bytes + d->session_bytes;
    if (m->free_bytes > 0 && need > m->free_bytes)
        warn(d, "the model needs %.2f GB, %.2f GB are free: it would be read from disk for every "
                "token | a smaller model, a smaller -c, or fewer programs beside it",
             (double)need / 1e9, (double)m->free_bytes / 1e9);
}

/* Tokens per second at most: one token reads decode_bytes. A model that stays in the
 * cache is not bound by memory, and nothing is said of it. */
static void predict(struct doctor *d)
{
    /* Guests of a cloud see the cache of the whole host; more than this is not theirs. */
    const uint64_t most = (uint64_t)64 << 20;
    uint64_t cache = d->machine.cache_bytes < most ? d->machine.cache_bytes : most;
    const struct bitnet_shape *s = bitnet_model_shape(d->host.model);
    struct bitnet_session_options o = host_session_options(&d->host, 1, 1);
    d->session_bytes = bitnet_session_bytes(d->host.model, &o);
    if (s->decode_bytes > cache)
        d->tok_per_s = d->all_gb_per_s * 1e9 / (double)s->decode_bytes;
}

/* One thread is measured once: two figures for it would differ. */
static bool measure(struct doctor *d, struct bitnet_error *err)
{
    if (!machine_read_speed(1, &d->one_gb_per_s, err))
        return false;
    d->all_gb_per_s = d->one_gb_per_s;
    return d->n_threads == 1 || machine_read_speed(d->n_threads, &d->all_gb_per_s, err);
}

static bool examine(struct doctor *d, struct bitnet_error *err)
{
    bitnet_engine *e;
    if (!bitnet_engine_open(&e, args_text(d->args, "--tier"), (int)args_int(d->args, "--threads"),
                            err))
        return false;
    d->n_threads = bitnet_engine_threads(e);
    struct bitnet_error none = {0};
    bool named = cmd_model(args_text(d->args, "--model")) != NULL;
    if (!host_open(&d->host, d->args, 0, &none)) {
        host_close(&d->host);
        if (named) {
            bitnet_engine_close(e);
            *err = none;
            return false;
        }
    }
    if (!measure(d, err)) {
        bitnet_engine_close(e);
        return false;
    }
    if (d->host.model != NULL)
        predict(d);
    check_cores(d);
    check_rest(d, bitnet_engine_tier(e), bitnet_engine_note(e));
    d->host.engine = e;
    return true;
}

static void print_text(const struct doctor *d)
{
    const struct machine *m = &d->machine;
    printf("cpu         %s\n", m->cpu[0] != '\0' ? m->cpu : "unknown");
    printf("tier        %s, the best of: %s\n", bitnet_engine_tier(d->host.engine), m->tiers);
    printf("cores       %d usable of %d CPUs", m->n_usable, m->n_online);
    if (m->n_cores > 0)
        printf(", %d physical", m->n_cores);
    if (m->n_efficiency > 0)
        printf(", %d performance and %d efficiency", m->n_performance, m->n_efficiency);
    if (m->quota > 0)
        printf(", quota %.1f", m->quota);
    printf("; %d thread%s\n", d->n_threads, d->n_threads > 1 ? "s" : "");
    if (m->n_numa > 0)
        printf("numa        %d node%s\n", m->n_numa, m->n_numa > 1 ? "s" : "");
    printf("memory      %.1f GB, %.1f GB free, huge pages: %s\n", (double)m->memory_bytes / 1e9,
           (double)m->free_bytes / 1e9, m->huge_pages[0] != '\0' ? m->huge_pages : "unknown");
    if (d->n_threads > 1)
        printf("read speed  %.1f GB/s with %d threads, %.1f with one\n", d->all_gb_per_s,
               d->n_threads, d->one_gb_per_s);
    else
        printf("read speed  %.1f GB/s with one thread\n", d->one_gb_per_s);
    printf("load        %.2f\n", m->load);
    if (d->host.model != NULL) {
        const struct bitnet_shape *s = bitnet_model_shape(d->host.model);
        printf("model       %s: %.1f MB, session %.1f MB at context %zu\n", d->host.model_name,
               (double)s->file_bytes / 1e6, (double)d->session_bytes / 1e6, d->host.n_ctx);
        if (d->tok_per_s > 0)
            printf("expect      at most %.1f tokens/s: %.1f MB are read for each\n", d->tok_per_s,
                   (double)s->decode_bytes / 1e6);
        else
            printf("expect      the weights stay in the cache; bitnet bench measures\n");
    }
    for (size_t i = 0; i < d->n_warnings; i++)
        printf("warning     %s\n  remedy    %s\n", d->warnings[i].what, d->warnings[i].remedy);
}

static void add_machine(struct buffer *b, const struct doctor *d)
{
    const struct machine *m = &d->machine;
    const char *tier = bitnet_engine_tier(d->host.engine);
    const char *note = bitnet_engine_note(d->host.engine);
    out_whole(b, "version", 1);
    out_string(b, "cpu", m->cpu, strlen(m->cpu));
    out_string(b, "tier", tier, strlen(tier));
    out_string(b, "tiers", m->tiers, strlen(m->tiers));
    out_string(b, "note", note, strlen(note));
    out_whole(b, "n_online", m->n_online);
    out_whole(b, "n_affinity", m->n_affinity);
    out_whole(b, "n_usable", m->n_usable);
    out_whole(b, "n_cores", m->n_cores);
    out_whole(b, "n_performance", m->n_performance);
    out_whole(b, "n_efficiency", m->n_efficiency);
    out_number(b, "quota", m->quota);
    out_whole(b, "n_numa", m->n_numa);
    out_number(b, "load", m->load);
    out_whole(b, "memory_bytes", (int64_t)m->memory_bytes);
    out_whole(b, "free_bytes", (int64_t)m->free_bytes);
    out_string(b, "huge_pages", m->huge_pages, strlen(m->huge_pages));
    out_string(b, "governor", m->governor, strlen(m->governor));
    out_whole(b, "n_threads", d->n_threads);
    out_number(b, "read_gb_per_s", d->all_gb_per_s);
    out_number(b, "read_gb_per_s_one", d->one_gb_per_s);
}

static void print_json(const struct doctor *d)
{
    struct buffer b = {0};
    buffer_add(&b, "{", 1);
    add_machine(&b, d);
    if (d->host.model != NULL) {
        const struct bitnet_shape *s = bitnet_model_shape(d->host.model);
        out_string(&b, "model", d->host.model_name, strlen(d->host.model_name));
        out_whole(&b, "file_bytes", (int64_t)s->file_bytes);
        out_whole(&b, "decode_bytes", (int64_t)s->decode_bytes);
        out_whole(&b, "session_bytes", (int64_t)d->session_bytes);
        out_whole(&b, "n_ctx", (int64_t)d->host.n_ctx);
        out_number(&b, "tok_per_s_at_most", d->tok_per_s > 0 ? d->tok_per_s : NAN);
    }
    out_key(&b, "warnings");
    buffer_add(&b, "[", 1);
    for (size_t i = 0; i < d->n_warnings; i++) {
        buffer_add(&b, i > 0 ? ",{" : "{", i > 0 ? 2 : 1);
        out_string(&b, "what", d->warnings[i].what, strlen(d->warnings[i].what));
        out_string(&b, "remedy", d->warnings[i].remedy, strlen(d->warnings[i].remedy));
        buffer_add(&b, "}", 1);
    }
    buffer_add(&b, "]}\n", 3);
    fwrite(b.data, 1, b.n_bytes, stdout);
    buffer_free(&b);
}

int cmd_doctor(int argc, char **argv)
{
    struct args a;
    int status = BITNET_OK;
    struct bitnet_error err = {0};
    if (!cmd_begin(&a, "doctor", argc, argv, &status))
        return status;
    struct doctor *d = calloc(1, sizeof *d);
    if (d == NULL)
        return BITNET_FAILED;
    d->args = &a;
    machine_read(&d->machine);
    if (!examine(d, &err))
        status = cmd_fail(&err);
    else if (args_flag(&a, "--json"))
        print_json(d);
    else
        print_text(d);
    host_close(&d->host);
    free(d);
    args_free(&a);
    return status;
}
