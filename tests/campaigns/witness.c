/* A runtime that starts nothing: at create it keeps a copy of the config that it was given.
 *
 *     witness ... create --bundle DIR ID      DIR/seen.json: the bytes of DIR/config.json
 *
 * It says that it is a runc, so that `runc-wrapctl apply` takes it. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <unistd.h>

#define VERSION "runc version 1.1.15\nspec: 1.0.2-dev\ngo: go1.24\nlibseccomp: 2.6.0\n"

static int copy(const char *bundle)
{
    char from[4096], to[4096];
    if (snprintf(from, sizeof from, "%s/config.json", bundle) >= (int)sizeof from)
        return 10;
    snprintf(to, sizeof to, "%s/seen.json", bundle);
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (in < 0 || out < 0)
        return 11;
    ssize_t part;
    while ((part = sendfile(out, in, NULL, 1 << 20)) > 0)
        continue;
    return part < 0 ? 12 : 0;
}

int main(int count, char **words)
{
    const char *bundle = NULL;
    int creates = 0;
    for (int at = 1; at < count; at++) {
        if (strcmp(words[at], "--version") == 0)
            return fputs(VERSION, stdout) < 0;
        if (strcmp(words[at], "--bundle") == 0 && at + 1 < count)
            bundle = words[at + 1];
        creates |= strcmp(words[at], "create") == 0;
    }
    return creates && bundle ? copy(bundle) : 1;
}
