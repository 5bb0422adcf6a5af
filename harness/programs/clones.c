/* Begins a process by clone3 with FLAGS, or a thread, which lives for three seconds.
 *   clones FLAGS [unshare]: a process, which makes a user namespace by unshare(2) then
 *   clones secret FLAGS:    a process, asked for in memory that only it can read
 *   clones thread:          a thread as the C library begins it
 *   clones pid:             a process with a pid of its choice, which needs CAP_CHECKPOINT_RESTORE
 *   clones cgroup DIR:      a process in the cgroup DIR, as the C library begins it
 *   clones killed N:        N processes that begin threads and are killed meanwhile
 * Its exit status is 0, or the error. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void *live(void *nothing)
{
	sleep(3);
	return nothing;
}

static void *end(void *nothing)
{
	return nothing;
}

static int in_cgroup(char *program, const char *directory)
{
	char *argv[] = { program, "ends", NULL };
	posix_spawnattr_t how;
	pid_t child;
	int failed;

	posix_spawnattr_init(&how);
	posix_spawnattr_setcgroup_np(&how, open(directory, O_RDONLY | O_DIRECTORY));
	posix_spawnattr_setflags(&how, POSIX_SPAWN_SETCGROUP);
	failed = posix_spawn(&child, program, NULL, &how, argv, NULL);
	return failed ? failed : waitpid(child, NULL, 0) != child;
}

static int with_pid(void)
{
	pid_t chosen = 4321;
	struct clone_args asked = { .exit_signal = SIGCHLD, .set_tid = (unsigned long)&chosen, .set_tid_size = 1 };
	long child = syscall(SYS_clone3, &asked, sizeof asked);

	if (child == 0)
		_exit(0);
	return child < 0 ? errno : waitpid(child, NULL, 0) != chosen;
}

static int secretly(unsigned long flags)
{
	int file = syscall(SYS_memfd_secret, 0);
	struct clone_args *asked;
	long child;

	if (file < 0 || ftruncate(file, sizeof *asked) != 0)
		return errno;
	asked = mmap(NULL, sizeof *asked, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (asked == MAP_FAILED)
		return errno;
	asked->flags = flags;
	asked->exit_signal = SIGCHLD;
	child = syscall(SYS_clone3, asked, sizeof *asked);
	if (child == 0)
		_exit(0);
	return child < 0 ? errno : waitpid(child, NULL, 0) != child;
}

static int killed(int times)
{
	while (times--) {
		pid_t child = fork();
		if (child == 0)
			for (pthread_t thread;;)
				if (pthread_create(&thread, NULL, end, NULL) == 0)
					pthread_join(thread, NULL);
		usleep(3000 + times * 37 % 2000);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	return 0;
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
	if (strcmp(argv[1], "ends") == 0)
		return 0;
	if (strcmp(argv[1], "secret") == 0)
		return secretly(strtoul(argv[2], NULL, 0));
	if (strcmp(argv[1], "pid") == 0)
		return with_pid();
	if (strcmp(argv[1], "cgroup") == 0)
		return in_cgroup(argv[0], argv[2]);
	if (strcmp(argv[1], "killed") == 0)
		return killed(atoi(argv[2]));
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
