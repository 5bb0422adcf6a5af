/* What the engine executes. It knows one thing: is one of the words create, run, restore among
 * the arguments? If not, it becomes the real runtime at once: kill, delete, exec and state need
 * neither Python nor policy. If so (a mistaken yes only costs time), it becomes Python with
 * cold.py, which decides. Nothing about policy is decided here.
 *
 * PREFIX is the directory above the one that this program lies in:
 *   PREFIX/var/current/runc or .../crun   symbolic link to the real runtime, made by `apply`
 *   PREFIX/lib/current                    symbolic link to this release's directory, with
 *                                         python (a symbolic link) and hotpath/cold.py
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const KINDS[] = {"runc", "crun"};
static const char *const FIXED_PATH[] = {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
                                         "/usr/bin",        "/sbin",          "/bin"};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct runtime {
    const char *kind; /* "runc", "crun", "self", or "" if there is none */
    char path[PATH_MAX];
};

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    fputs("runc-wrap: ", stderr);
    vfprintf(stderr, format, values);
    va_end(values);
    exit(1);
}

static bool read_link(const char *link, char *target)
{
    ssize_t length = readlink(link, target, PATH_MAX - 1);
    if (length <= 0)
        return false;
    target[length] = '\0';
    return true;
}

static void join(char *path, const char *directory, const char *name)
{
    if (snprintf(path, PATH_MAX, "%s/%s", directory, name) >= PATH_MAX)
        fail("the path %s/%s is too long.\n", directory, name);
}

/* The launcher is PREFIX/bin/NAME, however it was called. */
static void find_prefix(char *prefix)
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

/* A runtime that was moved, by an upgrade say, is looked for under its own name only: another kind
 * does not know the containers of this one. */
static bool search(struct runtime *found, const char *kind)
{
    for (size_t i = 0; i < COUNT(FIXED_PATH); i++) {
        join(found->path, FIXED_PATH[i], kind);
        if (access(found->path, X_OK) == 0 && !is_self(found->path)) {
            found->kind = kind;
            return true;
        }
    }
    return false;
}

static void find_runtime(struct runtime *found, const char *prefix)
{
    char links[PATH_MAX], link[PATH_MAX];
    join(links, prefix, "var/current");
    for (size_t i = 0; i < COUNT(KINDS); i++) {
        join(link, links, KINDS[i]);
        if (!read_link(link, found->path))
            continue;
        found->kind = is_self(found->path) ? "self" : KINDS[i];
        if (access(found->path, X_OK) != 0 && !search(found, KINDS[i]))
            read_link(link, found->path); /* the exec's error names what `apply` found */
        return;
    }
    for (size_t i = 0; i < COUNT(KINDS); i++)
        if (search(found, KINDS[i]))
            return;
    *found = (struct runtime){.kind = ""};
}

static bool reads_config(char **words)
{
    for (; *words != NULL; words++)
        if (strcmp(*words, "create") == 0 || strcmp(*words, "run") == 0 ||
            strcmp(*words, "restore") == 0)
            return true;
    return false;
}

/* CPython ignores these signals and may set LC_CTYPE when it starts; cold.py undoes that. */
static const char *ignored_signals(void)
{
    struct sigaction pipe, size;
    sigaction(SIGPIPE, NULL, &pipe);
    sigaction(SIGXFSZ, NULL, &size);
    if (pipe.sa_handler == SIG_IGN)
        return size.sa_handler == SIG_IGN ? "px" : "p";
    return size.sa_handler == SIG_IGN ? "x" : "";
}

static const char *locale_given(void)
{
    extern char **environ;
    for (char **entry = environ; *entry != NULL; entry++)
        if (strncmp(*entry, "LC_CTYPE=", 9) == 0)
            return *entry + 8;
    return "";
}

static void start_python(const char *prefix, const struct runtime *runtime, int count, char **words)
{
    char release[PATH_MAX], link[PATH_MAX], python[PATH_MAX], script[PATH_MAX];
    join(link, prefix, "lib/current");
    if (!read_link(link, release))
        fail("%s cannot be read (errno %d); run install.sh again.\n", link, errno);
    join(link, release, "python");
    if (!read_link(link, python))
        fail("%s cannot be read (errno %d); run install.sh again.\n", link, errno);
    join(script, release, "hotpath/cold.py");

    const char *first[] = {python,        "-I",         "-S",          "-B",
                           "-X",          "utf8",       script,        prefix,
                           runtime->kind, runtime->path, words[0],     ignored_signals(),
                           locale_given()};
    const char **all = calloc(COUNT(first) + (size_t)count, sizeof *all);
    if (all == NULL)
        fail("no memory for the arguments.\n");
    memcpy(all, first, sizeof first);
    memcpy(all + COUNT(first), words + 1, (size_t)count * sizeof *all); /* with the last NULL */
    execv(python, (char **)all);
    fail("the interpreter %s cannot be executed (errno %d); run install.sh again.\n", python,
         errno);
}

int main(int argc, char **argv)
{
    char prefix[PATH_MAX];
    struct runtime runtime = {.kind = ""};
    find_prefix(prefix);
    find_runtime(&runtime, prefix);
    if (argc > 0 && reads_config(argv + 1))
        start_python(prefix, &runtime, argc, argv);
    if (strcmp(runtime.kind, "self") == 0)
        fail("its runtime %s is runc-wrap itself; name the real one in "
             "%s/etc/config.toml and run `runc-wrapctl apply`.\n",
             runtime.path, prefix);
    if (runtime.path[0] == '\0')
        fail("no runc or crun is found; install one.\n");
    char *none[] = {runtime.path, NULL};
    char **words = argc > 0 ? argv : none;
    words[0] = runtime.path;
    execv(runtime.path, words);
    fail("the runtime %s cannot be executed (errno %d).\n", runtime.path, errno);
}
