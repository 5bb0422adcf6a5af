/* Threads that differ in filters: HOW NUMBER OTHER. Each thread makes both calls, in turn, and prints.
 *
 * one      one of four loads a filter that refuses NUMBER (111), the others none
 * each     each refuses with an errno of its own
 * all      one loads it for all (TSYNC)
 * log      one has its calls logged, the others none
 * after    one is started before the filter, one after it
 * apart    one refuses NUMBER, one refuses OTHER, two neither
 * leader   the first thread ends, and another makes the calls
 * stack    one thread loads three filters, one over the other */
#include "inner.h"
#include <pthread.h>

static const char *how;
static long number, other;
static pthread_barrier_t turn;

static void load_as(int who)
{
    if (!strcmp(how, "one") && who == 1)
        load(SECCOMP_RET_ERRNO | 111, 0, &number, 1);
    if (!strcmp(how, "each"))
        load(SECCOMP_RET_ERRNO | (100 + who), 0, &number, 1);
    if (!strcmp(how, "all") && who == 2)
        load(SECCOMP_RET_ERRNO | 111, SECCOMP_FILTER_FLAG_TSYNC, &number, 1);
    if (!strcmp(how, "log") && who == 3)
        load(SECCOMP_RET_LOG, 0, &number, 1);
    if (!strcmp(how, "apart") && who < 2)
        load(SECCOMP_RET_ERRNO | 111, 0, who ? &number : &other, 1);
    if (!strcmp(how, "stack") && who == 0)
        for (int i = 0; i < 3; i++)
            load(SECCOMP_RET_ERRNO | (100 + i), 0, i ? &number : &other, 1);
}

static void *thread(void *argument)
{
    int who = (int)(long)argument;
    load_as(who);
    pthread_barrier_wait(&turn);
    for (int i = 0; i < 4; i++) {
        if (i == who) {
            int first = attempt(number), second = attempt(other);
            printf("thread %d: %d %d\n", who, first, second);
            fflush(stdout);
        }
        pthread_barrier_wait(&turn);
    }
    return NULL;
}

static void *alone(void *argument)
{
    if (!strcmp(how, "leader"))
        usleep(20000); /* the first thread is gone by then */
    int first = attempt(number), second = attempt(other);
    printf("%s: %d %d\n", (char *)argument, first, second);
    fflush(stdout);
    if (!strcmp(how, "leader"))
        _exit(0);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[4];
    if (argc != 4)
        return 2;
    how = argv[1], number = atol(argv[2]), other = atol(argv[3]);
    if (!strcmp(how, "leader")) {
        pthread_create(threads, NULL, alone, "another");
        pthread_exit(NULL);
    }
    if (!strcmp(how, "after")) {
        pthread_create(threads, NULL, alone, "before");
        pthread_join(threads[0], NULL);
        load(SECCOMP_RET_ERRNO | 111, 0, &number, 1);
        pthread_create(threads, NULL, alone, "after");
        pthread_join(threads[0], NULL);
        return 0;
    }
    pthread_barrier_init(&turn, NULL, 4);
    for (long i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, thread, (void *)i);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    return 0;
}
