/* Makes a call that default profiles deny, keyctl(99), again and again, and prints what came of it.
 *   repeat COUNT PROCESSES SECONDS
 * One line per process: "COUNT of COUNT failed with 95" (EOPNOTSUPP is the kernel's own answer).
 * The first process stays for SECONDS. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int repeat(long count)
{
	long as_usual = 0;

	for (long i = 0; i < count; i++)
		as_usual += syscall(SYS_keyctl, 99, 0, 0, 0, 0) == -1 && errno == EOPNOTSUPP;
	printf("%ld of %ld failed with %d\n", as_usual, count, EOPNOTSUPP);
	return 0;
}

int main(int words, char **argv)
{
	int processes = words > 2 ? atoi(argv[2]) : 1;

	if (words < 2)
		return 2;
	for (int i = 1; i < processes; i++)
		if (fork() == 0)
			return repeat(atol(argv[1]));
	repeat(atol(argv[1]));
	fflush(stdout);
	if (words > 3)
		sleep(atoi(argv[3]));
	while (wait(NULL) > 0)
		;
	return 0;
}
