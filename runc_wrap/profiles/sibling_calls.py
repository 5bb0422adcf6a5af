"""Which system calls, and operations of io_uring, do what a system call does. Data, 2026-11-25.

Sources for calls: the tables of system calls (arch/x86/entry/syscalls/syscall_64.tbl and
syscall_32.tbl, scripts/syscall.tbl, Linux 6.18) with the functions that they lead to:
fs/namespace.c and fs/fsopen.c for the mount calls, kernel/signal.c,
kernel/time/{time,ntp,posix-timers}.c (ADJ_SETOFFSET sets the clock), fs/aio.c (io_submit reads,
writes, syncs and polls), net/compat.c and ipc/syscall.c for the two multiplexers. libseccomp
determines which ABI has a call.

bpf, perf_event_open, chroot, swapon, reboot, acct and quotactl have no siblings.

Sources for io_uring: the numbers are enum io_uring_op of include/uapi/linux/io_uring.h (Linux 6.12
to NR 57; the rest from liburing 27255f4ceda9 of 2026-08-19). What an operation does:
io_uring/opdef.c and the files that it refers to (net.c, rw.c, splice.c, fs.c, openclose.c,
cmd_net.c for URING_CMD on sockets), and liburing's io_uring_enter(2).
"""

from runc_wrap.profiles import word_table

# Every call of a line does what the others on it do, or the part that matters.
_FORMS = """
open openat openat2 creat
execve execveat
read pread64 readv preadv preadv2
write pwrite64 writev pwritev pwritev2
splice tee vmsplice sendfile sendfile64 copy_file_range
add_key request_key keyctl
umount umount2
chmod fchmod fchmodat fchmodat2
chown fchown lchown fchownat chown32 fchown32 lchown32
setxattr lsetxattr fsetxattr setxattrat
getxattr lgetxattr fgetxattr getxattrat
listxattr llistxattr flistxattr listxattrat
removexattr lremovexattr fremovexattr removexattrat
stat lstat fstat newfstatat statx stat64 lstat64 fstat64 fstatat64 oldstat oldlstat oldfstat
statfs fstatfs statfs64 fstatfs64 ustat
access faccessat faccessat2
link linkat
symlink symlinkat
readlink readlinkat
unlink unlinkat rmdir
mkdir mkdirat
mknod mknodat
rename renameat renameat2
truncate truncate64 ftruncate ftruncate64
utime utimes utimensat utimensat_time64 futimesat
getdents getdents64 readdir
lseek _llseek
fsync fdatasync
sync syncfs
fadvise64 fadvise64_64 arm_fadvise64_64
sync_file_range sync_file_range2 arm_sync_file_range
dup dup2 dup3
fcntl fcntl64
pipe pipe2
eventfd eventfd2
signalfd signalfd4
inotify_init inotify_init1
epoll_create epoll_create1
epoll_wait epoll_pwait epoll_pwait2
poll ppoll ppoll_time64 select _newselect pselect6 pselect6_time64
io_getevents io_pgetevents io_pgetevents_time64
socket socketpair
accept accept4
send sendto sendmsg sendmmsg
recv recvfrom recvmsg recvmmsg recvmmsg_time64
clone clone3
fork vfork clone clone3
waitid wait4 waitpid
exit exit_group
kill tkill tgkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_send_signal
sigaction rt_sigaction signal
sigprocmask rt_sigprocmask ssetmask
rt_sigtimedwait rt_sigtimedwait_time64
settimeofday stime clock_settime clock_settime64 adjtimex clock_adjtime clock_adjtime64
gettimeofday time clock_gettime clock_gettime64
clock_getres clock_getres_time64
nanosleep clock_nanosleep clock_nanosleep_time64
timer_settime timer_settime64
timer_gettime timer_gettime64
timerfd_settime timerfd_settime64
timerfd_gettime timerfd_gettime64
futex futex_time64 futex_wait futex_wake futex_requeue futex_waitv
semop semtimedop semtimedop_time64
mq_timedsend mq_timedsend_time64
mq_timedreceive mq_timedreceive_time64
sched_rr_get_interval sched_rr_get_interval_time64
sched_setscheduler sched_setparam sched_setattr
sched_getscheduler sched_getparam sched_getattr
setrlimit prlimit64
getrlimit ugetrlimit prlimit64
setuid setreuid setresuid setuid32 setreuid32 setresuid32
setgid setregid setresgid setgid32 setregid32 setresgid32
setfsuid setfsuid32
setfsgid setfsgid32
setgroups setgroups32
init_module finit_module
kexec_load kexec_file_load
iopl ioperm
vm86 vm86old
quotactl quotactl_fd
mmap mmap2
mprotect pkey_mprotect
mlock mlock2 mlockall
madvise process_madvise
mbind set_mempolicy set_mempolicy_home_node
move_pages migrate_pages
uname olduname oldolduname
"""

# The calls after the colon do what each before it does, but not the other way round.
_ALSO = """
open openat openat2: open_by_handle_at
mount: fsopen fsconfig fsmount fspick move_mount open_tree open_tree_attr mount_setattr
fsopen fsconfig fsmount fspick move_mount: mount
open_tree: mount open_tree_attr
open_tree_attr: mount open_tree mount_setattr
mount_setattr: mount open_tree_attr
unshare: clone clone3 setns
clone clone3: unshare
ptrace: process_vm_readv process_vm_writev pidfd_getfd
process_vm_readv process_vm_writev pidfd_getfd: ptrace
read pread64 readv preadv preadv2 write pwrite64 writev pwritev pwritev2: io_submit
fsync fdatasync: io_submit sync syncfs
poll: io_submit epoll_wait epoll_pwait epoll_pwait2
dup dup2 dup3: fcntl fcntl64
nice: setpriority sched_setattr
setpriority: nice sched_setattr
seccomp: prctl
remap_file_pages: mmap mmap2
file_getattr file_setattr: ioctl
io_uring_setup: io_uring_enter io_uring_register
"""

# Two calls that multiplex many on 32-bit ABIs, s390x and ppc64; no filter sees those' arguments
_MULTIPLEXED = """
ipc: msgctl msgget msgrcv msgsnd semctl semget semop semtimedop shmat shmctl shmdt shmget
socketcall: accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom
recvmmsg recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socket socketpair
"""

# Ways to the same that are not system calls, so that no filter can deny them
NOT_CALLS = {
    "ptrace": "/proc/PID/mem",
    "process_vm_readv": "/proc/PID/mem",
    "process_vm_writev": "/proc/PID/mem",
    "pidfd_getfd": "/proc/PID/fd",
    "userfaultfd": "/dev/userfaultfd",
    "syslog": "/dev/kmsg and /proc/kmsg",
    "init_module": "what the kernel loads by itself, for a socket family or a file system",
    "finit_module": "what the kernel loads by itself, for a socket family or a file system",
    "sethostname": "/proc/sys/kernel/hostname",
    "setdomainname": "/proc/sys/kernel/domainname",
}

# kernel/seccomp.c, seccomp_uprobe_exception: on x86_64 these bypass every filter: uretprobe since
# 6.14 (6.12.14, 6.13.3), uprobe since 6.18 (89d1d8434d24; 6.12.57). A program that calls them
# outside the trampoline which the kernel made gets SIGILL, or an error.
EXEMPT = frozenset({"uretprobe", "uprobe"})

MULTIPLEXED = {name: frozenset(some) for name, some in word_table.read(_MULTIPLEXED).items()}


def _table() -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for form in map(str.split, _FORMS.strip().splitlines()):
        for call in form:
            found.setdefault(call, []).extend(other for other in form if other != call)
    for some, others in word_table.read(_ALSO).items():
        for call in some.split():
            found.setdefault(call, []).extend(others)
    for multiplexer, calls in MULTIPLEXED.items():
        for call in sorted(calls):
            found.setdefault(call, []).append(multiplexer)
    return {call: tuple(dict.fromkeys(others)) for call, others in found.items()}


# call -> the calls that do the same, wholly or in part
SIBLINGS = _table()

# By number. An operation is listed with a call if a program can achieve the same by it: READV takes
# preadv2's flags, POLL_ADD waits for one descriptor as select does, FIXED_FD_INSTALL gives a file
# another number. MSG_RING hands files to another ring, which must exist already.
_OPERATIONS = """
NOP:
READV: readv preadv preadv2
WRITEV: writev pwritev pwritev2
FSYNC: fsync fdatasync
READ_FIXED: read pread64
WRITE_FIXED: write pwrite64
POLL_ADD: poll ppoll ppoll_time64 select _newselect pselect6 pselect6_time64
POLL_REMOVE:
SYNC_FILE_RANGE: sync_file_range sync_file_range2 arm_sync_file_range
SENDMSG: sendmsg sendmmsg
RECVMSG: recvmsg recvmmsg recvmmsg_time64
TIMEOUT: nanosleep clock_nanosleep clock_nanosleep_time64
TIMEOUT_REMOVE:
ACCEPT: accept accept4
ASYNC_CANCEL:
LINK_TIMEOUT:
CONNECT: connect
FALLOCATE: fallocate
OPENAT: open openat creat
CLOSE: close
FILES_UPDATE:
STATX: statx stat lstat fstat newfstatat stat64 lstat64 fstat64 fstatat64
READ: read pread64
WRITE: write pwrite64
FADVISE: fadvise64 fadvise64_64 arm_fadvise64_64
MADVISE: madvise
SEND: send sendto
RECV: recv recvfrom
OPENAT2: openat2
EPOLL_CTL: epoll_ctl
SPLICE: splice
PROVIDE_BUFFERS:
REMOVE_BUFFERS:
TEE: tee
SHUTDOWN: shutdown
RENAMEAT: rename renameat renameat2
UNLINKAT: unlink unlinkat rmdir
MKDIRAT: mkdir mkdirat
SYMLINKAT: symlink symlinkat
LINKAT: link linkat
MSG_RING:
FSETXATTR: fsetxattr
SETXATTR: setxattr lsetxattr setxattrat
FGETXATTR: fgetxattr
GETXATTR: getxattr lgetxattr getxattrat
SOCKET: socket
URING_CMD: ioctl getsockopt setsockopt getsockname getpeername
SEND_ZC: send sendto
SENDMSG_ZC: sendmsg sendmmsg
READ_MULTISHOT: read
WAITID: waitid wait4 waitpid
FUTEX_WAIT: futex futex_time64 futex_wait
FUTEX_WAKE: futex futex_time64 futex_wake
FUTEX_WAITV: futex_waitv
FIXED_FD_INSTALL: dup dup2 dup3
FTRUNCATE: ftruncate ftruncate64
BIND: bind
LISTEN: listen
RECV_ZC: recv recvfrom
EPOLL_WAIT: epoll_wait epoll_pwait epoll_pwait2
READV_FIXED: readv preadv preadv2
WRITEV_FIXED: writev pwritev pwritev2
PIPE: pipe pipe2
NOP128:
URING_CMD128: ioctl getsockopt setsockopt getsockname getpeername
"""

# operation, without IORING_OP_ -> the calls that it replaces
OPERATIONS = word_table.read(_OPERATIONS)
RINGABLE = frozenset(call for calls in OPERATIONS.values() for call in calls)

RING_SETUP = "io_uring_setup"
# An unconfined process can pass a ring (SCM_RIGHTS) to a confined one, which then acts with its own
# files and rights by io_uring_enter alone. So a denial needs all three.
RING_CALLS = (RING_SETUP, "io_uring_enter", "io_uring_register")
