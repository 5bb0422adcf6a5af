/* The caller's words: finds the command among them, and which belong to a flag. It reads no more
 * than it needs to choose the path; hotpath/argv.py parses the whole line. */
#include "launcher.h"
#include "shared_words.h"

#include <string.h>

static const char *const EDITED[] = {EDITED_COMMANDS};
static const char *const OTHERS[] = {OTHER_COMMANDS};
/* Flags of both runtimes before the command; names without dashes. */
static const char *const WITHOUT_VALUE[] = {FLAGS_WITHOUT_VALUE};
static const char *const WITH_VALUE[] = {FLAGS_WITH_VALUE};

bool is_one_of(const char *word, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(word, names[i]) == 0)
            return true;
    return false;
}

bool is_edited(const char *word)
{
    return is_one_of(word, EDITED, COUNT(EDITED));
}

const char *flag_name(const char *word)
{
    return *word != '-' ? NULL : word + (word[1] == '-' ? 2 : 1);
}

/* A word after a flag may be the flag's value: another command counts only where it cannot be one.
 * Return NULL if there is no known command. */
const char *command_of(char **words)
{
    bool may_be_value = false;
    for (; *words != NULL; words++) {
        if (is_edited(*words))
            return *words;
        if (!may_be_value && is_one_of(*words, OTHERS, COUNT(OTHERS)))
            return *words;
        const char *name = flag_name(*words);
        may_be_value = name != NULL && strchr(name, '=') == NULL &&
                       !is_one_of(name, WITHOUT_VALUE, COUNT(WITHOUT_VALUE));
    }
    return NULL;
}

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
struct log find_log(char **words)
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
