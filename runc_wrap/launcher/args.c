/* The caller's words: finds the command among them, and which belong to a flag. It reads no more
 * than it needs to choose the path; hotpath/argv.py parses the whole line. */
#include "launcher.h"
#include "shared_words.h"

#include <string.h>

static const char *const EDITED[] = {EDITED_COMMANDS};
static const char *const OTHERS[] = {OTHER_COMMANDS};
/* Flags of both runtimes before the command; names without dashes. */
static const char *const WITHOUT_VALUE[] = {FLAGS_WITHOUT_VALUE};

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
