/* Makes a call that default profiles deny, keyctl(99), while a timer's signals come whose handler
 * lacks SA_RESTART, and prints how many calls these have ended.
 *   interrupted COUNT MICROSECONDS
 * One line: "N of COUNT interrupted, M signals". */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

static volatile sig_atomic_t signals;

static void count(int number)
{
	(void)number;
	signals++;
}

int main(int words, char **argv)
{
	struct sigaction handled = { .sa_handler = count };
	struct itimerval every = { 0 };
	long calls, interrupted = 0;

	if (words < 3)
		return 2;
	every.it_interval.tv_usec = every.it_value.tv_usec = atol(argv[2]);
	sigaction(SIGALRM, &handled, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	calls = atol(argv[1]);
	for (long i = 0; i < calls; i++)
		interrupted += syscall(SYS_keyctl, 99, 0, 0, 0, 0) == -1 && errno == EINTR;
	setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, NULL);
	printf("%ld of %ld interrupted, %d signals\n", interrupted, calls, (int)signals);
	return 0;
}
