/* Reports errors in the engine's log and on stderr, where the hot path's errors.py cannot. The log
 * is the file given by --log; containerd shows its last line of level error, which must be JSON
 * with a time. */
#include "launcher.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define JSON "{\"level\":\"%1$s\",\"msg\":\"runc-wrap: %2$s\",\"time\":\"%3$s\"}\n"
#define TEXT "time=\"%3$s\" level=%1$s msg=\"runc-wrap: %2$s\"\n"

static int open_log(const struct log *log)
{
    if (log->path == NULL)
        return -1;
    return open(log->path, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0644);
}

/* Return how much of the line is in the log. Paths in messages must not break it. */
static size_t write_line(int descriptor, bool json, const char *level, const char *message)
{
    char clean[LONGEST_MESSAGE], line[LONGEST_MESSAGE + 128], now[32];
    snprintf(clean, sizeof clean, "%s", message);
    for (char *c = clean; *c != '\0'; c++)
        if (*c < ' ' || *c > '~' || *c == '"' || *c == '\\')
            *c = '?';
    time_t seconds = time(NULL);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%SZ", &parts);
    int length = snprintf(line, sizeof line, json ? JSON : TEXT, level, clean, now);
    ssize_t written = write(descriptor, line, (size_t)length);
    if (written != length)
        fputs("runc-wrap: its log cannot be written.\n", stderr);
    return written < 0 ? 0 : (size_t)written;
}

/* `ahead`: the line is written before Python starts, because Python could not report its own
 * failure to start; cold.py takes it back first of all, from the open descriptor and the length
 * that are put here. Only in an empty log: one with content may be shared. The lock is for creates
 * with the same log: only one of them has such a line. */
void write_log(char **words, const char *level, const char *message, char *ahead)
{
    struct stat found;
    struct log log = find_log(words);
    int opened = open_log(&log), descriptor = opened;
    if (opened >= 0 && ahead != NULL) {
        bool alone = flock(opened, LOCK_EX | LOCK_NB) == 0 && fstat(opened, &found) == 0 &&
                     S_ISREG(found.st_mode) && found.st_size == 0;
        descriptor = alone ? fcntl(opened, F_DUPFD, 3) : -1; /* not CLOEXEC, not stdio */
        close(opened);
    }
    if (descriptor < 0)
        return;
    size_t length = write_line(descriptor, log.json, level, message);
    if (ahead != NULL && length > 0)
        snprintf(ahead, AHEAD_SIZE, "%d:%zu", descriptor, length);
    else
        close(descriptor);
}

/* Where the interpreter could not be executed though it may be; another's lines stay. */
void take_back(const char *ahead)
{
    struct stat found;
    char *end;
    int descriptor = (int)strtol(ahead, &end, 10);
    if (*end != ':')
        return;
    if (fstat(descriptor, &found) == 0 && found.st_size == strtol(end + 1, NULL, 10) &&
        ftruncate(descriptor, 0) != 0)
        fputs("runc-wrap: its log cannot be written.\n", stderr);
    close(descriptor);
}

void fail(const char *format, ...)
{
    char line[3 * PATH_MAX] = "runc-wrap: "; /* one write: other failing creates may share stderr */
    va_list values;
    va_start(values, format);
    vsnprintf(line + strlen(line), sizeof line - strlen(line), format, values);
    va_end(values);
    fputs(line, stderr);
    exit(1);
}
