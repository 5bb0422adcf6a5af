/* What the engine executes. It knows one thing: is one of the words create, run, restore among
 * the arguments? If not, it becomes the real runtime at once: kill, delete, exec and state need
 * neither Python nor policy. If so (a mistaken yes only costs time), it becomes Python with
 * cold.py, which decides. Nothing about policy is decided here.
 *
 * PREFIX is the directory above the one that this program lies in:
 *   PREFIX/lib/runtime/runc or .../crun   symbolic link to the real runtime, made by `apply`
 *   PREFIX/lib/current                    symbolic link to the release in PREFIX/lib, which has
 *                                         python (a symbolic link) and hotpath/cold.py
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
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
    join(links, prefix, "lib/runtime");
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

static const char *const EDITED[] = {"create", "run", "restore"};
static const char *const OTHERS[] = {"checkpoint", "delete", "events", "exec",  "features",
                                     "help",       "kill",   "list",   "mounts", "pause",
                                     "ps",         "resume", "spec",   "start", "state",
                                     "update"};

static bool is_one_of(const char *word, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(word, names[i]) == 0)
            return true;
    return false;
}

/* A word behind a flag may be the flag's value: only one that cannot be is another command. */
static bool reads_config(char **words)
{
    bool may_be_value = false;
    for (; *words != NULL; words++) {
        if (is_one_of(*words, EDITED, COUNT(EDITED)))
            return true;
        if (!may_be_value && is_one_of(*words, OTHERS, COUNT(OTHERS)))
            return false;
        may_be_value = **words == '-' && strchr(*words, '=') == NULL;
    }
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

/* containerd shows the last line of the file behind --log; it must be JSON, with a time. */
static void write_log(char **words, const char *message)
{
    const char *path = NULL;
    for (; *words != NULL; words++) {
        const char *word = **words == '-' ? *words + 1 + ((*words)[1] == '-') : "";
        if (strncmp(word, "log=", 4) == 0)
            path = word + 4;
        else if (strcmp(word, "log") == 0 && words[1] != NULL)
            path = words[1];
    }
    if (path == NULL || strncmp(path, "journald:", 9) == 0 || strncmp(path, "syslog:", 7) == 0)
        return;
    if (strncmp(path, "file:", 5) == 0)
        path += 5;
    char line[2 * PATH_MAX], now[32];
    time_t seconds = time(NULL);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%SZ", &parts);
    int length = snprintf(line, sizeof line,
                          "{\"level\":\"error\",\"msg\":\"runc-wrap: %s\",\"time\":\"%s\"}\n",
                          message, now);
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0644);
    if (log < 0)
        return;
    if (length > 0 && (size_t)length < sizeof line && write(log, line, (size_t)length) < 0)
        fputs("runc-wrap: its log cannot be written.\n", stderr);
    close(log);
}

/* A create that cannot be decided is refused, in the log as on stderr. */
__attribute__((noreturn, format(printf, 2, 3))) static void refuse(char **words,
                                                                const char *format, ...)
{
    char message[PATH_MAX + 256];
    va_list values;
    va_start(values, format);
    vsnprintf(message, sizeof message, format, values);
    va_end(values);
    message[strcspn(message, "\n")] = '\0';
    for (char *c = message; *c != '\0'; c++)
        if (*c < ' ' || *c == '"' || *c == '\\')
            *c = '?'; /* a prefix with such characters must not spoil the line */
    write_log(words, message);
    fail("%s\n", message);
}

static void start_python(const char *prefix, const struct runtime *runtime, int count, char **words)
{
    char name[PATH_MAX], library[PATH_MAX], release[PATH_MAX];
    char link[PATH_MAX], python[PATH_MAX], script[PATH_MAX];
    join(library, prefix, "lib");
    join(link, library, "current");
    if (!read_link(link, name))
        refuse(words, "%s cannot be read (errno %d); run install.sh again.\n", link, errno);
    join(release, library, name);
    join(link, release, "python");
    if (!read_link(link, python))
        refuse(words, "%s cannot be read (errno %d); run install.sh again.\n", link, errno);
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
    refuse(words, "the interpreter %s cannot be executed (errno %d); run install.sh again.\n",
           python, errno);
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
