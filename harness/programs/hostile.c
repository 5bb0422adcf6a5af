/* Makes denied calls as a program of a name of somebody's choice, from a file of such a name.
 *   hostile DIRECTORY COUNT NUMBER:COMM:FILE:DELETED...
 * COMM and FILE are hexadecimal; DELETED is 1 if the file is to be gone before the calls are made.
 * Of each case this program is copied to DIRECTORY/FILE and run from there; one after the other. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void plain(const char *hex, char *into)
{
	unsigned int byte;

	for (; sscanf(hex, "%2x", &byte) == 1; hex += 2)
		*into++ = (char)byte;
	*into = 0;
}

/* argv: path "as" COUNT NUMBER COMM DELETED */
static int call(char **argv)
{
	char comm[256];

	plain(argv[4], comm);
	if (argv[5][0] == '1' && unlink(argv[0]) < 0)
		return 3;
	if (prctl(PR_SET_NAME, comm) < 0)
		return 4;
	for (int i = 0; i < atoi(argv[2]); i++)
		syscall(atol(argv[3]), 99999999, 0, 0, 0, 0, 0);
	return 0;
}

static int copy(const char *path)
{
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	struct stat found;

	if (from < 0 || to < 0 || fstat(from, &found) < 0)
		return -1;
	for (off_t at = 0; at < found.st_size;)
		if (sendfile(to, from, &at, (size_t)(found.st_size - at)) <= 0)
			return -1;
	return close(to) | close(from);
}

static int run(const char *directory, char *count, char *words)
{
	char *number = strtok(words, ":"), *comm = strtok(NULL, ":");
	char *file = strtok(NULL, ":"), *deleted = strtok(NULL, ":");
	char path[4096];
	int status = 0;

	if (deleted == NULL)
		return 5;
	int length = snprintf(path, sizeof path, "%s/", directory);
	plain(file, path + length);
	if (copy(path) < 0)
		return 6;
	pid_t pid = fork();
	if (pid == 0) {
		execl(path, path, "as", count, number, comm, deleted, NULL);
		_exit(7);
	}
	if (waitpid(pid, &status, 0) < 0)
		return 8;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 9;
}

int main(int words, char **argv)
{
	if (words == 6 && strcmp(argv[1], "as") == 0)
		return call(argv);
	for (int i = 3; i < words; i++) {
		int status = run(argv[1], argv[2], argv[i]);
		if (status) {
			fprintf(stderr, "case %d: %d\n", i - 3, status);
			return status;
		}
	}
	return 0;
}
