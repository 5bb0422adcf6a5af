/* Asks the agent, which decides as cold.py does but is already running; and sends it exec notices.
 *
 * One connection, one message each way (SOCK_SEQPACKET), NUL-terminated fields:
 *   runc-wrap/1 KIND XDG_RUNTIME_DIR=... ARGV0 WORD...          or "" if that is not set
 *   runc-wrap/1 go PATH DEVICE INODE                            leave the config as it is
 *   runc-wrap/1 rename PATH DEVICE INODE TEMPORARY REAL INODE   the new config is in TEMPORARY
 *   runc-wrap/1 cold
 * The agent changes no config: the launcher renames the new one, once it is certain that both read
 * the same file. Any answer but a valid "go" or "rename" leads to the cold path, which decides
 * anew; until the rename nothing has changed, and after it the config is complete.
 */
#include "launcher.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define VERSION "runc-wrap/1"
#define LARGEST (64 * 1024)
#define LONGEST_NOTICE 4096 /* agent/record/exec_notices.py: LONGEST */
#define MOST_FIELDS 8
/* Microseconds for the connection and the answer together, whatever the agent does: containerd's
 * shim before 2.3.2 allows two seconds for a container's state, and a create loses at most a tenth
 * of a second to an agent that hangs. The kernel counts in ticks of up to 10 ms and rounds up, once
 * for each wait. */
#define LONGEST_WAIT 80000

/* Return the number of fields; 0 if the message does not end in NUL or has too many. */
static size_t split(const char *text, size_t length, const char **fields)
{
    size_t count = 0;
    if (length == 0 || text[length - 1] != '\0')
        return 0;
    for (const char *end = text + length; text < end; text += strlen(text) + 1) {
        if (count == MOST_FIELDS)
            return 0;
        fields[count++] = text;
    }
    return count;
}

static bool read_number(const char *digits, uint64_t *value)
{
    if (*digits == '\0' || (digits[0] == '0' && digits[1] != '\0'))
        return false;
    for (*value = 0; *digits != '\0'; digits++) {
        if (*digits < '0' || *digits > '9')
            return false;
        if (*value > (UINT64_MAX - (uint64_t)(*digits - '0')) / 10)
            return false;
        *value = *value * 10 + (uint64_t)(*digits - '0');
    }
    return true;
}

enum verdict parse_answer(const char *text, size_t length, struct answer *answer)
{
    const char *fields[MOST_FIELDS];
    size_t count = split(text, length, fields);
    if (count < 5 || strcmp(fields[0], VERSION) != 0 || fields[2][0] != '/' ||
        !read_number(fields[3], &answer->device) || !read_number(fields[4], &answer->inode))
        return COLD;
    answer->path = fields[2];
    if (count == 5 && strcmp(fields[1], "go") == 0)
        return GO;
    if (count != 8 || strcmp(fields[1], "rename") != 0 || fields[5][0] != '/' ||
        fields[6][0] != '/' || !read_number(fields[7], &answer->new_inode))
        return COLD;
    answer->temporary = fields[5];
    answer->real = fields[6];
    return RENAME;
}

/* Runtimes without --root keep their state there; the agent may not read our environment. */
static const char *run_directory(void)
{
    extern char **environ;
    static const char name[] = "XDG_RUNTIME_DIR=";
    for (char **entry = environ; *entry != NULL; entry++)
        if (strncmp(*entry, name, sizeof name - 1) == 0)
            return *entry;
    return "";
}

/* Return the request's length, 0 if it would be too large. */
static size_t write_request(char *request, const struct launch *launch)
{
    size_t length = 0, size;
    const char *const own[] = {VERSION, launch->kind, run_directory(), NULL};
    const char *const *const parts[] = {own, (const char *const *)launch->words};
    for (size_t i = 0; i < COUNT(parts); i++)
        for (const char *const *word = parts[i]; *word != NULL; word++, length += size) {
            size = strlen(*word) + 1;
            if (size > LARGEST - length)
                return 0;
            memcpy(request + length, *word, size);
        }
    return length;
}

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

/* A signal ends a wait as well (EINTR). Without time left do not wait: a limit of 0 means none. */
static bool limit_wait(int agent, int direction, int64_t until)
{
    int64_t left = until - now();
    const struct timeval limit = {.tv_usec = (suseconds_t)left};
    return left > 0 && setsockopt(agent, SOL_SOCKET, direction, &limit, sizeof limit) == 0;
}

static bool connect_to_agent(int agent, const char *prefix)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct ucred peer;
    socklen_t size = sizeof peer;
    int length = snprintf(address.sun_path, sizeof address.sun_path,
                          "%s/var/agent/decide.sock", prefix);
    return length > 0 && (size_t)length < sizeof address.sun_path &&
           connect(agent, (struct sockaddr *)&address, sizeof address) == 0 &&
           getsockopt(agent, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == 0;
}

/* Return the answer's length, 0 for none in time. Do not wait to send a request that does not fit
 * into an empty queue. */
static size_t ask(int agent, const char *prefix, char *message, size_t length)
{
    int64_t until = now() + LONGEST_WAIT;
    if (!limit_wait(agent, SO_SNDTIMEO, until) || !connect_to_agent(agent, prefix) ||
        send(agent, message, length, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)length ||
        !limit_wait(agent, SO_RCVTIMEO, until))
        return 0;
    ssize_t answered = recv(agent, message, LARGEST, MSG_TRUNC); /* the real length */
    return answered > 0 && answered <= LARGEST ? (size_t)answered : 0;
}

static bool is_file(const char *path, uint64_t device, uint64_t inode)
{
    struct stat found;
    return stat(path, &found) == 0 && found.st_dev == device && found.st_ino == inode;
}

/* The agent's file may be elsewhere for us (another mount namespace), or may have changed since. */
static bool carry_out(enum verdict verdict, const struct answer *answer)
{
    if (verdict == COLD || !is_file(answer->path, answer->device, answer->inode))
        return false;
    return verdict == GO ||
           (rename(answer->temporary, answer->real) == 0 &&
            is_file(answer->path, answer->device, answer->new_inode));
}

/* The agent removes the temporary file when the connection ends, so rename it before closing. */
bool agent_agrees(const struct launch *launch)
{
    static char message[LARGEST];
    struct answer answer;
    size_t length = write_request(message, launch);
    int agent = length > 0 ? socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0) : -1;
    if (agent < 0)
        return false;
    length = ask(agent, launch->prefix, message, length);
    bool agreed = length > 0 && carry_out(parse_answer(message, length, &answer), &answer);
    close(agent);
    return agreed;
}

/* The notice of an exec is one datagram, "runc-wrap/1 ARGV0 WORD...", NUL-terminated fields, as
 * many as fit: it tells the agent to which container the processes belong that the runtime will
 * start. We wait for nothing, and ignore errors. The exec closes the socket. */
void tell_agent(const struct launch *launch)
{
    char message[LONGEST_NOTICE] = VERSION;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = sizeof VERSION, size;
    for (char **word = launch->words; *word != NULL; word++, length += size) {
        size = strlen(*word) + 1;
        if (size > sizeof message - length)
            break;
        memcpy(message + length, *word, size);
    }
    int path = snprintf(address.sun_path, sizeof address.sun_path, "%s/var/agent/exec.sock",
                        launch->prefix);
    int agent = path > 0 && (size_t)path < sizeof address.sun_path
                    ? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)
                    : -1;
    if (agent >= 0)
        sendto(agent, message, length, MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&address,
               sizeof address);
}
