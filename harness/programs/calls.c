/* Makes system calls as its arguments say, each in a child, and prints what came of them.
 * ABI:NUMBER[:ARGUMENT...]; ABI is x86_64, x32 (the same instruction, bit 30 set) or x86 (int 0x80).
 * clone3:FLAGS is clone3 with these flags and SIGCHLD, and without it what C libraries do then: clone. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define X32_BIT 0x40000000UL

static long through_syscall(unsigned long nr, const unsigned long *a)
{
    long result;
    register unsigned long r10 __asm__("r10") = a[3];
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(nr), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10)
                     : "rcx", "r11", "memory");
    return result;
}

static long through_interrupt(unsigned long nr, const unsigned long *a)
{
    int result;
    __asm__ volatile("int $0x80"
                     : "=a"(result)
                     : "a"((unsigned)nr), "b"((unsigned)a[0]), "c"((unsigned)a[1]), "d"((unsigned)a[2]),
                       "S"((unsigned)a[3])
                     : "r8", "r9", "r10", "r11", "memory");
    return result;
}

static long call(const char *abi, unsigned long nr, const unsigned long *a)
{
    if (strcmp(abi, "x86") == 0)
        return through_interrupt(nr, a);
    return through_syscall(strcmp(abi, "x32") == 0 ? nr | X32_BIT : nr, a);
}

static long by_flags(unsigned long flags)
{
    unsigned long long args[8] = {flags, 0, 0, 0, SIGCHLD}; /* struct clone_args, its first version */
    unsigned long clone3[4] = {(unsigned long)args, sizeof args}, clone[4] = {flags | SIGCHLD};
    long result = through_syscall(435, clone3);
    return result == -ENOSYS ? through_syscall(56, clone) : result;
}

static void child(char *spec)
{
    unsigned long numbers[5] = {0};
    char *abi = strtok(spec, ":"), *word;
    if (strcmp(abi, "clone3") == 0) {
        long made = by_flags(strtoul(strtok(NULL, ":"), NULL, 0));
        if (made == 0)
            _exit(0);
        printf(made < 0 ? "errno %ld\n" : "returned\n", -made);
        exit(0);
    }
    for (int i = 0; i < 5 && (word = strtok(NULL, ":")) != NULL; i++)
        numbers[i] = strtoul(word, NULL, 0);
    long result = call(abi, numbers[0], numbers + 1);
    printf(result < 0 && result > -4096 ? "errno %ld\n" : "returned\n", -result);
    exit(0);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        int status = 0;
        printf("%s ", argv[i]);
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0)
            child(argv[i]);
        if (waitpid(pid, &status, 0) == pid && WIFSIGNALED(status))
            printf("killed by %d\n", WTERMSIG(status));
    }
    return 0;
}
