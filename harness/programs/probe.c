/* Stands in for the real runtime: prints how it was started, one "name=value" a NUL-ended line.
 * Static, and prints before anything that a libc or an interpreter could change. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void line(const char *name, const char *value)
{
    printf("%s=%s", name, value);
    putchar('\0');
}

static void status_lines(void)
{
    char text[512];
    FILE *status = fopen("/proc/self/status", "r");
    while (status != NULL && fgets(text, sizeof text, status) != NULL) {
        text[strcspn(text, "\n")] = '\0';
        if ((strncmp(text, "Sig", 3) == 0 && text[3] != 'Q') || strncmp(text, "Umask", 5) == 0 ||
            strncmp(text, "NoNewPrivs", 10) == 0)
            line("status", text);
    }
    if (status != NULL)
        fclose(status);
}

static void descriptors(void)
{
    char path[64], target[512], text[600];
    for (int fd = 0; fd < 256; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags < 0)
            continue;
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(path, target, sizeof target - 1);
        target[length < 0 ? 0 : length] = '\0';
        snprintf(text, sizeof text, "%d %s", fd, target);
        line("fd", text);
    }
}

int main(int argc, char **argv, char **environ)
{
    char text[4096];
    descriptors();
    status_lines();
    snprintf(text, sizeof text, "%d", (int)getpid());
    line("pid", text);
    line("cwd", getcwd(text, sizeof text) != NULL ? text : "?");
    for (int i = 0; i < argc; i++)
        line("argv", argv[i]);
    for (char **entry = environ; *entry != NULL; entry++)
        line("env", *entry);
    return 0;
}
