/* The program that engines execute. It checks one thing: whether one of the words create, run,
 * restore is among the arguments. If not, it becomes the real runtime at once: kill, delete, exec
 * and state need neither Python nor policy. (It sends the agent a notice of an exec, without
 * waiting.) If so (a mistaken yes only costs time), it asks the agent (ask.c); without an agent, or
 * without a clear answer, it becomes Python with cold.py, which decides. Nothing about policy is
 * decided here.
 *
 * PREFIX is the parent of this program's directory:
 *   PREFIX/lib/runtime/runc or .../crun   symbolic link to the real runtime, made by `apply`
 *   PREFIX/lib/current                    symbolic link to the release in PREFIX/lib, which has
 *                                         python (a symbolic link) and hotpath/cold.py
 *   PREFIX/var/policy.N/current/          the policy in force; it has a file run-unmodified if its
 *                                         owner chose that failures do not stop containers
 */
#include "launcher.h"
#include "shared_words.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define UNMODIFIED "var/policy." POLICY_FORM "/current/run-unmodified"
#define PATIENCE 10 /* seconds for an interpreter to start */

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

static bool runs_unmodified(const struct launch *launch)
{
    char marker[PATH_MAX];
    join(marker, launch->prefix, UNMODIFIED);
    return has_runtime(launch) && access(marker, F_OK) == 0;
}

/* Refuse a create that cannot be decided, in the log and on stderr; or start it unmodified. */
__attribute__((noreturn, format(printf, 2, 3))) static void give_up(struct launch *launch,
                                                                 const char *format, ...)
{
    char message[LONGEST_MESSAGE], warning[LONGEST_MESSAGE + 32];
    va_list values;
    va_start(values, format);
    vsnprintf(message, sizeof message, format, values);
    va_end(values);
    if (runs_unmodified(launch)) {
        snprintf(warning, sizeof warning, "started unmodified: %s", message);
        write_log(launch->words + 1, "warning", warning, NULL);
        become_runtime(launch);
    }
    write_log(launch->words + 1, "error", message, NULL);
    fail("%s\n", message);
}

__attribute__((noreturn)) static void try_python(const char *const *words, pid_t launcher)
{
    sigset_t alarms;
    int null = open("/dev/null", O_RDWR);
    for (int descriptor = 0; descriptor < 3; descriptor++)
        dup2(null, descriptor);
    signal(SIGALRM, SIG_DFL);
    sigemptyset(&alarms);
    sigaddset(&alarms, SIGALRM);
    sigprocmask(SIG_UNBLOCK, &alarms, NULL);
    alarm(PATIENCE); /* it survives the exec, as does the next setting */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == launcher)
        execv(words[0], (char **)words);
    _exit(1);
}

/* Whether the interpreter gets as far as our code: without the caller's words cold.py ends there,
 * with status 0. This costs one more start, only with run-unmodified: once we have become Python it
 * is too late to become the runtime. */
static bool python_starts(const char *const *words)
{
    const struct sigaction usual = {.sa_handler = SIG_DFL};
    struct sigaction before;
    sigset_t children, mask;
    int status = 1;
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    sigaction(SIGCHLD, &usual, &before); /* with SIG_IGN there would be no exit status */
    sigprocmask(SIG_UNBLOCK, &children, &mask);
    pid_t launcher = getpid(), child = fork();
    if (child == 0)
        try_python(words, launcher);
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    sigprocmask(SIG_SETMASK, &mask, NULL);
    sigaction(SIGCHLD, &before, NULL);
    return child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void follow(struct launch *launch, const char *directory, const char *name, char *target)
{
    char link[PATH_MAX];
    join(link, directory, name);
    if (!read_link(link, target))
        give_up(launch,
                "%s cannot be read (errno %d); run install.sh again, or reinstall the package.",
                link, errno);
}

/* The interpreter, and the words that start cold.py with it. */
struct python {
    char name[PATH_MAX], loader[PATH_MAX], libraries[PATH_MAX], program[PATH_MAX], script[PATH_MAX];
    const char *words[16];
    size_t count; /* of words, without NULL */
};

/* The release's own interpreter, from an archive: execute its loader, since a program can name that
 * only by an absolute path, and pass it the libraries and the name by which the interpreter finds
 * its modules. deploy/archive/node/start.c does so for all other programs, at the price of one more
 * exec. */
static void add_loader(struct python *python, const char *release)
{
    join(python->loader, release, "venv/lib/private/python");
    join(python->libraries, release, "venv/lib/private");
    join(python->program, release, "venv/lib/private/cpython");
    const char *const words[] = {python->loader, "--inhibit-cache", "--library-path",
                                 python->libraries, "--argv0", python->name, python->program};
    memcpy(python->words, words, sizeof words);
    python->count = COUNT(words);
}

static void find_python(struct launch *launch, struct python *python)
{
    char name[PATH_MAX], library[PATH_MAX], release[PATH_MAX], target[PATH_MAX];
    join(library, launch->prefix, "lib");
    follow(launch, library, "current", name);
    join(release, library, name);
    follow(launch, release, "python", target);
    join(python->script, release, "hotpath/cold.py");
    if (*target == '/') {
        strcpy(python->name, target);
        python->words[python->count++] = python->name;
    } else {
        join(python->name, release, target);
        add_loader(python, release);
    }
    const char *const words[] = {"-I", "-S", "-B", "-X", "utf8", python->script};
    memcpy(python->words + python->count, words, sizeof words);
    python->count += COUNT(words);
}

#define MOST_WORDS 15 /* for hotpath/exec_runtime.py's Launch */

/* Empty values are left out. */
static void add_word(const char ***end, const char *name, const char *value)
{
    if (*value != '\0') {
        *(*end)++ = name;
        *(*end)++ = value;
    }
}

#define NOT_STARTED                                                                            \
    "the interpreter %s was started and did not come as far as runc-wrap's own code; run " \
    "install.sh again, or reinstall the package."

#define NOT_EXECUTED                                                                              \
    "the interpreter %s cannot be executed (errno %d); run install.sh again, or reinstall the " \
    "package."

static void start_python(struct launch *launch)
{
    static struct python python;
    char message[LONGEST_MESSAGE], ahead[AHEAD_SIZE] = "";
    find_python(launch, &python);
    if (access(python.words[0], X_OK) != 0)
        give_up(launch, NOT_EXECUTED, python.name, errno);
    if (runs_unmodified(launch) && !python_starts(python.words))
        give_up(launch, NOT_STARTED, python.name);

    snprintf(message, sizeof message, NOT_STARTED " See stderr.", python.name);
    write_log(launch->words + 1, "error", message, ahead);
    const char **all = calloc(python.count + MOST_WORDS + 1 + (size_t)launch->count, sizeof *all);
    if (all == NULL)
        fail("no memory for the arguments.\n");
    memcpy(all, python.words, python.count * sizeof *all);
    const char **end = all + python.count;
    add_word(&end, "--prefix", launch->prefix);
    add_word(&end, "--kind", launch->kind);
    add_word(&end, "--runtime", launch->runtime);
    add_word(&end, "--called-as", launch->words[0]);
    add_word(&end, "--ignored", ignored_signals());
    add_word(&end, "--locale", locale_given());
    add_word(&end, "--ahead", ahead);
    *end++ = "--";
    memcpy(end, launch->words + 1, (size_t)launch->count * sizeof *all); /* and NULL */
    execv(all[0], (char **)all);
    int error = errno;
    take_back(ahead);
    give_up(launch, NOT_EXECUTED, python.name, error);
}

int main(int argc, char **argv)
{
    static struct launch launch;
    if (argc == 0)
        fail("it was called without a name.\n");
    launch.words = argv;
    launch.count = argc;
    find_prefix(launch.prefix);
    find_runtime(&launch);
    const char *command = command_of(argv + 1);
    if (command != NULL && is_edited(command)) {
        if (has_runtime(&launch) && agent_agrees(&launch))
            become_runtime(&launch);
        start_python(&launch);
    }
    if (strcmp(launch.kind, "self") == 0)
        fail("its runtime %s is runc-wrap itself; name the real one in "
             "%s/etc/config.toml and run `runc-wrapctl apply`.\n",
             launch.runtime, launch.prefix);
    if (!has_runtime(&launch))
        fail("no runc or crun is found; install one.\n");
    if (command != NULL && strcmp(command, "exec") == 0)
        tell_agent(&launch);
    become_runtime(&launch);
    fail("the runtime %s cannot be executed (errno %d).\n", launch.runtime, errno);
}
