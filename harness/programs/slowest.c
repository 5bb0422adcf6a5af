/* Makes a call that default profiles deny, keyctl(99), every millisecond for SECONDS; prints how many
 * there were and how many milliseconds the slowest took. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec found;

	clock_gettime(CLOCK_MONOTONIC, &found);
	return found.tv_sec * 1e3 + found.tv_nsec / 1e6;
}

int main(int words, char **argv)
{
	double end = now() + 1e3 * atof(words > 1 ? argv[1] : "1"), slowest = 0;
	long calls = 0;

	for (; now() < end; usleep(1000), calls++) {
		double begun = now();

		syscall(SYS_keyctl, 99, 0, 0, 0, 0);
		if (now() - begun > slowest)
			slowest = now() - begun;
	}
	printf("%ld calls, the slowest %.1f ms\n", calls, slowest);
	return 0;
}
