/* Begins a process by clone3 with FLAGS, or a thread, which lives for three seconds.
 *   clones FLAGS [unshare]: a process, which makes a user namespace by unshare(2) then
 *   clones thread:          a thread as the C library begins it */
#define _GNU_SOURCE
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void *live(void *nothing)
{
	sleep(3);
	return nothing;
}

int main(int words, char **argv)
{
	struct clone_args asked = { .exit_signal = SIGCHLD };
	pthread_t thread;
	long child;

	if (words < 2)
		return 2;
	if (strcmp(argv[1], "thread") == 0)
		return pthread_create(&thread, NULL, live, NULL) || pthread_join(thread, NULL);
	asked.flags = strtoul(argv[1], NULL, 0);
	child = syscall(SYS_clone3, &asked, sizeof asked);
	if (child == 0) {
		if (words > 2 && unshare(CLONE_NEWUSER) != 0)
			_exit(3);
		live(NULL);
		_exit(0);
	}
	return child < 0 || waitpid(child, NULL, 0) != child;
}
