/* A runtime that starts nothing: at create it keeps the config that it was given.
 *
 *     witness ... create --bundle DIR ID      DIR/seen.json: another name of DIR/config.json
 *
 * It says that it is a runc, so that `runc-wrapctl apply` takes it. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define VERSION "runc version 1.1.15\nspec: 1.0.2-dev\ngo: go1.24\nlibseccomp: 2.6.0\n"

static int keep(const char *bundle)
{
    char from[4096], to[4096];
    if (snprintf(from, sizeof from, "%s/config.json", bundle) >= (int)sizeof from)
        return 10;
    snprintf(to, sizeof to, "%s/seen.json", bundle);
    return link(from, to) == 0 ? 0 : 11; /* no limit of size or descriptors keeps it from that */
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
    return creates && bundle ? keep(bundle) : 1;
}
