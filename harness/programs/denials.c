/*
 * denials: make every system call of an ABI once, with arguments that can do no harm, and print
 * what came of it. Static, so that it is all a container needs.
 *
 *   denials ABI FIRST LAST [SKIP,...]     ABI: native, x32, i386
 *
 * One line per number: "ABI NUMBER RESULT", RESULT being
 *   errno N     the call failed with errno N
 *   ok          it succeeded (so it was allowed)
 *   signal N    the child that made it was killed by signal N (31: seccomp)
 *   hung        it did not return within the time (so it was allowed)
 *   skipped     it was not made: number listed, or no safe arguments are known
 *
 * Every call is made by a forked child of its own, in a process group of its own. It hung if after
 * 200 ms it sleeps twice in a row, or has not returned in 10 s; until then it may want for a CPU. All six arguments are -1: no descriptor, no address, no process (kill's -1 is not
 * harmless, so such calls are skipped by number on the command line: the caller knows names).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define X32_BIT 0x40000000L
#define MILLISECONDS 200
#define LOOKS 50

static long call_native(long number)
{
	return syscall(number, -1L, -1L, -1L, -1L, -1L, -1L);
}

static long call_i386(long number)
{
#if defined(__x86_64__)
	long result;
	/* rbp carries the sixth argument; the compiler does not let us name it */
	__asm__ volatile("push %%rbp\n\tmov $-1, %%ebp\n\tint $0x80\n\tpop %%rbp"
			 : "=a"(result)
			 : "a"(number), "b"(-1L), "c"(-1L), "d"(-1L), "S"(-1L), "D"(-1L)
			 : "memory", "cc", "r8", "r9", "r10", "r11");
	result = (int)result;
	if (result < 0 && result >= -4095) {
		errno = (int)-result;
		return -1;
	}
	return result;
#else
	(void)number;
	errno = ENOSYS;
	return -1;
#endif
}

static int is_listed(const char *list, long number)
{
	const char *place = list;
	while (place && *place) {
		char *end;
		if (strtol(place, &end, 10) == number)
			return 1;
		place = *end == ',' ? end + 1 : NULL;
	}
	return 0;
}

/* The child tells its result by a pipe: the exit status has too few bits, and calls such as
 * close(2) of everything must not take the report away (close_range(-1, -1) closes nothing). */
static void make_call(const char *abi, long number, int report)
{
	long result;
	int told;

	setpgid(0, 0);
	errno = 0;
	if (strcmp(abi, "i386") == 0)
		result = call_i386(number);
	else
		result = call_native(strcmp(abi, "x32") == 0 ? number | X32_BIT : number);
	told = result == -1 ? errno : 0;
	if (write(report, &told, sizeof(told)) != sizeof(told))
		_exit(2);
	_exit(0);
}

static void reap(pid_t child)
{
	kill(-child, SIGKILL);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

/* Tell whether a process waits for something, and not for a CPU or a disk. */
static int sleeps(pid_t process)
{
	char path[32], text[512], *end;
	FILE *file;
	size_t length;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)process);
	file = fopen(path, "r");
	if (file == NULL)
		return 1; /* there is no /proc to ask */
	length = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[length] = 0;
	end = strrchr(text, ')');
	return end == NULL || end[1] == 0 || (end[2] != 'R' && end[2] != 'D');
}

/* Return whether the child reports or ends. */
static int returns(pid_t child, int report)
{
	struct pollfd waiting = {.fd = report, .events = POLLIN};
	int look, asleep = 0;

	for (look = 0; look < LOOKS && asleep < 2; look++) {
		if (poll(&waiting, 1, MILLISECONDS) != 0)
			return 1;
		asleep = sleeps(child) ? asleep + 1 : 0;
	}
	return 0;
}

static void observe(const char *abi, long number)
{
	int pipes[2], told = 0, state = 0;
	ssize_t length;
	pid_t child;

	if (pipe(pipes) || (child = fork()) < 0) {
		printf("%s %ld skipped\n", abi, number);
		return;
	}
	if (child == 0) {
		close(pipes[0]);
		make_call(abi, number, pipes[1]);
	}
	close(pipes[1]);
	if (!returns(child, pipes[0])) {
		printf("%s %ld hung\n", abi, number);
		reap(child);
	} else {
		length = read(pipes[0], &told, sizeof(told));
		if (length == sizeof(told)) {
			printf(told ? "%s %ld errno %d\n" : "%s %ld ok\n", abi, number, told);
			reap(child);
		} else {
			waitpid(child, &state, 0);
			if (WIFSIGNALED(state))
				printf("%s %ld signal %d\n", abi, number, WTERMSIG(state));
			else
				printf("%s %ld ok\n", abi, number);
		}
	}
	close(pipes[0]);
}

int main(int count, char **words)
{
	long number, last;

	if (count < 4) {
		fprintf(stderr, "usage: denials native|x32|i386 FIRST LAST [SKIP,...]\n");
		return 2;
	}
	signal(SIGHUP, SIG_IGN);
	setvbuf(stdout, NULL, _IONBF, 0);
	last = strtol(words[3], NULL, 10);
	for (number = strtol(words[2], NULL, 10); number <= last; number++) {
		if (is_listed(count > 4 ? words[4] : NULL, number))
			printf("%s %ld skipped\n", words[1], number);
		else
			observe(words[1], number);
	}
	return 0;
}
