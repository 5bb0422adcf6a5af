/* Namespaces: STEP..., one after the other in one process, and what came of each.
 *
 * unshare:FLAGS        unshare(2)
 * clone:FLAGS          clone(2) with SIGCHLD, the child ends at once
 * clone3:FLAGS         clone3(2) likewise; fallback:FLAGS then clone(2) where it is not known
 * setns:KIND           setns(2) into one's own namespace of that kind, by descriptor
 * mapped               unshare a user namespace and map root in it
 * mount                a tmpfs over /tmp, as the root of that namespace
 * hostname             sethostname, likewise */
#include "inner.h"
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

#define NEW_USER 0x10000000

static void put(const char *path, const char *text)
{
    int file = open(path, O_WRONLY);
    if (file >= 0 && write(file, text, strlen(text)) < 0)
        perror(path);
    if (file >= 0)
        close(file);
}

static long ended(long pid)
{
    if (pid == 0)
        _exit(0);
    if (pid > 0)
        waitpid((pid_t)pid, NULL, 0);
    return pid < 0 ? -1 : 0;
}

static long by_clone3(unsigned long flags)
{
    struct clone_args arguments = {.flags = flags, .exit_signal = SIGCHLD};
    return syscall(SYS_clone3, &arguments, sizeof arguments);
}

static long by_clone(unsigned long flags)
{
    return syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
}

static long by_fallback(unsigned long flags)
{
    long pid = by_clone3(flags);
    return pid < 0 && errno == ENOSYS ? by_clone(flags) : pid;
}

static long into(const char *kind)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/ns/%s", kind);
    int space = open(path, O_RDONLY);
    long result = syscall(SYS_setns, space, 0);
    int told = errno;
    close(space);
    errno = told;
    return result;
}

static long mapped(void)
{
    char map[64], groups[64];
    snprintf(map, sizeof map, "0 %d 1", getuid());
    snprintf(groups, sizeof groups, "0 %d 1", getgid());
    if (syscall(SYS_unshare, NEW_USER) < 0)
        return -1;
    put("/proc/self/setgroups", "deny");
    put("/proc/self/uid_map", map);
    put("/proc/self/gid_map", groups);
    return 0;
}

static long step(char *word)
{
    char *value = strchr(word, ':');
    unsigned long flags = value ? strtoul(value + 1, NULL, 0) : 0;
    if (!strncmp(word, "unshare:", 8))
        return syscall(SYS_unshare, flags);
    if (!strncmp(word, "clone:", 6))
        return ended(by_clone(flags));
    if (!strncmp(word, "clone3:", 7))
        return ended(by_clone3(flags));
    if (!strncmp(word, "fallback:", 9))
        return ended(by_fallback(flags));
    if (!strncmp(word, "setns:", 6))
        return into(value + 1);
    if (!strcmp(word, "mapped"))
        return mapped();
    if (!strcmp(word, "mount"))
        return mount("none", "/tmp", "tmpfs", 0, NULL);
    if (!strcmp(word, "hostname"))
        return sethostname("inside", 6);
    exit(2);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        errno = 0;
        long result = step(argv[i]);
        printf("%s %d\n", argv[i], result < 0 ? errno : 0);
        fflush(stdout);
    }
    return 0;
}
