/* Reports errors in the engine's log and on stderr, where the hot path's errors.py cannot. The log
 * is the file given by --log; containerd shows its last line of level error, which must be JSON
 * with a time. */
#include "launcher.h"
#include "shared_words.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct log {
    const char *path; /* NULL: no log, or not a file */
    bool json;
};

#define JSON "{\"level\":\"%1$s\",\"msg\":\"runc-wrap: %2$s\",\"time\":\"%3$s\"}\n"
#define TEXT "time=\"%3$s\" level=%1$s msg=\"runc-wrap: %2$s\"\n"

static const char *const WITH_VALUE[] = {FLAGS_WITH_VALUE};

/* If the word is the flag `name`, return its value, after "=" or in the next word, which is then
 * skipped; else NULL. */
static const char *value_of(char ***word, const char *name)
{
    const char *flag = flag_name(**word);
    size_t length = strlen(name);
    if (flag == NULL || strncmp(flag, name, length) != 0)
        return NULL;
    if (flag[length] == '=')
        return flag + length + 1;
    return flag[length] == '\0' && (*word)[1] != NULL ? *++*word : NULL;
}

/* The runtime's own flags precede the command; a value may look like a command. */
static struct log find_log(char **words)
{
    struct log log = {.path = NULL, .json = false};
    for (; *words != NULL && !is_edited(*words); words++) {
        const char *value = NULL;
        size_t flag = 0;
        while (flag < COUNT(WITH_VALUE) && (value = value_of(&words, WITH_VALUE[flag])) == NULL)
            flag++;
        if (value != NULL && strcmp(WITH_VALUE[flag], "log") == 0)
            log.path = value;
        else if (value != NULL && strcmp(WITH_VALUE[flag], "log-format") == 0)
            log.json = strcmp(value, "json") == 0;
    }
    if (log.path == NULL || strncmp(log.path, "journald:", 9) == 0 ||
        strncmp(log.path, "syslog:", 7) == 0)
        log.path = NULL;
    else if (strncmp(log.path, "file:", 5) == 0)
        log.path += 5;
    return log;
}

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

/* `ahead`: written before Python starts, because Python could not report its own failure to start;
 * cold.py takes it back first of all. Only in an empty log: one with content may be shared. The
 * lock is for creates with the same log: only one of them has such a line. */
struct ahead write_log(char **words, const char *level, const char *message, bool ahead)
{
    struct ahead written = {.descriptor = -1};
    struct stat found;
    struct log log = find_log(words);
    int descriptor = open_log(&log);
    if (descriptor >= 0 && ahead) {
        if (flock(descriptor, LOCK_EX | LOCK_NB) == 0 && fstat(descriptor, &found) == 0 &&
            S_ISREG(found.st_mode) && found.st_size == 0)
            written.descriptor = fcntl(descriptor, F_DUPFD, 3); /* not CLOEXEC, not stdio */
        close(descriptor);
        descriptor = written.descriptor;
    }
    if (descriptor < 0)
        return written;
    written.length = (off_t)write_line(descriptor, log.json, level, message);
    if (ahead && written.length > 0) {
        snprintf(written.word, sizeof written.word, "%d:%jd", descriptor, (intmax_t)written.length);
        return written;
    }
    close(descriptor);
    return (struct ahead){.descriptor = -1};
}

/* Other writers' lines stay intact: if one follows, ours becomes spaces, which are not JSON.
 * The descriptor's position is the end of our line. It only appends, so another one is opened to
 * write. */
static bool erase(const struct ahead *ahead)
{
    char itself[64], spaces[LONGEST_MESSAGE + 128];
    struct stat found;
    off_t end = lseek(ahead->descriptor, 0, SEEK_CUR), start = end - ahead->length;
    if (fstat(ahead->descriptor, &found) != 0 || start < 0)
        return false;
    if (found.st_size == end)
        return ftruncate(ahead->descriptor, start) == 0;
    if (found.st_size < end)
        return true; /* another program has truncated it already */
    memset(spaces, ' ', sizeof spaces);
    spaces[ahead->length - 1] = '\n';
    snprintf(itself, sizeof itself, "/proc/self/fd/%d", ahead->descriptor);
    int anew = open(itself, O_WRONLY | O_CLOEXEC);
    bool erased = pwrite(anew, spaces, (size_t)ahead->length, start) == ahead->length;
    close(anew);
    return erased;
}

void take_back(const struct ahead *ahead)
{
    if (ahead->descriptor < 0)
        return;
    if (!erase(ahead))
        fputs("runc-wrap: its log cannot be written.\n", stderr);
    close(ahead->descriptor);
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
