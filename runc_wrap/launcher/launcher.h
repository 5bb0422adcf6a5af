/* Declarations shared by the launcher's parts. Read launcher.c first. */
#ifndef RUNC_WRAP_LAUNCHER_H
#define RUNC_WRAP_LAUNCHER_H

#define _GNU_SOURCE /* struct ucred */
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct launch {
    char prefix[PATH_MAX];
    const char *kind; /* of the runtime: "runc", "crun", "self", or "" if there is none */
    char runtime[PATH_MAX];
    char **words; /* as we were called, with argv[0] */
    int count;
};

/* args.c: `words` are the caller's without argv[0]. */
bool is_one_of(const char *word, const char *const *names, size_t count);
bool is_edited(const char *word);        /* create, run or restore */
const char *flag_name(const char *word); /* without dashes; NULL if it is not a flag */
const char *command_of(char **words);

struct log {
    const char *path; /* NULL: no log, or not a file */
    bool json;
};
struct log find_log(char **words); /* by --log and --log-format */

/* real_runtime.c */
bool read_link(const char *link, char *target);
void join(char *path, const char *directory, const char *name);
void find_prefix(char *prefix);
void find_runtime(struct launch *found);
bool has_runtime(const struct launch *launch);
/* Returns only if that is impossible, with errno set and argv[0] unchanged. */
void become_runtime(struct launch *launch);

/* ask.c: true if the agent has decided, and the config is now as it decided. */
bool agent_agrees(const struct launch *launch);

/* ask.c: send the agent a notice of an exec. */
void tell_agent(const struct launch *launch);

enum verdict { COLD, GO, RENAME };
struct answer {
    const char *path, *temporary, *real;
    uint64_t device, inode, new_inode;
};
enum verdict parse_answer(const char *text, size_t length, struct answer *answer);

/* log.c: `words` as for args.c. */
#define LONGEST_MESSAGE (PATH_MAX + 300)
#define AHEAD_SIZE 64 /* of "DESCRIPTOR:LENGTH", for hotpath's Launch */
void write_log(char **words, const char *level, const char *message, char *ahead);
void take_back(const char *ahead);
__attribute__((noreturn, format(printf, 1, 2))) void fail(const char *format, ...); /* on stderr */

#endif
