"""The calls about which the agent is not asked: runtimes', and those that are too frequent."""

# The calls that runc or crun makes after loading the filter when noNewPrivileges is false. Tested
# one by one with runc 1.1.15 and crun 1.21 on x86_64: denying any fails or hangs a container.
# Newer runc calls fchdir. Every program calls exit_group; execve starts the program.
RUNTIME_CALLS = frozenset(
    """
    capget capset chdir close execve exit_group fchdir fstat fstatfs futex getcwd getdents64
    getppid newfstatat openat prctl read rt_sigaction rt_sigprocmask setgid setgroups setresgid
    setresuid setuid write
    """.split()
)

# What Go's run-time system, and crun, call until the listener is handed over: a runtime that waited
# for an answer before that would wait for itself (runc:libcontainer/init_linux.go,
# syncParentSeccomp; crun:src/libcrun/seccomp.c sends the listener through a socket).
_HANDING_OVER = """
clock_gettime clone epoll_create1 epoll_ctl epoll_pwait eventfd2 fcntl getpid getrandom gettid
madvise mmap munmap nanosleep pipe2 recvmsg rt_sigreturn sched_getaffinity sched_yield sendmsg
sigaltstack tgkill
"""
# What C libraries call as any program starts: a shell that is started later finds it. fork and
# vfork do no more than clone: which is made depends on the way that a shell takes this time.
_STARTING = """
access arch_prctl brk fork mprotect pread64 prlimit64 readlink rseq set_robust_list set_thread_area
set_tid_address ugetrlimit uname vfork
"""
# Too many in a second to ask about each, and of no use without calls that are asked about.
_FREQUENT = """
_llseek _newselect clock_gettime64 clock_nanosleep clock_nanosleep_time64 epoll_pwait2 epoll_wait
exit faccessat faccessat2 fcntl64 fstat64 fstatat64 futex_time64 futex_wait futex_wake getdents
gettimeofday lseek lstat lstat64 mmap2 mremap open poll ppoll ppoll_time64 preadv pselect6
pselect6_time64 pwrite64 pwritev readv recvfrom recvmmsg recvmmsg_time64 restart_syscall select
sendmmsg sendto sigreturn stat stat64 statx time wait4 waitid waitpid writev
"""
BASE = RUNTIME_CALLS.union(_HANDING_OVER.split(), _STARTING.split(), _FREQUENT.split())
