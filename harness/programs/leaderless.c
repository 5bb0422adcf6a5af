/* A process whose first thread ends while another goes on; with "groups", one with many groups. */
#include <grp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define GROUPS 20000

static void *stay(void *nothing)
{
    for (;;)
        pause();
    return nothing;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    if (argc > 1 && strcmp(argv[1], "groups") == 0) {
        gid_t *groups = calloc(GROUPS, sizeof *groups);
        for (size_t i = 0; groups != NULL && i < GROUPS; i++)
            groups[i] = (gid_t)(1000000000 + i);
        if (groups == NULL || setgroups(GROUPS, groups) != 0)
            return 1;
        stay(NULL);
    }
    if (pthread_create(&thread, NULL, stay, NULL) != 0)
        return 1;
    syscall(SYS_exit, 0);
}
