"""io_uring: which system calls its operations replace, unseen by filters (2026-11-25); a warning.

Sources: the numbers are enum io_uring_op of include/uapi/linux/io_uring.h (Linux 6.12 to NR 57; the
rest from liburing 27255f4ceda9 of 2026-08-19). What an operation does: io_uring/opdef.c and the
files that it refers to (net.c, rw.c, splice.c, fs.c, openclose.c, cmd_net.c for URING_CMD on
sockets), and liburing's io_uring_enter(2). The operations are in the order of their numbers.

An operation is listed with a call if a program can achieve the same by it: READV takes preadv2's
flags, POLL_ADD waits for one descriptor as select does, FIXED_FD_INSTALL gives a file another
number. MSG_RING hands files to another ring, which must exist already; it replaces no call.
"""

from runc_wrap.profiles.lint_finding import Context, Said, compared, denied, finds, may
from runc_wrap.profiles.source_profile import Profile

_OPERATIONS = """
NOP
READV               readv preadv preadv2
WRITEV              writev pwritev pwritev2
FSYNC               fsync fdatasync
READ_FIXED          read pread64
WRITE_FIXED         write pwrite64
POLL_ADD            poll ppoll ppoll_time64 select _newselect pselect6 pselect6_time64
POLL_REMOVE
SYNC_FILE_RANGE     sync_file_range sync_file_range2 arm_sync_file_range
SENDMSG             sendmsg sendmmsg
RECVMSG             recvmsg recvmmsg recvmmsg_time64
TIMEOUT             nanosleep clock_nanosleep clock_nanosleep_time64
TIMEOUT_REMOVE
ACCEPT              accept accept4
ASYNC_CANCEL
LINK_TIMEOUT
CONNECT             connect
FALLOCATE           fallocate
OPENAT              open openat creat
CLOSE               close
FILES_UPDATE
STATX               statx stat lstat fstat newfstatat stat64 lstat64 fstat64 fstatat64
READ                read pread64
WRITE               write pwrite64
FADVISE             fadvise64 fadvise64_64 arm_fadvise64_64
MADVISE             madvise
SEND                send sendto
RECV                recv recvfrom
OPENAT2             openat2
EPOLL_CTL           epoll_ctl
SPLICE              splice
PROVIDE_BUFFERS
REMOVE_BUFFERS
TEE                 tee
SHUTDOWN            shutdown
RENAMEAT            rename renameat renameat2
UNLINKAT            unlink unlinkat rmdir
MKDIRAT             mkdir mkdirat
SYMLINKAT           symlink symlinkat
LINKAT              link linkat
MSG_RING
FSETXATTR           fsetxattr
SETXATTR            setxattr lsetxattr setxattrat
FGETXATTR           fgetxattr
GETXATTR            getxattr lgetxattr getxattrat
SOCKET              socket
URING_CMD           ioctl getsockopt setsockopt getsockname getpeername
SEND_ZC             send sendto
SENDMSG_ZC          sendmsg sendmmsg
READ_MULTISHOT      read
WAITID              waitid wait4 waitpid
FUTEX_WAIT          futex futex_time64 futex_wait
FUTEX_WAKE          futex futex_time64 futex_wake
FUTEX_WAITV         futex_waitv
FIXED_FD_INSTALL    dup dup2 dup3
FTRUNCATE           ftruncate ftruncate64
BIND                bind
LISTEN              listen
RECV_ZC             recv recvfrom
EPOLL_WAIT          epoll_wait epoll_pwait epoll_pwait2
READV_FIXED         readv preadv preadv2
WRITEV_FIXED        writev pwritev pwritev2
PIPE                pipe pipe2
NOP128
URING_CMD128        ioctl getsockopt setsockopt getsockname getpeername
"""

# operation, without IORING_OP_ -> the calls that it replaces
OPERATIONS = {
    words[0]: tuple(words[1:]) for words in map(str.split, _OPERATIONS.strip().splitlines())
}
RINGABLE = frozenset(call for calls in OPERATIONS.values() for call in calls)

SETUP = "io_uring_setup"
# An unconfined process can pass a ring (SCM_RIGHTS) to a confined one, which then acts with its own
# files and rights by io_uring_enter alone. So a denial needs all three.
CALLS = (SETUP, "io_uring_enter", "io_uring_register")


@finds("done-by-a-ring", "warning", f"deny {', '.join(CALLS)}")
def done_by_a_ring(profile: Profile, _: Context) -> Said:
    """Find calls, denied or compared by arguments, that io_uring replaces unseen by filters."""
    open_to = sorted(RINGABLE.intersection({*compared(profile), *denied(profile)}))
    if open_to and may(profile, SETUP):
        what = (
            f"denies {', '.join(open_to)}, wholly or by arguments, and allows {SETUP}: "
            "io_uring does the same without passing the filter"
        )
        yield "syscalls", what
