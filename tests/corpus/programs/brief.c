/* Processes that live for a millisecond: SHAPE TIMES NUMBER..., each makes the calls, and ends.
 *
 * fork vfork clone3 thread: started so, and waited for, one after the other
 * spawn     posix_spawn of this program
 * burst     all started before any is waited for
 * double    by a child that ends first, so that init is the parent
 * daemon    in a session of its own, descriptors closed, the parent gone
 * chain     each starts the next one and ends
 * exec      the same process becomes this program again and again */
#include "inner.h"
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;
static long numbers[16];
static int count;

static void make_calls(void)
{
    for (int i = 0; i < count; i++)
        attempt(numbers[i]);
}

static void *thread(void *argument)
{
    make_calls();
    return argument;
}

static void in_child(pid_t pid)
{
    if (pid == 0) {
        make_calls();
        _exit(0);
    }
}

static void by_vfork(void)
{
    in_child(vfork());
}

static void spawn(char **argv)
{
    pid_t pid;
    char *words[20] = {argv[0], "exec", "1"};
    for (int i = 0; i < count; i++)
        words[3 + i] = argv[3 + i];
    if (posix_spawn(&pid, "/proc/self/exe", NULL, NULL, words, environ) == 0)
        waitpid(pid, NULL, 0);
}

/* The pipe is at its end once the last of them has ended, whoever its parent is. */
static void apart(int times, int is_daemon)
{
    int ends[2];
    char byte;
    if (pipe(ends))
        return;
    for (int i = 0; i < times; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            if (is_daemon)
                setsid();
            if (fork() == 0) {
                usleep(1000); /* the parent is gone */
                if (is_daemon) {
                    close(0);
                    close(1);
                    close(2);
                }
                make_calls();
            }
            _exit(0);
        }
        waitpid(pid, NULL, 0);
    }
    close(ends[1]);
    while (read(ends[0], &byte, 1) > 0)
        ;
}

static void chain(int times)
{
    int ends[2];
    char byte;
    if (pipe(ends))
        return;
    if (fork() == 0) {
        for (int i = 0; i < times; i++) {
            make_calls();
            if (fork() > 0)
                _exit(0);
        }
        _exit(0);
    }
    close(ends[1]);
    while (read(ends[0], &byte, 1) > 0)
        ;
}

static pid_t cloned(void)
{
    struct clone_args arguments = {.exit_signal = SIGCHLD};
    pid_t pid = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
    return pid < 0 && errno == ENOSYS ? fork() : pid;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    const char *shape = argv[1];
    int times = atoi(argv[2]);
    for (int i = 3; i < argc && count < 16; i++)
        numbers[count++] = atol(argv[i]);
    for (int i = 0; i < times; i++) {
        if (!strcmp(shape, "fork"))
            in_child(fork());
        if (!strcmp(shape, "vfork"))
            by_vfork();
        if (!strcmp(shape, "clone3"))
            in_child(cloned());
        if (!strcmp(shape, "burst"))
            in_child(fork());
        if (!strcmp(shape, "spawn"))
            spawn(argv);
        if (!strcmp(shape, "thread")) {
            pthread_t one;
            if (pthread_create(&one, NULL, thread, NULL) == 0)
                pthread_join(one, NULL);
        }
        if (strcmp(shape, "burst"))
            while (wait(NULL) > 0)
                ;
    }
    while (wait(NULL) > 0)
        ;
    if (!strcmp(shape, "double") || !strcmp(shape, "daemon"))
        apart(times, !strcmp(shape, "daemon"));
    if (!strcmp(shape, "chain"))
        chain(times);
    if (!strcmp(shape, "exec")) {
        char left[16];
        make_calls();
        snprintf(left, sizeof left, "%d", times - 1);
        argv[2] = left;
        if (times > 1)
            execv("/proc/self/exe", argv);
    }
    puts("done");
    return 0;
}
