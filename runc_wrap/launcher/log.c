/* The engine's log, which is the file behind --log: what the hot path's failure.py writes, where
 * it cannot. containerd shows its last line of level error, which must be JSON with a time. */
#include "launcher.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct log {
    const char *path; /* NULL: none, or no file */
    bool json;
};

/* The value of the flag `name` at `*word`, given behind "=" or as the next word; else NULL. */
static const char *value_of(char ***word, const char *name)
{
    const char *flag = **word;
    size_t length = strlen(name);
    if (*flag != '-')
        return NULL;
    flag += flag[1] == '-' ? 2 : 1;
    if (strncmp(flag, name, length) != 0)
        return NULL;
    if (flag[length] == '=')
        return flag + length + 1;
    return flag[length] == '\0' && (*word)[1] != NULL ? *++*word : NULL;
}

/* The runtime's own flags stand before the command. */
static struct log find_log(char **words)
{
    struct log log = {.path = NULL, .json = false};
    for (; *words != NULL && !is_edited(*words); words++) {
        const char *value = value_of(&words, "log");
        if (value != NULL) {
            log.path = value;
        } else {
            value = value_of(&words, "log-format");
            if (value != NULL)
                log.json = strcmp(value, "json") == 0;
        }
    }
    if (log.path == NULL || strncmp(log.path, "journald:", 9) == 0 ||
        strncmp(log.path, "syslog:", 7) == 0)
        log.path = NULL;
    else if (strncmp(log.path, "file:", 5) == 0)
        log.path += 5;
    return log;
}

/* Return the line's length, 0 if it has no room. */
static size_t write_line(char *line, size_t size, bool json, const char *level, const char *message)
{
    char now[32];
    time_t seconds = time(NULL);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%SZ", &parts);
    int length = json ? snprintf(line, size,
                                 "{\"level\":\"%s\",\"msg\":\"runc-wrap: %s\",\"time\":\"%s\"}\n",
                                 level, message, now)
                      : snprintf(line, size, "time=\"%s\" level=%s msg=\"runc-wrap: %s\"\n", now,
                                 level, message);
    return length > 0 && (size_t)length < size ? (size_t)length : 0;
}

static int open_log(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0644);
}

void write_log(char **words, const char *level, const char *message)
{
    char line[2 * PATH_MAX];
    struct log log = find_log(words);
    int descriptor = log.path == NULL ? -1 : open_log(log.path);
    if (descriptor < 0)
        return;
    size_t length = write_line(line, sizeof line, log.json, level, message);
    if (write(descriptor, line, length) != (ssize_t)length)
        fputs("runc-wrap: its log cannot be written.\n", stderr);
    close(descriptor);
}

/* What an interpreter that dies before our code cannot say any more is written before it starts,
 * and the first thing that our code does is to take it back. A log that has something in it is left
 * alone: it may be shared, and nobody's line may be cut off. */
struct ahead write_ahead(char **words, const char *message)
{
    struct ahead ahead = {.descriptor = -1, .word = ""};
    char line[2 * PATH_MAX];
    struct stat found;
    struct log log = find_log(words);
    int opened = log.path == NULL ? -1 : open_log(log.path);
    if (opened < 0)
        return ahead;
    size_t length = write_line(line, sizeof line, log.json, "error", message);
    if (length > 0 && fstat(opened, &found) == 0 && S_ISREG(found.st_mode) && found.st_size == 0)
        ahead.descriptor = fcntl(opened, F_DUPFD, 3); /* for Python: not CLOEXEC, nor its stdio */
    close(opened);
    if (ahead.descriptor < 0)
        return ahead;
    snprintf(ahead.word, sizeof ahead.word, "%d:%zu", ahead.descriptor, length);
    if (write(ahead.descriptor, line, length) != (ssize_t)length) {
        take_back(&ahead);
        return (struct ahead){.descriptor = -1, .word = ""};
    }
    return ahead;
}

void take_back(const struct ahead *ahead)
{
    if (ahead->descriptor < 0)
        return;
    if (ftruncate(ahead->descriptor, 0) != 0)
        fputs("runc-wrap: its log cannot be written.\n", stderr);
    close(ahead->descriptor);
}
