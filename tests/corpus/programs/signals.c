/* A timer interrupts calls, and handlers do not restart them: MICROSECONDS CALLS NUMBER.
 * Prints how many calls ended by EINTR, and how many in any other way than the first one. */
#include "inner.h"
#include <signal.h>
#include <sys/time.h>

static void handle(int number)
{
    (void)number;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    long period = atol(argv[1]), number = atol(argv[3]);
    int first = attempt(number), interrupted = 0, others = 0;
    struct sigaction action = {.sa_handler = handle};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval timer = {{0, period}, {0, period}};
    setitimer(ITIMER_REAL, &timer, NULL);
    for (int i = 0; i < atoi(argv[2]); i++) {
        int result = attempt(number);
        interrupted += result == EINTR;
        others += result != EINTR && result != first;
    }
    printf("errno %d, %d interrupted, %d otherwise\n", first, interrupted, others);
    return 0;
}
