/* What a local user does to the evidence about others: preloaded into the real runtime (LD_PRELOAD),
 * or by itself. FORGE says what, WORDS are the program's own or the library's FORGE:
 *   calls       makes calls that a filter of its own has the kernel log
 *   lock        holds its own mmap lock for as long as it runs: whoever reads its memory waits. It
 *               maps over a page of a file that nobody writes back: FUSE by hand, mounted over
 *               FORGE_FILE with the device FORGE_DEVICE (linux:include/uapi/linux/fuse.h)
 */
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/fuse.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096
#define MODE "100666"

static const long LOGGED[] = {SYS_bpf, SYS_init_module, SYS_kexec_load};
enum { COUNT = sizeof LOGGED / sizeof *LOGGED };

static void make_calls(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_bpf, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_init_module, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_kexec_load, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_LOG),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, 2, &program))
        _exit(3);
    for (int i = 0; i < COUNT; i++)
        syscall(LOGGED[i], -1L, -1L, -1L, -1L, -1L);
}

static void answer(int device, const struct fuse_in_header *to, int error, const void *body,
                   unsigned length)
{
    static char reply[sizeof(struct fuse_out_header) + PAGE];
    struct fuse_out_header head = {
        .len = (unsigned)sizeof head + length, .error = error, .unique = to->unique};
    memcpy(reply, &head, sizeof head);
    memcpy(reply + sizeof head, body, length);
    if (write(device, reply, head.len) < 0)
        _exit(4);
}

static void serve(int device)
{
    static char request[1 << 18], zeros[PAGE];
    struct fuse_init_out begin = {.major = 7, .minor = 31, .max_write = PAGE};
    struct fuse_attr_out attributes = {.attr_valid = 3600,
                                       .attr = {.ino = 1, .size = PAGE, .blocks = 8,
                                                .mode = 0100666, .nlink = 1}};
    struct fuse_open_out opened = {.fh = 1};
    const struct fuse_in_header *in = (const void *)request;
    while (read(device, request, sizeof request) > 0) {
        if (in->opcode == FUSE_WRITE)
            continue; /* for ever */
        if (in->opcode == FUSE_INIT)
            answer(device, in, 0, &begin, sizeof begin);
        else if (in->opcode == FUSE_GETATTR || in->opcode == FUSE_SETATTR)
            answer(device, in, 0, &attributes, sizeof attributes);
        else if (in->opcode == FUSE_OPEN)
            answer(device, in, 0, &opened, sizeof opened);
        else if (in->opcode == FUSE_READ)
            answer(device, in, 0, zeros, PAGE);
        else
            answer(device, in, -38, "", 0);
    }
    _exit(0);
}

static void hold_lock(const char *file, const char *device_name)
{
    char options[128];
    int device = open(device_name, O_RDWR | O_CLOEXEC);
    snprintf(options, sizeof options, "fd=%d,rootmode=" MODE ",user_id=0,group_id=0", device);
    if (device < 0 || mount("forge", file, "fuse", 0, options) != 0) {
        perror(file);
        _exit(5);
    }
    if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, 9);
        serve(device);
    }
    close(device);
    struct stat looked_at; /* only a look tells the kernel the file's size */
    int fd = open(file, O_RDWR | O_CLOEXEC);
    char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd < 0 || page == MAP_FAILED || fstat(fd, &looked_at) != 0) {
        perror("open, mmap");
        _exit(6);
    }
    *(volatile char *)page = 1;
    mmap(page, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    _exit(7); /* it was written back */
}

static void forge(const char *what)
{
    if (what != NULL && strcmp(what, "lock") == 0)
        hold_lock(getenv("FORGE_FILE"), getenv("FORGE_DEVICE"));
    if (what != NULL && strcmp(what, "calls") == 0)
        make_calls();
}

#ifdef PRELOADED
__attribute__((constructor)) static void begin(void)
{
    forge(getenv("FORGE"));
}
#else
int main(int argc, char **argv)
{
    forge(argc > 1 ? argv[1] : NULL);
    return argc > 2 ? pause() : 0; /* anything more: stay */
}
#endif
