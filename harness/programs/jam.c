/* Makes clone3 calls, COUNT of them, each in a child of its own, with their flags in a file that
 * FILE is: whoever reads them waits for its file system. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int file = argc > 2 ? open(argv[2], O_RDONLY) : -1;
    void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, file, 0);
    if (page == MAP_FAILED)
        return 3;
    for (int i = 0; i < atoi(argv[1]); i++)
        if (fork() == 0) {
            syscall(SYS_clone3, page, 88);
            _exit(0);
        }
    for (;;)
        pause();
}
