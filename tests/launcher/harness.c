/* The launcher's parts, fed with generated input: one hexadecimal message a line on stdin, the
 * result a line on stdout. "a HEX": an agent's answer. "w HEX": the caller's words, each ended by
 * NUL. Each message lies in a heap block of exactly its size, so that AddressSanitizer sees a read
 * of one byte too many. */
#include "args.c"
#include "ask.c"
#include "log.c"

#include <stdlib.h>

static unsigned char digit(char c)
{
    return (unsigned char)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static char *message(const char *hex, size_t length)
{
    char *bytes = malloc(length);
    for (size_t i = 0; i < length; i++)
        bytes[i] = (char)(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
    return bytes;
}

static void print_bytes(const char *text)
{
    putchar(' ');
    for (; *text != '\0'; text++)
        printf("%02x", (unsigned char)*text);
}

static void answer(const char *bytes, size_t length)
{
    struct answer found = {0};
    enum verdict verdict = parse_answer(bytes, length, &found);
    printf("%s", verdict == GO ? "go" : verdict == RENAME ? "rename" : "cold");
    if (verdict != COLD) {
        print_bytes(found.path);
        printf(" %ju %ju", (uintmax_t)found.device, (uintmax_t)found.inode);
    }
    if (verdict == RENAME) {
        print_bytes(found.temporary);
        print_bytes(found.real);
        printf(" %ju", (uintmax_t)found.new_inode);
    }
}

static void words(char *bytes, size_t length)
{
    size_t count = 0, at = 0;
    char **all = calloc(length + 1, sizeof *all);
    for (; at < length; at += strlen(bytes + at) + 1)
        all[count++] = bytes + at;
    char **exact = malloc((count + 1) * sizeof *exact);
    memcpy(exact, all, (count + 1) * sizeof *exact);
    free(all);
    const char *command = command_of(exact);
    printf("%s", command == NULL ? "other" : is_edited(command) ? "create" : command);
    struct log log = find_log(exact);
    if (log.path != NULL) {
        printf(" %s", log.json ? "json" : "text");
        print_bytes(log.path);
    }
    free(exact);
}

int main(void)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t length;
    while ((length = getline(&line, &size, stdin)) > 0) {
        size_t bytes = ((size_t)length - 3) / 2;
        char *input = message(line + 2, bytes);
        if (line[0] == 'a')
            answer(input, bytes);
        else
            words(input, bytes);
        putchar('\n');
        free(input);
    }
    free(line);
    return 0;
}
