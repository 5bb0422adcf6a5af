/* ahead LOG SINCE: a line is written ahead to LOG, another writer appends SINCE, and the line is
 * taken back. "cut": the other empties the log instead. */
#include "args.c"
#include "log.c"

int main(int argc, char **argv)
{
    char *words[] = {"--log", argv[1], "create", NULL};
    struct ahead ahead = write_log(words, "error", "the interpreter", true);
    FILE *log = fopen(argv[1], strcmp(argv[2], "cut") == 0 ? "w" : "a");
    fputs(argv[2], log);
    fclose(log);
    printf("%s\n", ahead.word);
    take_back(&ahead);
    return argc == 3 && ahead.descriptor >= 3 ? 0 : 1;
}
