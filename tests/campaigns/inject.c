/* Runs a program, and makes one of its system calls go wrong.
 *
 *     inject AT WHAT SPARED PROGRAM [WORD...]
 *
 * AT counts the calls below from 1, over all processes that the program starts; 0: none. WHAT is
 * "kill", "once:ERRNO", "on:ERRNO", which also fails every later call that needs room on a disk, or
 * "each:ERRNO", which fails every AT-th call, for services.
 * A process that runs the file SPARED is left alone. The program's stdout joins its stderr; on our own
 * stdout comes one line: how many calls there were, its wait status, and 1 if something went wrong.
 *
 * The calls are sent here by a seccomp filter (seccomp_unotify(2)), which costs far less than ptrace. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const unsigned CALLS[] = {
    SYS_open,   SYS_openat, SYS_read,     SYS_pread64, SYS_write,     SYS_writev,   SYS_pwrite64,
    SYS_rename, SYS_renameat, SYS_renameat2, SYS_unlink, SYS_unlinkat, SYS_mkdir,   SYS_mkdirat,
    SYS_fchmod, SYS_fchown, SYS_chown,    SYS_ftruncate, SYS_fsync,   SYS_fdatasync, SYS_symlink,
    SYS_link,   SYS_linkat, SYS_socket,   SYS_connect, SYS_sendto,    SYS_sendmsg,  SYS_recvfrom,
    SYS_recvmsg, SYS_poll,  SYS_execve,   SYS_mmap,    SYS_brk,       SYS_fstat,    SYS_newfstatat,
    SYS_readlink, SYS_flock, SYS_lseek,   SYS_clone,   SYS_vfork,     SYS_fork,
};
#define COUNT (sizeof CALLS / sizeof *CALLS)

static int is_about_room(const struct seccomp_data *call)
{
    switch (call->nr) {
    case SYS_open:
        return (call->args[1] & O_CREAT) != 0;
    case SYS_openat:
        return (call->args[2] & O_CREAT) != 0;
    case SYS_write: case SYS_writev: case SYS_pwrite64:
        return call->args[0] > 2; /* what is said to the caller goes through a pipe */
    case SYS_rename: case SYS_renameat: case SYS_renameat2: case SYS_mkdir: case SYS_mkdirat:
    case SYS_symlink: case SYS_link: case SYS_linkat:
        return 1;
    default:
        return 0;
    }
}

static int filter(void)
{
    struct sock_filter lines[COUNT + 5];
    unsigned at = 0;
    lines[at++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (unsigned one = 0; one < COUNT; one++)
        lines[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CALLS[one], COUNT - one, 0);
    lines[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    lines[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
    struct sock_fprog program = {(unsigned short)at, lines};
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

static void child(volatile int *shared, char **words)
{
    dup2(2, 1);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int listener = filter();
    *shared = listener < 0 ? -2 : listener;
    while (*shared != -1) /* any other call could be one that nobody answers yet */
        sched_yield();
    execv(words[0], words);
    _exit(127);
}

static int taken(pid_t pid, volatile int *shared)
{
    while (*shared == -1)
        sched_yield();
    if (*shared == -2)
        return -1;
    int process = (int)syscall(SYS_pidfd_open, pid, 0);
    int listener = (int)syscall(SYS_pidfd_getfd, process, *shared, 0);
    close(process);
    *shared = -1;
    return listener;
}

static int runs(pid_t pid, const struct stat *spared)
{
    char path[32];
    struct stat found;
    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    return stat(path, &found) == 0 && found.st_ino == spared->st_ino && found.st_dev == spared->st_dev;
}

int main(int count, char **words)
{
    if (count < 5)
        return 2;
    unsigned long at = strtoul(words[1], NULL, 10), calls = 0;
    int is_kill = strcmp(words[2], "kill") == 0, goes_on = strncmp(words[2], "on:", 3) == 0;
    int is_each = strncmp(words[2], "each:", 5) == 0, went_wrong = 0;
    const char *colon = strchr(words[2], ':');
    int number = colon ? atoi(colon + 1) : 0;
    struct stat spared;
    volatile int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (stat(words[3], &spared) != 0 || shared == MAP_FAILED)
        return 2;
    *shared = -1;
    pid_t pid = fork();
    if (pid == 0)
        child(shared, words + 4);
    int listener = taken(pid, shared);
    if (listener < 0) {
        kill(pid, SIGKILL);
        return 3;
    }
    struct pollfd waiting = {listener, POLLIN, 0};
    while (poll(&waiting, 1, -1) >= 0 && !(waiting.revents & POLLHUP)) {
        struct seccomp_notif call = {0};
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0)
            continue;
        struct seccomp_notif_resp answer = {call.id, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE};
        calls++;
        int is_due = at && (calls == at || (is_each && calls % at == 0) || (goes_on && calls > at && is_about_room(&call.data)));
        if (is_due && !runs((pid_t)call.pid, &spared)) {
            went_wrong = 1;
            if (is_kill)
                kill((pid_t)call.pid, SIGKILL);
            else
                answer = (struct seccomp_notif_resp){call.id, 0, -number, 0};
        }
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    printf("%lu %d %d\n", calls, status, went_wrong);
    return 0;
}
