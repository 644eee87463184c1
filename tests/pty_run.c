/* pty_run.c: runs a command on a terminal of its own, types at it, prints what it says.
 *
 *     pty_run [WAIT SEND]... -- COMMAND...
 *
 * Waits until the terminal has said WAIT since the last step, then types SEND; \r \n \e
 * and \cX stand for the keys. The exit status is the command's, 128+n for a signal, 124
 * after 30 seconds. */
#define _XOPEN_SOURCE 700
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char said[1 << 20];
static size_t n_said, n_matched;

static void type(int fd, const char *keys)
{
    for (; *keys != '\0'; keys++) {
        char c = *keys;
        if (c == '\\' && keys[1] != '\0') {
            keys++;
            c = *keys == 'r' ? '\r' : *keys == 'n' ? '\n' : *keys == 'e' ? '\033' : *keys;
            if (*keys == 'c' && keys[1] != '\0')
                c = (char)(*++keys & 0x1f);
        }
        if (write(fd, &c, 1) != 1)
            return;
    }
}

static int child(int terminal, const char *name, char **command)
{
    close(terminal);
    signal(SIGINT, SIG_DFL); /* whoever runs the tests may have them ignored */
    signal(SIGQUIT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    setsid();
    int fd = open(name, O_RDWR);
    ioctl(fd, TIOCSCTTY, 0);
    for (int i = 0; i < 3; i++)
        dup2(fd, i);
    if (fd > 2)
        close(fd);
    execvp(command[0], command);
    perror(command[0]);
    return 127;
}

/* Reads what comes within a second; false when the command has gone. */
static int hear(int terminal)
{
    struct pollfd p = {.fd = terminal, .events = POLLIN};
    if (poll(&p, 1, 1000) <= 0)
        return 1;
    ssize_t n = read(terminal, said + n_said, sizeof said - 1 - n_said);
    if (n <= 0)
        return 0;
    if (fwrite(said + n_said, 1, (size_t)n, stdout) != (size_t)n)
        return 0;
    fflush(stdout);
    n_said += (size_t)n;
    return n_said < sizeof said - 1;
}

int main(int argc, char **argv)
{
    int first = 1, status = 0, step = 1;
    while (first < argc && strcmp(argv[first], "--") != 0)
        first++;
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    if (first + 1 >= argc || terminal < 0 || grantpt(terminal) != 0 || unlockpt(terminal) != 0)
        return 125;
    struct winsize size = {.ws_row = 24, .ws_col = 80};
    ioctl(terminal, TIOCSWINSZ, &size);
    const char *name = ptsname(terminal);
    pid_t pid = fork();
    if (pid == 0)
        _exit(child(terminal, name, argv + first + 1));
    for (time_t end = time(NULL) + 30;;) {
        char *found = step + 1 < first ? strstr(said + n_matched, argv[step]) : NULL;
        if (found != NULL) {
            n_matched = (size_t)(found - said) + strlen(argv[step]);
            type(terminal, argv[step + 1]);
            step += 2;
        } else if (!hear(terminal)) {
            break;
        } else if (time(NULL) >= end) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            return 124;
        }
    }
    waitpid(pid, &status, 0);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
