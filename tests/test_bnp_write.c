/* test_bnp_write.c: writing model files, and replacing files whole: accidents leave the old file
 * as it was and nothing beside it. */
#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bnp_sample.h"
#include "tests/check.h"

static uint8_t *sample; /* a good file */
static size_t n_sample;
static const char *const path = "sample.bnp";

/* How many files the folder has; those that end in `remove` are removed. */
static size_t n_files(const char *remove)
{
    size_t n = 0;
    DIR *dir = opendir(".");
    for (struct dirent *e; dir && (e = readdir(dir));) {
        const char *end = strrchr(e->d_name, '.');
        if (remove && end && strcmp(end, remove) == 0)
            unlink(e->d_name);
        else
            n += e->d_name[0] != '.';
    }
    closedir(dir);
    return n;
}

static bool untouched(void)
{
    size_t n = 0;
    uint8_t *now = sample_load(path, &n);
    bool same = now && n == n_sample && memcmp(now, sample, n) == 0;
    free(now);
    return same;
}

static void test_writer_refuses(void)
{
    static const char longest[] = "a23456789.123456789.123456789.123456789.123456789.123456789.123";
    struct bitnet_error err = {0};
    struct bnp_writer *w;
    size_t before = n_files(NULL);
    for (int round = 0; round < 9; round++) {
        err = (struct bitnet_error){0};
        CHECK(bnp_writer_open(&w, "new.bnp", &err), "%s", err.msg);
        bool one = bnp_writer_declare(w, longest, ENC_F32, SCALE_NONE, 0, 1, 3, &err);
        CHECK(one, "%s", err.msg);
        switch (round) {
        case 0: bnp_writer_text(w, "Key", "x"); break;
        case 1: bnp_writer_text(w, "key", "\x1b[2J"); break;
        case 2: bnp_writer_f64(w, "key", INFINITY); break;
        case 3: bnp_writer_u64(w, "key", 1), bnp_writer_u64(w, "key", 2); break;
        case 4: bnp_writer_declare(w, longest, ENC_F32, SCALE_NONE, 0, 1, 3, &err); break;
        case 5: bnp_writer_declare(w, "b", ENC_F32, SCALE_ROW, 0, 1, 3, &err); break;
        case 6: bnp_writer_declare(w, "b", ENC_T2, SCALE_ROW, 0, 0, 3, &err); break;
        case 7: bnp_writer_declare(w, "b", ENC_F32, SCALE_NONE, 0, UINT32_MAX, UINT32_MAX, &err);
            break;
        case 8: bnp_writer_declare(w, "b/c", ENC_F32, SCALE_NONE, 0, 1, 3, &err); break;
        }
        CHECK(err.code != BITNET_OK || !bnp_writer_begin(w, &err), "round %d", round);
        CHECK(err.code == BITNET_BAD && strncmp(err.msg, "new.bnp: ", 9) == 0, "%s", err.msg);
        bnp_writer_close(w);
    }
    float v[4] = {0};
    for (int round = 0; round < 5; round++) {
        err = (struct bitnet_error){0};
        bnp_writer_open(&w, "new.bnp", &err);
        bnp_writer_declare(w, "a", ENC_F32, SCALE_NONE, 0, 1, 3, &err);
        if (round > 0 && round < 4)
            bnp_writer_begin(w, &err);
        CHECK(err.code == BITNET_OK, "%s", err.msg);
        bool good = round == 0   ? bnp_writer_finish(w, &err)     /* not begun */
                    : round == 1 ? bnp_writer_data(w, v, 16, &err) /* too much */
                    : round == 2 ? bnp_writer_data(w, v, 8, &err) && bnp_writer_finish(w, &err)
                    : round == 4 ? bnp_writer_data(w, v, 4, &err) /* not begun */
                                 : bnp_writer_data(w, v, 12, &err) &&
                                       bnp_writer_data(w, v, 4, &err);
        CHECK(!good && err.code == BITNET_BAD, "round %d: %s", round, err.msg);
        bnp_writer_close(w);
    }
    CHECK(n_files(NULL) == before, "%zu files were left behind", n_files(NULL) - before);
}

/* More than a file may hold, and nothing at all. */
static void test_limits(void)
{
    struct bitnet_error err = {0};
    struct bnp_writer *w;
    char name[16];
    bnp_writer_open(&w, "new.bnp", &err);
    CHECK(!bnp_writer_begin(w, &err) && strstr(err.msg, "no tensors"), "%s", err.msg);
    bnp_writer_close(w);
    for (int n_keys = 1024; n_keys <= 1025; n_keys++) {
        err = (struct bitnet_error){0};
        bnp_writer_open(&w, "new.bnp", &err);
        bnp_writer_declare(w, "a", ENC_F32, SCALE_NONE, 0, 1, 3, &err);
        for (int i = 0; i < n_keys; i++) {
            snprintf(name, sizeof name, "key%d", i);
            bnp_writer_u64(w, name, 1);
        }
        CHECK(bnp_writer_begin(w, &err) == (n_keys == 1024), "%d keys: %s", n_keys, err.msg);
        bnp_writer_close(w);
    }
    err = (struct bitnet_error){0};
    bnp_writer_open(&w, "new.bnp", &err);
    for (int i = 0; i < 65536 && err.code == BITNET_OK; i++) {
        snprintf(name, sizeof name, "t%d", i);
        bnp_writer_declare(w, name, ENC_F32, SCALE_NONE, 0, 1, 1, &err);
    }
    CHECK(err.code == BITNET_OK, "%s", err.msg);
    CHECK(!bnp_writer_declare(w, "one.more", ENC_F32, SCALE_NONE, 0, 1, 1, &err) &&
          strstr(err.msg, "more than 65536"), "%s", err.msg);
    bnp_writer_close(w);
    CHECK(n_files(NULL) == 1, "%zu files", n_files(NULL));
}

static void test_targets(void)
{
    struct bitnet_error err = {0};
    struct stat st;
    mkdir("folder", 0700);
    CHECK(!sample_write("folder", &err) && err.code == BITNET_FAILED &&
          strstr(err.msg, "a folder"), "%s", err.msg);
    err = (struct bitnet_error){0};
    CHECK(!sample_write("nowhere/x.bnp", &err) && err.code == BITNET_FAILED, "%s", err.msg);
    err = (struct bitnet_error){0};
    /* A pipe of our own stands for all devices: were the check broken, a real one would be gone. */
    CHECK(mkfifo("pipe", 0600) == 0 && !sample_write("pipe", &err) && stat("pipe", &st) == 0 &&
          S_ISFIFO(st.st_mode), "%s", err.msg);
    unlink("pipe");
    rmdir("folder");
    err = (struct bitnet_error){0};
    size_t n;
    chmod(path, 0640);
    CHECK(symlink(path, "link.bnp") == 0 && sample_write("link.bnp", &err), "%s", err.msg);
    CHECK(lstat("link.bnp", &st) == 0 && S_ISLNK(st.st_mode) && untouched(), "link replaced");
    CHECK(stat(path, &st) == 0 && (st.st_mode & 07777) == 0640, "mode %o", (unsigned)st.st_mode);
    unlink("link.bnp");
    uint8_t *again = sample_load(path, &n);
    CHECK(again && n == n_sample && memcmp(again, sample, n) == 0, "written twice, differs");
    free(again);
}

/* What a child does that is killed, or for whom the disk is full. */
static void write_and_die(bool full)
{
    struct bitnet_error err = {0};
    struct bnp_writer *w;
    if (full) {
        struct rlimit limit = {40000, 40000};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        bool good = sample_write(path, &err);
        _exit(!good && err.code == BITNET_FAILED && strstr(err.msg, path) ? 7 : 8);
    }
    if (bnp_writer_open(&w, path, &err) && sample_declare(w, &err) && sample_data(w, 2, &err))
        raise(SIGKILL);
    _exit(8);
}

static void test_accidents(void)
{
    size_t before = n_files(NULL);
    for (int full = 0; full < 2; full++) {
        int status = 0;
        pid_t child = fork();
        if (child == 0)
            write_and_die(full);
        CHECK(child > 0 && waitpid(child, &status, 0) == child, "no child");
        if (full)
            CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7, "status %d", status);
        else
            CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "status %d", status);
        CHECK(untouched(), "the old file changed");
        if (!full && n_files(NULL) == before + 1 && n_files(".tmp") == before)
            SKIP("kill leaves no litter: this file system has no nameless files");
        else
            CHECK(n_files(NULL) == before, "%zu files, were %zu", n_files(NULL), before);
    }
}

static void test_map(void)
{
    struct bitnet_error err = {0};
    struct map m;
    CHECK(!map_open(&m, "nowhere", &err) && err.code == BITNET_FAILED, "%s", err.msg);
    err = (struct bitnet_error){0};
    CHECK(!map_open(&m, ".", &err) && err.code == BITNET_BAD, "%s", err.msg);
    close(open("empty", O_CREAT | O_WRONLY, 0600));
    err = (struct bitnet_error){0};
    CHECK(!map_open(&m, "empty", &err) && strstr(err.msg, "empty"), "%s", err.msg);
    unlink("empty");
    err = (struct bitnet_error){0};
    CHECK(mkfifo("pipe", 0600) == 0 && !map_open(&m, "pipe", &err) &&
          strstr(err.msg, "regular"), "%s", err.msg);
    unlink("pipe");
    err = (struct bitnet_error){0};
    CHECK(map_open(&m, path, &err) && m.n_bytes == n_sample, "%s", err.msg);
    map_read_once(&m);
    CHECK(m.bytes[0] == 0x8b, "first byte %x", m.bytes[0]);
    map_close(&m);
}

int main(void)
{
    struct bitnet_error err = {0};
    char folder[] = "/tmp/test_bnp_write.XXXXXX";
    if (!mkdtemp(folder) || chdir(folder) != 0 || !sample_write(path, &err) ||
        !(sample = sample_load(path, &n_sample))) {
        CHECK(false, "no sample: %s", err.msg);
        return check_done();
    }
    test_writer_refuses();
    test_limits();
    test_targets();
    test_accidents();
    test_map();
    free(sample);
    unlink(path);
    CHECK(chdir("/") == 0 && rmdir(folder) == 0, "%s is not empty", folder);
    return check_done();
}
