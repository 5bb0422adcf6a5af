/* Makes denied calls in children that live a fraction of a millisecond: COUNT NUMBER [ARGUMENT].
 * Prints each child's pid, which in a pid namespace of its own is not the node's. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    for (int i = 0; i < atoi(argv[1]); i++) {
        pid_t pid = fork();
        if (pid == 0) {
            syscall(atol(argv[2]), argc > 3 ? atol(argv[3]) : 0, 0, 0, 0, 0, 0);
            _exit(0);
        }
        waitpid(pid, NULL, 0);
    }
    return 0;
}
