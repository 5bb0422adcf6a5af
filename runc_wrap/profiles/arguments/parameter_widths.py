"""Which parameters of a system call are narrower than the register that holds them: data.

A filter reads registers of 64 bits; the kernel uses as many bits of each as the call's prototype
declares and drops the rest (include/linux/syscalls.h __SC_CAST, since 2.6.29 on every 64-bit
machine). So a program evades a comparison of all 64 bits by setting upper ones: CVE-2019-10063 and
CVE-2019-7303 were of this kind, each by the request of ioctl(2), TIOCSTI.

Taken on 2026-11-25 from the kernel's own record of SYSCALL_DEFINE (tracefs, events/syscalls, of
x86_64, Linux 6.18.44); calls that it lacks, from include/linux/syscalls.h of Linux 6.12.117. Names
are libseccomp 2.6.0's. int, unsigned int and types made of them have 32 bits, umode_t has 16.

The tables contain only what prototypes declare. clone(2) declares its flags as unsigned long and
drops the upper half itself; a call through a multiplexer has its arguments in memory.
"""

from collections.abc import Mapping
from types import MappingProxyType

from runc_wrap.profiles import word_table

WHOLE = 64  # bits of a register
ARGUMENTS = 6  # of a system call

# the indexes of such parameters, as one string -> the calls
_INT = """
0: accept alarm arch_prctl clock_adjtime clock_getres clock_gettime clock_settime close dup
epoll_create epoll_create1 eventfd exit exit_group fchdir fchmod fchmodat fdatasync fgetxattr
flistxattr fremovexattr fstat fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat
get_robust_list getgroups getitimer getpeername getpgid getrlimit getrusage getsid getsockname
inotify_init1 io_setup io_uring_setup iopl keyctl memfd_secret migrate_pages mkdirat mlockall
modify_ldt mq_getsetattr mq_notify mq_timedreceive nice openat2 personality pkey_free prctl pread64
process_vm_readv process_vm_writev pselect6 pwrite64 read readahead rt_sigaction rt_sigprocmask
sched_get_priority_max sched_get_priority_min sched_getparam sched_getscheduler
sched_rr_get_interval sched_setparam select set_mempolicy setfsgid setfsuid setgid setgroups
setitimer setrlimit setuid sigaction signal signalfd sigprocmask socketcall spu_run ssetmask syncfs
sysfs timer_create timer_delete timer_getoverrun timer_gettime timerfd_gettime umask userfaultfd
ustat write
01: clock_nanosleep dup2 eventfd2 fallocate fanotify_init fcntl fcntl64 flock getpriority
inotify_rm_watch ioctl ioprio_get ipc kexec_file_load kill landlock_restrict_self listen msgctl
msgget pidfd_open prlimit64 process_mrelease rt_sigqueueinfo sched_getaffinity sched_setaffinity
sched_setscheduler seccomp sendfile setns setpgid setregid setreuid shmctl shutdown sync_file_range2
timer_settime timerfd_create timerfd_settime tkill
012: close_range dup3 epoll_ctl fchown fsmount getsockopt ioprio_set kcmp membarrier pidfd_getfd
quotactl_fd reboot rt_tgsigqueueinfo semctl semget setpriority setresgid setresuid socket socketpair
tgkill
0123: io_uring_enter
0124: setsockopt
013: fanotify_mark io_uring_register landlock_add_rule pidfd_send_signal tee waitid
014: fsconfig
02: bind bpf connect epoll_pwait2 faccessat finit_module fspick getdents getdents64 getxattrat
inotify_add_watch listxattrat lseek mount_setattr open_by_handle_at open_tree openat quotactl
recvmsg removexattrat renameat sched_setattr semop semtimedop sendmsg setxattrat shmat shmget syslog
unlinkat wait4 waitpid
023: epoll_pwait epoll_wait faccessat2 lsm_set_self_attr recvmmsg sched_getattr sendmmsg statx
0234: fchownat
024: linkat move_mount renameat2
025: copy_file_range splice
03: accept4 cachestat fadvise64 fadvise64_64 fchmodat2 fstatat64 lsm_get_self_attr mknodat
mq_timedsend msgsnd newfstatat readlinkat recv recvfrom send signalfd4 sync_file_range utimensat
vmsplice
034: process_madvise
035: sendto
04: execveat fsetxattr msgrcv name_to_handle_at
05: move_pages
1: access delete_module fsopen memfd_create mq_open open pipe2 ppoll setdomainname sethostname
swapon symlinkat umount2
12: chown lchown poll
123: futex_requeue perf_event_open rseq
124: futex_waitv
125: futex
13: spu_create
2: getrandom ioperm landlock_create_ruleset lsm_list_modules madvise map_shadow_stack mknod mlock2
msync readlink
23: futex_wake
3: listmount pkey_mprotect request_key statmount
35: futex_wait
4: add_key lsetxattr setxattr
5: mbind preadv2 pwritev2
"""
_SHORT = """
1: chmod creat fchmod mkdir mknod
2: fchmodat fchmodat2 mkdirat mknodat mq_open open spu_create
3: openat
"""


def _by_name() -> dict[str, dict[int, int]]:
    found: dict[str, dict[int, int]] = {}
    for bits, table in ((32, _INT), (16, _SHORT)):
        for indexes, names in word_table.read(table).items():
            for name in names:
                found.setdefault(name, {}).update(dict.fromkeys(map(int, indexes), bits))
    return found


_BITS: Mapping[str, Mapping[int, int]] = MappingProxyType(_by_name())


def bits(name: str, index: int) -> int:
    """Return how many bits of an argument the kernel uses: 16, 32, or WHOLE."""
    return _BITS.get(name, {}).get(index, WHOLE)
