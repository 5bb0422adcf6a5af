/* What is executed as VENV/bin/python or VENV/bin/runc-wrapctl in a release of the archive: becomes
 * the archive's own interpreter, by its own loader and libraries.
 *
 * A program names its loader by an absolute path, and a release may lie anywhere: so the loader is
 * executed, and told the rest. The environment stays as it was, for the runtime's sake. The
 * interpreter finds its library by --argv0, which therefore is this program, and not the loader.
 * The loader is executed by a link of this program's name: that is what `ps` and the kernel show.
 *   VENV/lib/private/NAME      link to the loader, ld.so
 *   VENV/lib/private/cpython   the interpreter; beside it all libraries that it needs
 *   VENV/lib/private/NAME.py   is run, told how this program was called; not for the name python
 */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PRIVATE "lib/private"
#define MOST_ADDED 12

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    vfprintf(stderr, format, values);
    va_end(values);
    exit(127);
}

__attribute__((format(printf, 2, 3))) static void put(char *path, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    int length = vsnprintf(path, PATH_MAX, format, values);
    va_end(values);
    if (length < 0 || length >= PATH_MAX)
        fail("runc-wrap: the path %s is too long; install it elsewhere.\n", path);
}

static void find_self(char *self)
{
    ssize_t length = readlink("/proc/self/exe", self, PATH_MAX - 1);
    if (length <= 0)
        fail("runc-wrap: /proc/self/exe cannot be read (errno %d); is /proc mounted?\n", errno);
    self[length] = '\0';
}

/* Cut "/NAME" off and return NAME. */
static const char *cut(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash == NULL)
        fail("runc-wrap: /proc/self/exe is no path: %s\n", path);
    *slash = '\0';
    return slash + 1;
}

int main(int argc, char **argv)
{
    char self[PATH_MAX], venv[PATH_MAX], private[PATH_MAX], python[PATH_MAX];
    char loader[PATH_MAX], interpreter[PATH_MAX], script[PATH_MAX];
    find_self(self);
    strcpy(venv, self);
    const char *name = cut(venv);
    cut(venv);
    put(private, "%s/" PRIVATE, venv);
    put(loader, "%s/%s", private, name);
    put(interpreter, "%s/cpython", private);
    put(python, "%s/bin/python", venv);

    const char **words = calloc((size_t)argc + MOST_ADDED, sizeof *words), **end = words;
    if (words == NULL || argc == 0)
        fail("runc-wrap: no memory, or called without a name.\n");
    *end++ = loader;
    *end++ = "--inhibit-cache"; /* of the node's libraries */
    *end++ = "--library-path";
    *end++ = private;
    *end++ = "--argv0";
    *end++ = python;
    *end++ = interpreter;
    if (strcmp(name, "python") != 0) {
        put(script, "%s/%s.py", private, name);
        *end++ = "-I";
        *end++ = "-S";
        *end++ = script;
        *end++ = argv[0];
    }
    memcpy(end, argv + 1, (size_t)argc * sizeof *end); /* and NULL */
    execv(loader, (char **)words);
    fail("runc-wrap: the interpreter's loader %s cannot be executed (errno %d); unpack or install "
         "the archive again.\n", loader, errno);
}
