/* A program with a filter of its own: ACTION WHO NUMBER..., in a child, and what came of each call.
 *
 * ACTION  allow log trace notify errno trap thread process: what the filter answers to these numbers
 * WHO     none      nobody answers for the filter (no tracer, no listener)
 *         continue  the parent does, and lets the call be made
 *         refuse    the parent does, and answers EACCES
 *         exec      nobody; the calls are made by `inner calls NUMBER...`, which the child becomes */
#include "inner.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/user.h>
#include <sys/wait.h>

static const struct {
    const char *name;
    unsigned action;
} ACTIONS[] = {
    {"allow", SECCOMP_RET_ALLOW}, {"log", SECCOMP_RET_LOG},          {"trace", SECCOMP_RET_TRACE},
    {"notify", SECCOMP_RET_USER_NOTIF}, {"errno", SECCOMP_RET_ERRNO | 111}, {"trap", SECCOMP_RET_TRAP},
    {"thread", SECCOMP_RET_KILL_THREAD}, {"process", SECCOMP_RET_KILL_PROCESS},
};

static void trapped(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    char text[64];
    int length = snprintf(text, sizeof text, "trapped %d\n", info->si_syscall);
    if (write(1, text, length) < 0)
        _exit(3);
}

static void make_calls(const long *numbers, int count)
{
    for (int i = 0; i < count; i++) {
        int result = attempt(numbers[i]);
        printf("%ld errno %d\n", numbers[i], result);
        fflush(stdout);
    }
}

static void send_descriptor(int socket, int descriptor)
{
    char byte = 0, room[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET, head->cmsg_type = SCM_RIGHTS, head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &descriptor, sizeof(int));
    sendmsg(socket, &message, 0);
}

static int receive_descriptor(int socket)
{
    char byte, room[CMSG_SPACE(sizeof(int))];
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    int descriptor = -1;
    if (recvmsg(socket, &message, 0) < 1 || !CMSG_FIRSTHDR(&message))
        return -1;
    memcpy(&descriptor, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
    return descriptor;
}

static void listen_for(int listener, int refuses)
{
    for (;;) {
        struct seccomp_notif asked = {0};
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked) < 0) {
            if (errno == EINTR)
                continue;
            return; /* the child has ended */
        }
        struct seccomp_notif_resp answer = {.id = asked.id};
        if (refuses)
            answer.error = -EACCES;
        else
            answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
}

static void trace(pid_t child, int refuses)
{
    int status;
    waitpid(child, &status, 0); /* it stopped itself */
    ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL);
    ptrace(PTRACE_CONT, child, 0, 0);
    while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
        int stopped = WSTOPSIG(status), deliver = stopped;
        if (status >> 8 == (SIGTRAP | (PTRACE_EVENT_SECCOMP << 8))) {
            deliver = 0;
            if (refuses) {
                struct user_regs_struct registers;
                ptrace(PTRACE_GETREGS, child, 0, &registers);
                registers.orig_rax = -1, registers.rax = -EACCES;
                ptrace(PTRACE_SETREGS, child, 0, &registers);
            }
        }
        ptrace(PTRACE_CONT, child, 0, deliver);
    }
    printf(WIFSIGNALED(status) ? "signal %d\n" : "status %d\n",
           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

int main(int argc, char **argv)
{
    long numbers[16];
    int count = 0, pair[2], status = 0;
    unsigned action = 0;
    if (argc < 4)
        return 2;
    for (int i = 3; i < argc && count < 16; i++)
        numbers[count++] = atol(argv[i]);
    if (strcmp(argv[1], "calls") == 0) {
        make_calls(numbers, count);
        return 0;
    }
    for (unsigned i = 0; i < sizeof ACTIONS / sizeof *ACTIONS; i++)
        if (strcmp(argv[1], ACTIONS[i].name) == 0)
            action = ACTIONS[i].action;
    int answers = strcmp(argv[2], "continue") == 0 || strcmp(argv[2], "refuse") == 0;
    int traces = answers && action == SECCOMP_RET_TRACE, listens = answers && action == SECCOMP_RET_USER_NOTIF;
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    pid_t child = fork();
    if (child == 0) {
        close(pair[0]);
        struct sigaction handler = {.sa_sigaction = trapped, .sa_flags = SA_SIGINFO};
        sigaction(SIGSYS, &handler, NULL);
        if (traces) {
            ptrace(PTRACE_TRACEME, 0, 0, 0);
            raise(SIGSTOP);
        }
        long loaded = load(action, listens ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0, numbers, count);
        printf("loaded %d\n", loaded < 0 ? (int)loaded : 0);
        fflush(stdout);
        if (listens && loaded >= 0) {
            send_descriptor(pair[1], (int)loaded);
            close((int)loaded);
        }
        close(pair[1]);
        if (strcmp(argv[2], "exec") == 0) {
            argv[1] = "calls";
            execv("/proc/self/exe", argv);
        }
        make_calls(numbers, count);
        exit(0);
    }
    close(pair[1]);
    if (traces) {
        trace(child, strcmp(argv[2], "refuse") == 0);
        return 0;
    }
    if (listens) {
        int listener = receive_descriptor(pair[0]);
        if (listener >= 0)
            listen_for(listener, strcmp(argv[2], "refuse") == 0);
    }
    waitpid(child, &status, 0);
    printf(WIFSIGNALED(status) ? "signal %d\n" : "status %d\n",
           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return 0;
}
