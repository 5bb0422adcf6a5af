// A container's first process whose children cannot be traced: N that wait for a child that they
// made by vfork, and M held in execve, as a thread of theirs is traced and not let end.
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Atomic int *thread, *is_traced;

static void *last(void *nothing)
{
	atomic_store(thread, (int)syscall(SYS_gettid));
	for (;;)
		pause();
	return nothing;
}

static void hold_in_execve(void)
{
	pthread_t made;
	char *words[] = { "/bin/sleep", "1000", NULL };

	if (pthread_create(&made, NULL, last, NULL))
		_exit(1);
	while (!atomic_load(is_traced))
		usleep(1000);
	execv(words[0], words);
	_exit(1);
}

int main(int count, char **words)
{
	int parents = count > 1 ? atoi(words[1]) : 0, held = count > 2 ? atoi(words[2]) : 0;

	for (int at = 0; at < parents; at++)
		if (!fork()) {
			if (!vfork())
				for (;;)
					pause();
			_exit(0);
		}
	for (int at = 0; at < held; at++) {
		thread = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		is_traced = thread + 1;
		if (!fork())
			hold_in_execve();
		while (!atomic_load(thread))
			usleep(1000);
		if (ptrace(PTRACE_SEIZE, atomic_load(thread), 0, PTRACE_O_TRACEEXIT))
			return 1;
		atomic_store(is_traced, 1);
	}
	for (;;)
		pause();
}
