/* denied LOOPS PAUSED: nanoseconds that one unshare(0), which does nothing where it is let through,
 * takes in a loop of 100, the median of LOOPS, and with 20 ms before it, the median of PAUSED. */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static long now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000L + time.tv_nsec;
}

static int by_size(const void *one, const void *other)
{
    long difference = *(const long *)one - *(const long *)other;
    return difference < 0 ? -1 : difference > 0;
}

static long median(long *each, int count)
{
    qsort(each, (size_t)count, sizeof *each, by_size);
    return each[count / 2];
}

static long call(int times)
{
    long begin = now();
    for (int i = 0; i < times; i++)
        unshare(0);
    return now() - begin;
}

int main(int argc, char **argv)
{
    const struct timespec pause = {.tv_nsec = 20000000};
    int loops = argc == 3 ? atoi(argv[1]) : 0, paused = argc == 3 ? atoi(argv[2]) : 0;
    long each[1000];
    if (loops < 1 || paused < 1 || loops > 1000 || paused > 1000)
        return 2;
    for (int i = 0; i < loops; i++)
        each[i] = call(100) / 100;
    long in_loop = median(each, loops);
    for (int i = 0; i < paused; i++) {
        nanosleep(&pause, NULL);
        each[i] = call(1);
    }
    return printf("%ld %ld\n", in_loop, median(each, paused)) < 0;
}
