/* What the kernel refuses to each process that has a filter, whatever that allows: prints a line for each, "NAME ERROR".
 * Needs CAP_SYS_ADMIN and CAP_SYS_PTRACE. */
#include <errno.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void print(const char *name, long result)
{
	char line[80];
	int length = snprintf(line, sizeof line, "%s %d\n", name, result < 0 ? errno : (int)result);

	write(1, line, length);
}

int main(void)
{
	pid_t child = fork();
	int status;

	if (child == 0)
		for (;;)
			pause();
	print("Seccomp:", prctl(PR_GET_SECCOMP));
	ptrace(PTRACE_SEIZE, child, NULL, NULL);
	ptrace(PTRACE_INTERRUPT, child, NULL, NULL);
	waitpid(child, &status, __WALL);
	print("PTRACE_O_SUSPEND_SECCOMP", ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_SUSPEND_SECCOMP));
	print("PTRACE_SECCOMP_GET_FILTER", ptrace(PTRACE_SECCOMP_GET_FILTER, child, NULL, NULL));
	kill(child, SIGKILL);
	waitpid(child, &status, __WALL);
	print("SECCOMP_SET_MODE_STRICT", syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, NULL));
	syscall(SYS_exit, 0);
}
