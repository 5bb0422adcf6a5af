/* Makes denied calls in ways that may seem to be another's, without a libc's delay:
 *   calls NUMBER...            at once, by this process itself
 *   siblings TIMES NUMBER      each in a process whose parent is this one's parent (CLONE_PARENT)
 *   named NAME TIMES NUMBER    under this name (PR_SET_NAME) */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static void call(const char *number)
{
    syscall(atol(number), 0, 0, 0, 0, 0, 0);
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "calls") == 0) {
        for (int at = 2; at < argc; at++)
            call(argv[at]);
        return 0;
    }
    if (argc < 4)
        return 2;
    if (strcmp(argv[1], "named") == 0) {
        prctl(PR_SET_NAME, argv[2]);
        for (int at = 0; at < atoi(argv[3]); at++)
            call(argv[4]);
        return 0;
    }
    for (int at = 0; at < atoi(argv[2]); at++) {
        if (syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0) == 0) {
            call(argv[3]);
            _exit(0);
        }
        usleep(2000);
    }
    return 0;
}
