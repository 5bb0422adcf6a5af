/* Finds this program's installation and the real runtime, and executes it. */
#include "launcher.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const KINDS[] = {"runc", "crun"};
static const char *const FIXED_PATH[] = {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
                                         "/usr/bin",        "/sbin",          "/bin"};

bool read_link(const char *link, char *target)
{
    ssize_t length = readlink(link, target, PATH_MAX - 1);
    if (length <= 0)
        return false;
    target[length] = '\0';
    return true;
}

void join(char *path, const char *directory, const char *name)
{
    if (snprintf(path, PATH_MAX, "%s/%s", directory, name) >= PATH_MAX)
        fail("the path %s/%s is too long.\n", directory, name);
}

/* The launcher is PREFIX/bin/NAME, however it was called. */
void find_prefix(char *prefix)
{
    if (!read_link("/proc/self/exe", prefix))
        fail("/proc/self/exe cannot be read (errno %d); is /proc mounted?\n", errno);
    for (int level = 0; level < 2; level++) {
        char *slash = strrchr(prefix, '/');
        if (slash != NULL)
            *slash = '\0';
    }
}

static bool is_self(const char *path)
{
    struct stat self, other;
    return stat("/proc/self/exe", &self) == 0 && stat(path, &other) == 0 &&
           self.st_dev == other.st_dev && self.st_ino == other.st_ino;
}

/* A runtime that was moved, for example by an upgrade, is searched under its own name only: another
 * kind does not know this one's containers. */
static bool search(struct launch *found, const char *kind)
{
    for (size_t i = 0; i < COUNT(FIXED_PATH); i++) {
        join(found->runtime, FIXED_PATH[i], kind);
        if (access(found->runtime, X_OK) == 0 && !is_self(found->runtime)) {
            found->kind = kind;
            return true;
        }
    }
    return false;
}

void find_runtime(struct launch *found)
{
    char links[PATH_MAX], link[PATH_MAX];
    join(links, found->prefix, "lib/runtime");
    for (size_t i = 0; i < COUNT(KINDS); i++) {
        join(link, links, KINDS[i]);
        if (!read_link(link, found->runtime))
            continue;
        found->kind = is_self(found->runtime) ? "self" : KINDS[i];
        if (access(found->runtime, X_OK) != 0 && !search(found, KINDS[i]))
            read_link(link, found->runtime); /* the exec's error names what `apply` found */
        return;
    }
    for (size_t i = 0; i < COUNT(KINDS); i++)
        if (search(found, KINDS[i]))
            return;
    found->kind = "";
    found->runtime[0] = '\0';
}

bool has_runtime(const struct launch *launch)
{
    return is_one_of(launch->kind, KINDS, COUNT(KINDS));
}

void become_runtime(struct launch *launch)
{
    char *called_as = launch->words[0];
    launch->words[0] = launch->runtime;
    execv(launch->runtime, launch->words);
    launch->words[0] = called_as;
}
