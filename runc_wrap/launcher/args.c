/* The caller's words: which of them is the command, and which belong to a flag. No more is read than
 * tells what to do; hotpath/argv.py reads the whole line. */
#include "launcher.h"
#include "shared_words.h"

#include <string.h>

static const char *const EDITED[] = {EDITED_COMMANDS};
static const char *const OTHERS[] = {OTHER_COMMANDS};
/* Of both runtimes, before the command; the names without dashes. */
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

/* A word behind a flag may be the flag's value: only one that cannot be is another command. Return
 * NULL where there is none that we know. */
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
