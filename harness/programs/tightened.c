/* Does something that a tracer could disturb, and writes into the file OUT what came of it; then
 * keyctl(99)'s errno whenever that is another than before.
 *   tightened OUT sits
 *   tightened OUT userns:      in a user namespace of its own
 *   tightened OUT dispatch:    with its calls turned into signals, once its selector says so
 *   tightened OUT kills:       with a filter that kills it for prctl, seccomp, mmap and munmap
 *   tightened OUT fills N...:  with filters of which the kernel makes N instructions each
 *   tightened OUT signals N:   a child queues N signals; "N of N"
 *   tightened OUT chain N:     N processes, each of which makes the next and ends; the last sits
 *   tightened OUT chain N CALL ERROR: before it ends, each denies itself this call with this error
 *   tightened OUT starts:      a child starts processes with two threads, 50 a second
 *   tightened OUT diverged:    with io_uring's kernel thread, and a thread that has a filter of its own
 *   tightened OUT hops:        threads, each of which makes the next and ends, for ten seconds; the last sits
 *   tightened OUT hops diverged: these have a filter of their own, which the first thread has not
 *   tightened OUT sequence:    in restartable sequences (rseq(2)) for four seconds; "broken 0" */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int out;
static volatile long count;

static void sit(void)
{
	for (int before = 0;; usleep(10000)) {
		errno = 0;
		syscall(SYS_keyctl, 99, 0, 0, 0, 0);
		if (errno != before)
			dprintf(out, "keyctl %d\n", before = errno);
	}
}

static void counted(int number, siginfo_t *info, void *context)
{
	(void)number, (void)context;
	count += info->si_value.sival_int == count;
}

static void signals(long wanted)
{
	struct sigaction handled = { .sa_sigaction = counted, .sa_flags = SA_SIGINFO };
	struct timespec for_long = { .tv_sec = 1000 };
	pid_t own = getpid();

	sigaction(SIGRTMIN, &handled, NULL);
	errno = 0;
	if (fork() == 0) {
		for (int at = 0; at < wanted && errno != ESRCH; usleep(100))
			at += sigqueue(own, SIGRTMIN, (union sigval){ .sival_int = at }) == 0;
		_exit(0);
	}
	while (count < wanted)
		nanosleep(&for_long, NULL);
	dprintf(out, "%ld of %ld\n", count, wanted);
}

static void sequence(void)
{
	char *area = (char *)__builtin_thread_pointer() + __rseq_offset;
	time_t until = time(NULL) + 4;
	long broken = 0;

	while (time(NULL) < until) {
		long wrong = 0;
		__asm__ volatile(
			".pushsection __rseq_cs, \"aw\"\n\t.balign 32\n"
			"3: .long 0, 0\n\t.quad 1f, 2f - 1f, 4f\n\t.popsection\n\t"
			"lea 3b(%%rip), %%rax\n\tmov $3000000, %%ecx\n\tmov %%rax, 8(%1)\n"
			"1: cmp %%rax, 8(%1)\n\tjne 5f\n\tdec %%ecx\n\tjnz 1b\n"
			"2: jmp 6f\n\t"
			".byte 0x0f, 0xb9, 0x3d\n\t.long 0x53053053\n"
			"4: jmp 6f\n"
			"5: mov $1, %0\n"
			"6: movq $0, 8(%1)\n"
			: "+r"(wrong) : "r"(area) : "rax", "rcx", "memory", "cc");
		broken += wrong;
	}
	dprintf(out, "broken %ld\n", broken);
}

static long added(struct sock_filter *lines, int count)
{
	struct sock_fprog program = { .len = count, .filter = lines };

	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

static long filled(int length)
{
	struct sock_filter lines[4096];
	int last = length - 5;

	for (int at = 0; at < last; at++)
		lines[at] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_IMM, 0);
	lines[last] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	return added(lines, last + 1);
}

static long answered(int number, unsigned answer)
{
	struct sock_filter lines[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, answer),
	};

	return added(lines, 4);
}

static long killed_for(int number)
{
	return answered(number, SECCOMP_RET_KILL_PROCESS);
}

static void chain(long left, int number, int error)
{
	if (fork() != 0) {
		while (wait(NULL) > 0 || errno == EINTR)
			;
		exit(0);
	}
	for (; left-- > 0; usleep(number ? 500 : 0))
		if (fork() != 0) {
			if (number && answered(number, SECCOMP_RET_ERRNO | error) == 0)
				usleep(20000);
			_exit(0);
		}
}

static void *diverged(void *unused)
{
	killed_for(SYS_reboot);
	dprintf(out, "begun\n");
	for (;;)
		pause();
	return unused;
}

static void *sleeps(void *unused)
{
	usleep(300000);
	return unused;
}

static void starts(void)
{
	pthread_t thread;

	if (fork() != 0)
		return;
	for (signal(SIGCHLD, SIG_IGN);; usleep(20000))
		if (fork() == 0) {
			pthread_create(&thread, NULL, sleeps, NULL);
			sleeps(NULL);
			_exit(0);
		}
}

static time_t until;
static int hop(void *filtered);

static void make_next(void *filtered)
{
	static char stacks[64][65536] __attribute__((aligned(16)));
	static volatile int used[64]; /* until the kernel clears it: a stopped thread keeps its stack */
	static int at;
	int same = CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID |
		CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;

	while (used[at])
		at = (at + 1) % 64;
	used[at] = 1;
	while (clone(hop, stacks[at] + sizeof stacks[at] - 16, same, filtered, NULL, NULL, &used[at]) < 0)
		;
}

static int hop(void *filtered)
{
	if (filtered)
		killed_for(SYS_reboot);
	if (time(NULL) > until)
		sit();
	make_next(NULL);
	return 0;
}

int main(int words, char **argv)
{
	static char selector;

	if (words < 3)
		return 2;
	out = open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0600);
	if (strcmp(argv[2], "userns") == 0 && unshare(CLONE_NEWUSER) != 0)
		return 3;
	if (strcmp(argv[2], "dispatch") == 0 && prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, 0, 0, &selector) != 0)
		return 3;
	if (words > 5)
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (strcmp(argv[2], "kills") == 0) {
		static const int numbers[] = { SYS_prctl, SYS_mmap, SYS_munmap, SYS_seccomp };
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		for (int at = 0; at < 4; at++)
			if (killed_for(numbers[at]) != 0)
				return 3;
	}
	if (strcmp(argv[2], "fills") == 0) {
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		for (int at = 3; at < words; at++)
			if (filled(atoi(argv[at])) != 0)
				return 3;
	}
	if (strcmp(argv[2], "diverged") == 0) {
		pthread_t thread;
		struct io_uring_params ring = { .flags = IORING_SETUP_SQPOLL };
		syscall(SYS_io_uring_setup, 8, &ring);
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		if (pthread_create(&thread, NULL, diverged, NULL) != 0)
			return 3;
		sit();
	}
	dprintf(out, "begun\n");
	until = time(NULL) + 10;
	alarm(strcmp(argv[2], "hops") == 0 ? 300 : 0); /* no runtime ends it once its first thread has */
	if (strcmp(argv[2], "hops") == 0) {
		make_next(words > 3 ? argv[3] : NULL);
		while (words > 3)
			pause();
		syscall(SYS_exit, 0);
	}
	if (strcmp(argv[2], "signals") == 0)
		signals(atol(argv[3]));
	if (strcmp(argv[2], "chain") == 0)
		chain(atol(argv[3]), words > 5 ? atoi(argv[4]) : 0, words > 5 ? atoi(argv[5]) : 0);
	if (strcmp(argv[2], "starts") == 0)
		starts();
	if (strcmp(argv[2], "sequence") == 0)
		sequence();
	sit();
}
