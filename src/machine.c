/* machine.c: reads /proc and /sys, or asks sysctl on macOS. A file that is missing leaves
 * its field zero: there is nothing here that a command cannot do without. */
#define _GNU_SOURCE /* sched_getaffinity */
#include "src/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/kernels.h"
#include "src/pool.h"
#include "src/read_speed.h"

#if defined(__linux__)
#include <sched.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif

/* The first line of a file, without its newline; empty when there is none. */
static bool read_line(const char *path, char *line, size_t n)
{
    FILE *f = fopen(path, "r");
    line[0] = '\0';
    if (f == NULL)
        return false;
    if (fgets(line, (int)n, f) == NULL)
        line[0] = '\0';
    fclose(f);
    line[strcspn(line, "\n")] = '\0';
    return line[0] != '\0';
}

static bool read_number(const char *path, uint64_t *out)
{
    char line[64];
    int64_t value;
    if (!read_line(path, line, sizeof line) || !parse_i64(line, 0, INT64_MAX, &value))
        return false;
    *out = (uint64_t)value;
    return true;
}

/* How many numbers "0-3,8" names. */
static int count_list(const char *list)
{
    int n = 0;
    for (const char *p = list; *p != '\0';) {
        char *end;
        long first = strtol(p, &end, 10), last = first;
        if (end == p)
            return n;
        if (*end == '-')
            last = strtol(end + 1, &end, 10);
        n += (int)(last - first + 1);
        p = *end == ',' ? end + 1 : end;
        if (*end != ',')
            break;
    }
    return n;
}

/* The value of "key : value" in a file of such lines. */
static void read_field(const char *path, const char *key, char *out, size_t n)
{
    char line[256];
    FILE *f = fopen(path, "r");
    out[0] = '\0';
    while (f != NULL && out[0] == '\0' && fgets(line, sizeof line, f) != NULL) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, key, strlen(key)) != 0 || colon == NULL)
            continue;
        colon += 1 + strspn(colon + 1, " \t");
        snprintf(out, n, "%.*s", (int)strcspn(colon, "\n"), colon);
    }
    if (f != NULL)
        fclose(f);
}

/* "always [madvise] never": the word in brackets. */
static void read_choice(const char *path, char *out, size_t n)
{
    char line[128];
    const char *open = read_line(path, line, sizeof line) ? strchr(line, '[') : NULL;
    if (open != NULL)
        snprintf(out, n, "%.*s", (int)strcspn(open + 1, "]"), open + 1);
}

static uint64_t meminfo(const char *key)
{
    char value[64];
    read_field("/proc/meminfo", key, value, sizeof value);
    return strtoull(value, NULL, 10) * 1024;
}

static double quota_of_container(void)
{
    char line[64];
    uint64_t quota, period;
    double a, b;
    if (read_line("/sys/fs/cgroup/cpu.max", line, sizeof line) &&
        sscanf(line, "%lf %lf", &a, &b) == 2 && b > 0)
        return a / b;
    if (read_number("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", &quota) &&
        read_number("/sys/fs/cgroup/cpu/cpu.cfs_period_us", &period) && period > 0)
        return (double)quota / (double)period;
    return 0;
}

static void read_memory(struct machine *m)
{
    uint64_t limit = 0, used = 0;
    m->memory_bytes = meminfo("MemTotal");
    m->free_bytes = meminfo("MemAvailable");
    bool limited = (read_number("/sys/fs/cgroup/memory.max", &limit) &&
                    read_number("/sys/fs/cgroup/memory.current", &used)) ||
                   (read_number("/sys/fs/cgroup/memory/memory.limit_in_bytes", &limit) &&
                    read_number("/sys/fs/cgroup/memory/memory.usage_in_bytes", &used));
    if (limited && limit < m->memory_bytes) {
        uint64_t left = limit > used ? limit - used : 0;
        m->memory_bytes = limit;
        m->free_bytes = left < m->free_bytes ? left : m->free_bytes;
    }
}

/* "32768K" */
static uint64_t cache_of_core(void)
{
    char path[80], line[32];
    uint64_t last = 0;
    for (int i = 0; i < 6; i++) {
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", i);
        if (read_line(path, line, sizeof line))
            last = strtoull(line, NULL, 10) << (strchr(line, 'M') != NULL ? 20 : 10);
    }
    return last;
}

static bool in_affinity(int cpu)
{
#if defined(__linux__)
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) != 0 || CPU_ISSET(cpu, &set);
#else
    return cpu >= 0;
#endif
}

/* A CPU counts as a core when it is the first of its siblings that the mask leaves. Where
 * cores have a capacity, those below the largest are the efficient ones. */
static void read_cores(struct machine *m)
{
    uint64_t capacity, largest = 0;
    char path[96], list[128];
    for (int pass = 0; pass < 2; pass++) {
        for (int cpu = 0; cpu < m->n_online && cpu < 1024; cpu++) {
            snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cpu_capacity", cpu);
            bool known = read_number(path, &capacity);
            if (pass == 0 && known && capacity > largest)
                largest = capacity;
            if (pass == 0 || !in_affinity(cpu))
                continue;
            m->n_affinity++;
            if (known && capacity < largest)
                m->n_efficiency++;
            else if (known)
                m->n_performance++;
            snprintf(path, sizeof path,
                     "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
            if (!read_line(path, list, sizeof list))
                continue;
            int first = (int)strtol(list, NULL, 10);
            while (first < cpu && !in_affinity(first))
                first++;
            m->n_cores += first >= cpu;
        }
    }
    if (read_line("/sys/devices/cpu_core/cpus", list, sizeof list))
        m->n_performance = count_list(list);
    if (read_line("/sys/devices/cpu_atom/cpus", list, sizeof list))
        m->n_efficiency = count_list(list);
    if (m->n_efficiency == 0)
        m->n_performance = 0; /* all alike */
}

static void read_tiers(struct machine *m)
{
    const char *name;
    bool usable;
    size_t n = 0;
    for (size_t i = 0; (name = kernels_tier(i, &usable)) != NULL && n < sizeof m->tiers; i++)
        n += (size_t)snprintf(m->tiers + n, sizeof m->tiers - n, "%s%s%s", i > 0 ? " " : "",
                              usable ? "" : "-", name);
}

#if defined(__APPLE__)
static uint64_t ask(const char *name)
{
    uint64_t value = 0;
    uint32_t small = 0;
    size_t n = sizeof value;
    if (sysctlbyname(name, &value, &n, NULL, 0) != 0)
        return 0;
    memcpy(&small, &value, sizeof small);
    return n == sizeof small ? small : value;
}

static void read_apple(struct machine *m)
{
    size_t n = sizeof m->cpu;
    if (sysctlbyname("machdep.cpu.brand_string", m->cpu, &n, NULL, 0) != 0)
        m->cpu[0] = '\0';
    m->memory_bytes = ask("hw.memsize");
    m->free_bytes = (ask("vm.page_free_count") + ask("vm.page_purgeable_count")) *
                    ask("hw.pagesize");
    m->n_cores = (int)ask("hw.physicalcpu");
    m->n_performance = (int)ask("hw.perflevel0.physicalcpu");
    m->n_efficiency = (int)ask("hw.perflevel1.physicalcpu");
    m->n_affinity = m->n_online;
    m->cache_bytes = ask("hw.l2cachesize");
}
#endif

void machine_read(struct machine *m)
{
    char line[128];
    *m = (struct machine){0};
    m->n_online = (int)sysconf(_SC_NPROCESSORS_ONLN);
    m->n_usable = pool_usable_cores();
    if (getloadavg(&m->load, 1) != 1)
        m->load = 0;
    read_tiers(m);
    read_cores(m);
    read_memory(m);
    read_field("/proc/cpuinfo", "model name", m->cpu, sizeof m->cpu);
    m->quota = quota_of_container();
    m->cache_bytes = cache_of_core();
    if (read_line("/sys/devices/system/node/online", line, sizeof line))
        m->n_numa = count_list(line);
    read_choice("/sys/kernel/mm/transparent_hugepage/enabled", m->huge_pages,
                sizeof m->huge_pages);
    if (read_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", line, sizeof line))
        snprintf(m->governor, sizeof m->governor, "%.31s", line);
#if defined(__APPLE__)
    read_apple(m);
#endif
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

bool machine_read_speed(int n_threads, double *gb_per_s, struct bitnet_error *err)
{
    enum { N_PASSES = 7 };
    const size_t n_bytes = (size_t)192 << 20; /* beyond every cache that a core shares with few */
    double speeds[N_PASSES];
    struct pool *p;
    uint8_t *bytes = aligned_alloc(64, n_bytes);
    if (bytes == NULL)
        return fail(err, BITNET_FAILED, "no %zu MB of memory to read for the measurement",
                    n_bytes >> 20);
    if (!pool_open(&p, n_threads, err)) {
        free(bytes);
        return false;
    }
    memset(bytes, 1, n_bytes);
    for (size_t i = 0; i < N_PASSES; i++)
        speeds[i] = read_speed(p, bytes, n_bytes);
    qsort(speeds, N_PASSES, sizeof *speeds, by_value);
    *gb_per_s = speeds[N_PASSES / 2];
    pool_close(p);
    free(bytes);
    return true;
}
