/* A thread in each call that waits, a thread that computes with all registers, and one that has a
 * filter of its own; into the file OUT a line for each when it is done, with keyctl(99)'s errno then:
 *   NAME RESULT ERRNO MILLISECONDS KEYCTL
 * Calls with a timeout end by it after SECONDS; the others by an event that comes then.
 *   waiting OUT SECONDS [NAME...]: without these threads */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int seconds, out;
static int pipes[2], pairs[2], listening, epolls, events, locks[2], watch, queue, semaphores;
static uint32_t word;

static double now(void)
{
	struct timespec at;
	clock_gettime(CLOCK_MONOTONIC, &at);
	return at.tv_sec * 1e3 + at.tv_nsec / 1e6;
}

static struct timeval tv(void) { return (struct timeval){ .tv_sec = seconds }; }
static struct timespec ts(void) { return (struct timespec){ .tv_sec = seconds }; }

static long sleeps(void) { struct timespec t = ts(); return nanosleep(&t, NULL); }
static long sleeps_until(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += seconds;
	return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}
static long selects(void) { struct timeval t = tv(); return select(0, NULL, NULL, NULL, &t); }
static long polls(void) { return poll(NULL, 0, seconds * 1000); }
static long ppolls(void) { struct timespec t = ts(); return ppoll(NULL, 0, &t, NULL); }
static long futex_timed(void)
{
	struct timespec t = ts();
	return syscall(SYS_futex, &(uint32_t){ 0 }, FUTEX_WAIT_PRIVATE, 0, &t, NULL, 0);
}
static long futex(void) { return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0); }
static long reads_pipe(void) { char one; return read(pipes[0], &one, 1); }
static long receives(void) { char one; return recv(pairs[0], &one, 1, 0); }
static long receives_timed(void)
{
	int two[2];
	struct timeval t = { .tv_sec = 60 };
	char one;
	socketpair(AF_UNIX, SOCK_STREAM, 0, two);
	setsockopt(two[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
	pairs[1] = two[1];
	return recv(two[0], &one, 1, 0);
}
static long accepts(void) { return accept(listening, NULL, NULL) >= 0; }
static long epoll_event(void)
{
	struct epoll_event one = { .events = EPOLLIN };
	epoll_ctl(epolls, EPOLL_CTL_ADD, events, &one);
	return epoll_wait(epolls, &one, 1, 60000);
}
static long epoll_masked(void)
{
	struct epoll_event one = { .events = EPOLLIN };
	int own = epoll_create1(0);
	sigset_t mask;
	sigfillset(&mask);
	epoll_ctl(own, EPOLL_CTL_ADD, events, &one);
	return epoll_pwait(own, &one, 1, -1, &mask);
}
/* These wait with every signal blocked but, in the last, SIGURG; one that nothing else blocks is pending. */
static long ppoll_masked(void)
{
	struct timespec t = ts();
	sigset_t mask;
	sigfillset(&mask);
	return ppoll(NULL, 0, &t, &mask);
}
static long pselect_masked(void)
{
	struct timespec t = ts();
	sigset_t mask;
	sigfillset(&mask);
	return pselect(0, NULL, NULL, NULL, &t, &mask);
}
static long suspends(void)
{
	sigset_t mask;
	sigfillset(&mask);
	sigdelset(&mask, SIGURG);
	return sigsuspend(&mask);
}
static int is_masked(long (*made)(void))
{
	return made == epoll_masked || made == ppoll_masked || made == pselect_masked || made == suspends;
}
static long event(void) { return poll(&(struct pollfd){ .fd = events, .events = POLLIN }, 1, -1); }
static long timer(void)
{
	struct itimerspec at = { .it_value = ts() };
	uint64_t times;
	int fd = timerfd_create(CLOCK_MONOTONIC, 0);
	timerfd_settime(fd, 0, &at, NULL);
	return read(fd, &times, sizeof times);
}
static long takes_signal(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	return sigtimedwait(&set, NULL, &(struct timespec){ .tv_sec = 60 });
}
static long signal_file(void)
{
	struct signalfd_siginfo info;
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	return read(signalfd(-1, &set, 0), &info, sizeof info);
}
static long lock(void) { return flock(locks[1], LOCK_EX); }
static long notices(void) { char buffer[512]; return read(watch, buffer, sizeof buffer) > 0; }
static long message(void)
{
	struct { long type; char text; } one;
	return msgrcv(queue, &one, 1, 0, 0);
}
static long semaphore(void)
{
	struct sembuf down = { .sem_op = -1 };
	return semtimedop(semaphores, &down, 1, &(struct timespec){ .tv_sec = 60 });
}
static long waits(void)
{
	pid_t child = fork();
	if (child == 0) {
		sleep(seconds);
		_exit(0);
	}
	return waitpid(child, NULL, 0) == child;
}
static long vforks(void)
{
	pid_t child = vfork();
	if (child == 0) {
		struct timespec t = { .tv_sec = seconds };
		syscall(SYS_nanosleep, &t, NULL);
		_exit(0);
	}
	return waitpid(child, NULL, 0) == child;
}
static long pauses(void) { return pause(); }

/* All general registers but rsp, the flags, an SSE and an x87 register hold what was put there. */
static long computes(void)
{
	double until = now() + seconds * 1e3;
	long wrong = 0;
	while (now() < until && !wrong)
		__asm__ volatile(
			"push %%rbp\n\t"
			"mov $1000000, %%ecx\n\t"
			"movabs $0x1111111122222222, %%rax\n\tmov %%rax, %%rbx\n\tmov %%rax, %%rdx\n\t"
			"mov %%rax, %%rsi\n\tmov %%rax, %%rdi\n\tmov %%rax, %%rbp\n\tmov %%rax, %%r8\n\t"
			"mov %%rax, %%r9\n\tmov %%rax, %%r10\n\tmov %%rax, %%r11\n\tmov %%rax, %%r12\n\t"
			"mov %%rax, %%r13\n\tmov %%rax, %%r14\n\tmov %%rax, %%r15\n\tmovq %%rax, %%xmm7\n\t"
			"fldpi\n\tmovq %%rax, -80(%%rsp)\n\t"
			"1: cmp %%rax, %%rbx\n\tjne 2f\n\tcmp %%rax, %%rdx\n\tjne 2f\n\tcmp %%rax, %%rsi\n\tjne 2f\n\t"
			"cmp %%rax, %%rdi\n\tjne 2f\n\tcmp %%rax, %%rbp\n\tjne 2f\n\tcmp %%rax, %%r8\n\tjne 2f\n\t"
			"cmp %%rax, %%r9\n\tjne 2f\n\tcmp %%rax, %%r10\n\tjne 2f\n\tcmp %%rax, %%r11\n\tjne 2f\n\t"
			"cmp %%rax, %%r12\n\tjne 2f\n\tcmp %%rax, %%r13\n\tjne 2f\n\tcmp %%rax, %%r14\n\tjne 2f\n\t"
			"cmp %%rax, %%r15\n\tjne 2f\n\tcmp %%rax, -80(%%rsp)\n\tjne 2f\n\t"
			"movq %%xmm7, %%r15\n\tcmp %%rax, %%r15\n\tjne 2f\n\t"
			"fldpi\n\tfcomip %%st(1), %%st\n\tjne 2f\n\t"
			"dec %%rcx\n\tjnz 1b\n\t"
			"mov $0, %%eax\n\tjmp 3f\n"
			"2: mov $1, %%eax\n"
			"3: fstp %%st(0)\n\tpop %%rbp"
			: "=a"(wrong)
			:
			: "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
			  "xmm7", "st", "memory", "cc");
	return wrong;
}

static const struct { const char *name; long (*made)(void); } calls[] = {
	{ "nanosleep", sleeps }, { "clock_nanosleep", sleeps_until }, { "select", selects },
	{ "poll", polls }, { "ppoll", ppolls }, { "futex_timed", futex_timed }, { "futex", futex },
	{ "read_pipe", reads_pipe }, { "recv", receives }, { "recv_timed", receives_timed },
	{ "accept", accepts }, { "epoll_wait", epoll_event }, { "epoll_pwait", epoll_masked },
	{ "poll_event", event }, { "timerfd", timer }, { "sigtimedwait", takes_signal },
	{ "signalfd", signal_file }, { "flock", lock }, { "inotify", notices }, { "msgrcv", message },
	{ "semtimedop", semaphore }, { "waitpid", waits }, { "vfork", vforks }, { "pause", pauses },
	{ "registers", computes }, { "ppoll_masked", ppoll_masked },
	{ "pselect_masked", pselect_masked }, { "sigsuspend", suspends },
};
#define COUNT (sizeof calls / sizeof *calls)
static pthread_t threads[COUNT];

static void *make(void *which)
{
	size_t at = (size_t)which;
	double begun = now();
	long result = (errno = 0, calls[at].made());
	int error = result < 0 ? errno : 0;
	double lasted = now() - begun;
	syscall(SYS_keyctl, 99, 0, 0, 0, 0);
	dprintf(out, "%s %ld %d %.0f %d\n", calls[at].name, result, error, lasted, errno);
	return NULL;
}

static void caught(int number) { (void)number; }

static void connect_to(int to)
{
	struct sockaddr_in at;
	socklen_t size = sizeof at;
	getsockname(to, (struct sockaddr *)&at, &size);
	if (connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&at, size) != 0)
		dprintf(out, "connect 0 %d 0\n", errno);
}

int main(int words, char **argv)
{
	struct sigaction handled = { .sa_handler = caught };
	sigset_t own;
	char directory[4096];

	if (words < 3)
		return 2;
	out = open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0600);
	seconds = atoi(argv[2]);
	sigemptyset(&own);
	sigaddset(&own, SIGUSR1);
	sigaddset(&own, SIGUSR2);
	sigaddset(&own, SIGURG); /* as who waits for it must: else its handler may run before a stopped sigsuspend begins again */
	sigprocmask(SIG_BLOCK, &own, NULL);
	sigaction(SIGWINCH, &handled, NULL);
	sigaction(SIGURG, &handled, NULL);
	if (pipe(pipes) || socketpair(AF_UNIX, SOCK_STREAM, 0, pairs))
		return 3;
	int pair = pairs[1];
	listening = socket(AF_INET, SOCK_STREAM, 0);
	listen(listening, 1);
	epolls = epoll_create1(0);
	events = eventfd(0, 0);
	locks[0] = open(argv[1], O_RDONLY);
	locks[1] = open(argv[1], O_RDONLY);
	flock(locks[0], LOCK_EX);
	watch = inotify_init();
	snprintf(directory, sizeof directory, "%s.watched", argv[1]);
	mkdir(directory, 0700);
	inotify_add_watch(watch, directory, IN_CREATE);
	queue = msgget(IPC_PRIVATE, 0600);
	semaphores = semget(IPC_PRIVATE, 1, 0600);
	for (size_t at = 0; at < COUNT; at++) {
		int word_at = words;
		while (--word_at > 2 && strcmp(argv[word_at], calls[at].name) != 0)
			;
		if (word_at == 2)
			pthread_create(&threads[at], NULL, make, (void *)at);
	}
	usleep(200000);
	for (size_t at = 0; at < COUNT; at++)
		if (threads[at] != 0 && is_masked(calls[at].made))
			pthread_kill(threads[at], SIGWINCH);
	dprintf(out, "all wait\n");
	sleep(seconds);
	word = 1;
	syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	if (write(pipes[1], "x", 1) + write(pair, "x", 1) + write(pairs[1], "x", 1) + write(events, &(uint64_t){ 1 }, 8) != 11)
		return 4;
	connect_to(listening);
	kill(getpid(), SIGUSR1);
	kill(getpid(), SIGUSR2);
	close(locks[0]);
	strcat(directory, "/created");
	close(open(directory, O_CREAT | O_WRONLY, 0600));
	msgsnd(queue, &(struct { long type; char text; }){ 1, 'x' }, 1, 0);
	semop(semaphores, &(struct sembuf){ .sem_op = 1 }, 1);
	for (size_t at = 0; at < COUNT; at++) {
		if (threads[at] == 0)
			continue;
		if (calls[at].made == pauses)
			pthread_kill(threads[at], SIGWINCH);
		if (calls[at].made == suspends)
			pthread_kill(threads[at], SIGURG);
		pthread_join(threads[at], NULL);
	}
	msgctl(queue, IPC_RMID, NULL);
	semctl(semaphores, 0, IPC_RMID);
	dprintf(out, "done\n");
	return 0;
}
