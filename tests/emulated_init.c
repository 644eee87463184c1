/* emulated_init.c: the first and only program of an emulated machine (tests/long_avx512.sh): runs
 * the commands listed in /jobs and switches the machine off. A job is a line for each argument,
 * jobs are parted by empty lines; output goes to the second serial port, between "== begin N" and
 * "== end N STATUS". */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static _Noreturn void switch_off(void)
{
    tcdrain(1);
    if (iopl(3) == 0) {
        for (const char *s = "Shutdown"; *s; s++) /* Bochs ends when this comes to its port */
            outb((unsigned char)*s, 0x8900);
    }
    for (;;)
        pause();
}

static void open_serial(void)
{
    struct termios t;
    int fd = open("/dev/ttyS1", O_WRONLY | O_NOCTTY);
    if (fd < 0)
        switch_off();
    tcgetattr(fd, &t);
    cfmakeraw(&t);
    cfsetspeed(&t, B115200);
    t.c_cflag |= CLOCAL;
    tcsetattr(fd, TCSANOW, &t);
    dup2(fd, 1);
    dup2(fd, 2);
    setvbuf(stdout, NULL, _IONBF, 0);
}

static void run(char **args, int job)
{
    int status;
    printf("== begin %d\n", job);
    pid_t child = fork();
    if (child == 0) {
        execv(args[0], args);
        perror(args[0]);
        _exit(127);
    }
    waitpid(child, &status, 0);
    printf("\n== end %d %d\n", job, WIFEXITED(status) ? WEXITSTATUS(status) : 128);
}

int main(void)
{
    char line[256], *args[32];
    int n_args = 0, job = 0;
    mount("proc", "/proc", "proc", 0, NULL);
    mount("dev", "/dev", "devtmpfs", 0, NULL);
    open_serial();
    FILE *jobs = fopen("/jobs", "r");
    while (jobs) {
        char *got = fgets(line, sizeof line, jobs);
        if (got && line[0] != '\n' && n_args < 31) {
            line[strcspn(line, "\n")] = 0;
            args[n_args++] = strdup(line);
            continue;
        }
        args[n_args] = NULL;
        if (n_args > 0)
            run(args, ++job);
        n_args = 0;
        if (!got)
            break;
    }
    switch_off();
}
