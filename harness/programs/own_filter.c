/* Installs a seccomp filter of its own, as many programs do, and makes a call under it.
 *
 * own_filter HOW ACTION NUMBER [WORD...]
 *   HOW     prctl, seccomp; with 86 at the end by int 0x80, with x32 by the x32 ABI; probe: without a filter;
 *           strict: strict mode by seccomp
 *   ACTION  allow, log, trace, errno, trap, kill, notify, listener (notify without a listener, and with one)
 *   NUMBER  the call that the filter answers so; it is made with 99 as the first argument
 *   passes, injects: a tracer has the call continue, or gives it EACCES; kernel's: nobody traces
 *   thread: a thread that was there before, and so has no such filter, makes the call as well
 *   stays: it does not end afterwards, and makes the call again at each SIGUSR1
 *   writes: into /output
 *
 * Prints what came of the installation, and of each call: "installed 0", "filtered -1 38", "other -1 95". */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static struct sock_filter program[16];
static struct sock_fprog native = {0, program};
static struct { unsigned short len; unsigned filter; } compat; /* as 32-bit programs have it */
static long number;
static int orders[2], done[2], listeners[2];

static long by_interrupt(long nr, long a, long b, long c)
{
    int result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"((int)nr), "b"((int)a), "c"((int)b), "d"((int)c)
                     : "r8", "r9", "r10", "r11", "memory");
    return result < 0 ? (errno = -result, -1) : result;
}

static void instruction(unsigned short code, unsigned char t, unsigned char f, unsigned k)
{
    program[native.len++] = (struct sock_filter){code, t, f, k};
}

static void write_program(unsigned action)
{
    instruction(BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, arch));
    instruction(BPF_JMP | BPF_JEQ | BPF_K, 0, 3, AUDIT_ARCH_X86_64);
    instruction(BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr));
    instruction(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, (unsigned)number);
    instruction(BPF_RET | BPF_K, 0, 0, action);
    instruction(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
    compat.len = native.len;
    compat.filter = (unsigned)(unsigned long)program;
}

static long install(const char *how, unsigned long flags)
{
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (!strcmp(how, "prctl"))
        return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &native);
    if (!strcmp(how, "seccomp"))
        return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &native);
    if (!strcmp(how, "prctl86"))
        return by_interrupt(172, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, (long)&compat);
    if (!strcmp(how, "seccomp86"))
        return by_interrupt(354, SECCOMP_SET_MODE_FILTER, flags, (long)&compat);
    if (!strcmp(how, "x32"))
        return syscall(0x40000000 | 317, SECCOMP_SET_MODE_FILTER, flags, &compat);
    if (!strcmp(how, "strict"))
        return syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, NULL);
    syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &(unsigned){SECCOMP_RET_TRACE});
    syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 1, NULL); /* as libseccomp does */
    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, NULL);
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL);
}

static void call(const char *who)
{
    char line[80];
    long result = syscall(number, 99, 0, 0, 0, 0);
    int length = snprintf(line, sizeof line, "%s %ld %d\n", who, result, result < 0 ? errno : 0);
    write(1, line, length);
}

static void trapped(int signo)
{
    (void)signo;
    write(1, "filtered SIGSYS\n", 16);
    _exit(0);
}

static void again(int signo)
{
    (void)signo;
    call("filtered");
}

static void *other(void *none)
{
    char order;
    read(orders[0], &order, 1);
    call("other");
    write(done[1], "", 1);
    return none;
}

/* Supervises, as a sandbox does: each call gets EACCES. */
static void *supervise(void *none)
{
    struct seccomp_notif call;
    struct seccomp_notif_resp answer;
    long listener;
    read(listeners[0], &listener, sizeof listener);
    memset(&call, 0, sizeof call);
    while (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) == 0) {
        answer = (struct seccomp_notif_resp){call.id, 0, -EACCES, 0};
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
        memset(&call, 0, sizeof call);
    }
    return none;
}

static void work(const char *how, const char *action, int with_thread, int is_traced, int stays)
{
    static const struct { const char *name; unsigned value; } known[] = {
        {"allow", SECCOMP_RET_ALLOW}, {"log", SECCOMP_RET_LOG}, {"trace", SECCOMP_RET_TRACE},
        {"errno", SECCOMP_RET_ERRNO | EBUSY}, {"trap", SECCOMP_RET_TRAP}, {"kill", SECCOMP_RET_KILL_PROCESS},
        {"notify", SECCOMP_RET_USER_NOTIF}, {"listener", SECCOMP_RET_USER_NOTIF}};
    pthread_t thread;
    char ended;
    for (unsigned at = 0; at < sizeof known / sizeof *known; at++)
        if (!strcmp(known[at].name, action))
            write_program(known[at].value);
    signal(SIGSYS, trapped);
    pipe(orders);
    pipe(done);
    if (with_thread)
        pthread_create(&thread, NULL, other, NULL);
    pipe(listeners);
    if (!strcmp(action, "listener"))
        pthread_create(&thread, NULL, supervise, NULL);
    if (is_traced) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
    }
    errno = 0;
    long result = install(how, strcmp(action, "listener") ? 0 : SECCOMP_FILTER_FLAG_NEW_LISTENER);
    printf("installed %d\n", result < 0 ? errno : 0);
    fflush(stdout);
    if (result > 0)
        write(listeners[1], &result, sizeof result);
    call("filtered");
    if (with_thread) {
        write(orders[1], "", 1);
        read(done[0], &ended, 1);
    }
    signal(SIGUSR1, again);
    while (stays)
        pause();
    _exit(0);
}

static int trace(pid_t child, int injects)
{
    int status;
    waitpid(child, &status, 0);
    ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESECCOMP | PTRACE_O_TRACECLONE);
    ptrace(PTRACE_CONT, child, 0, 0);
    for (;;) {
        pid_t who = waitpid(-1, &status, __WALL);
        if (who < 0 || (who == child && !WIFSTOPPED(status)))
            return status;
        if (!WIFSTOPPED(status))
            continue;
        int is_seccomp = status >> 8 == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8);
        if (is_seccomp && injects) {
            ptrace(PTRACE_POKEUSER, who, offsetof(struct user_regs_struct, orig_rax), -1L);
            ptrace(PTRACE_POKEUSER, who, offsetof(struct user_regs_struct, rax), (long)-EACCES);
        }
        int is_event = status >> 16 || WSTOPSIG(status) == SIGSTOP || WSTOPSIG(status) == SIGTRAP;
        ptrace(PTRACE_CONT, who, 0, is_event ? 0 : WSTOPSIG(status));
    }
}

static int has(char **words, const char *word)
{
    for (; *words; words++)
        if (!strcmp(*words, word))
            return 1;
    return 0;
}

int main(int argc, char **argv)
{
    int status;
    if (argc < 4)
        return 2;
    number = strtol(argv[3], NULL, 0);
    if (has(argv, "writes"))
        dup2(open("/output", O_CREAT | O_WRONLY | O_APPEND, 0644), 1);
    int injects = has(argv, "injects"), is_traced = injects || has(argv, "passes");
    pid_t child = fork();
    if (child == 0)
        work(argv[1], argv[2], has(argv, "thread"), is_traced, has(argv, "stays"));
    if (is_traced)
        status = trace(child, injects);
    else
        waitpid(child, &status, 0);
    if (WIFSIGNALED(status))
        printf("filtered signal %d\n", WTERMSIG(status));
    return 0;
}
