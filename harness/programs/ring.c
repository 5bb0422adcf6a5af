/* Does by io_uring what a system call would: each argument names an operation (splice, openat,
 * socket), tried on a ring of its own, and what came of it is printed. "enter" and "register" try
 * these two calls without a ring (EBADF where they are let through). */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define AT(base, offset) ((unsigned *)((char *)(base) + (offset)))

static long by_ring(const struct io_uring_sqe *wanted)
{
    struct io_uring_params p = {0};
    long ring = syscall(SYS_io_uring_setup, 1, &p);
    if (ring < 0)
        return -errno;
    size_t sq_size = p.sq_off.array + p.sq_entries * sizeof(unsigned);
    size_t cq_size = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
    size_t size = sq_size > cq_size ? sq_size : cq_size;
    void *rings = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, (int)ring, IORING_OFF_SQ_RING);
    struct io_uring_sqe *sqe = mmap(NULL, sizeof *sqe, PROT_READ | PROT_WRITE, MAP_SHARED, (int)ring, IORING_OFF_SQES);
    if (rings == MAP_FAILED || sqe == MAP_FAILED || !(p.features & IORING_FEAT_SINGLE_MMAP))
        return -ENOMEM;
    *sqe = *wanted;
    AT(rings, p.sq_off.array)[0] = 0;
    __atomic_store_n(AT(rings, p.sq_off.tail), 1, __ATOMIC_RELEASE);
    if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
        return -errno;
    struct io_uring_cqe *cqe = (void *)AT(rings, p.cq_off.cqes);
    close((int)ring);
    return cqe->res;
}

static long spliced(void)
{
    static const char text[] = "moved by a ring";
    char moved[sizeof text] = "";
    int from[2], to[2];
    if (pipe(from) < 0 || pipe(to) < 0 || write(from[1], text, sizeof text) < 0)
        return -errno;
    struct io_uring_sqe sqe = {.opcode = IORING_OP_SPLICE, .fd = to[1], .len = sizeof text,
                               .splice_fd_in = from[0], .off = -1, .splice_off_in = -1};
    long result = by_ring(&sqe);
    if (result < 0)
        return result;
    return read(to[0], moved, sizeof moved) == sizeof text && strcmp(moved, text) == 0 ? result : -EIO;
}

static long tried(const char *what)
{
    struct io_uring_sqe opening = {.opcode = IORING_OP_OPENAT, .fd = AT_FDCWD, .addr = (unsigned long)"/calls"};
    struct io_uring_sqe making = {.opcode = IORING_OP_SOCKET, .fd = AF_INET, .off = SOCK_STREAM};
    if (strcmp(what, "splice") == 0)
        return spliced();
    if (strcmp(what, "openat") == 0)
        return by_ring(&opening);
    if (strcmp(what, "socket") == 0)
        return by_ring(&making);
    if (strcmp(what, "enter") == 0)
        return syscall(SYS_io_uring_enter, 999, 0, 0, 0, NULL, 0) < 0 ? -errno : 0;
    if (strcmp(what, "register") == 0)
        return syscall(SYS_io_uring_register, 999, IORING_UNREGISTER_FILES, NULL, 0) < 0 ? -errno : 0;
    return -EINVAL;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        long result = tried(argv[i]);
        printf("%s ", argv[i]);
        printf(result < 0 ? "errno %ld\n" : "returned\n", -result);
    }
    return 0;
}
