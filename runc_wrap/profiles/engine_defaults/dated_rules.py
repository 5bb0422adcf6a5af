"""The notation for an engine's default profile in all its versions, and rules that engines share.

The rules are those of containerd and moby, and mostly of containers/common. Source:
contrib/seccomp/seccomp_default.go of containerd, profiles/seccomp of moby.
"""

import errno
from dataclasses import dataclass

from runc_wrap.profiles.engine_versions import Version, listed, within
from runc_wrap.profiles.runtime_spec_names import ALLOW, ERRNO
from runc_wrap.profiles.source_profile import ANYWHERE, Argument, Condition, Profile, Rule


@dataclass(frozen=True, slots=True)
class Calls:
    """System calls, space-separated, and the releases that name them (see engine_versions)."""

    names: str
    since: str = ""
    until: str = ""


@dataclass(frozen=True, slots=True)
class DatedRule:
    """A rule that, wholly or in some of its names, exists in some releases only."""

    calls: tuple[Calls, ...]
    action: str = ALLOW
    errno_ret: int | None = None
    args: tuple[Argument, ...] = ()
    includes: Condition = ANYWHERE
    excludes: Condition = ANYWHERE

    def at(self, version: Version) -> Rule | None:
        """Return the rule of a release, its names sorted; None if the release lacks it."""
        held = (calls for calls in self.calls if within(version, calls.since, calls.until))
        names = tuple(sorted(name for calls in held for name in calls.names.split()))
        if not names:
            return None
        return Rule(names, self.action, self.errno_ret, self.args, self.includes, self.excludes)


@dataclass(frozen=True, slots=True)
class Architectures:
    """What an engine lists in `architectures` on the machine `goarch`, and since which release."""

    goarch: str
    listed: str
    since: str = ""


@dataclass(frozen=True, slots=True)
class DefaultByRelease:
    """An engine's default profile by release. `releases`: the last one read of each series."""

    name: str
    oldest: str
    releases: str
    default_action: str
    default_errno_ret: int | None
    architectures: tuple[Architectures, ...]
    rules: tuple[DatedRule, ...]

    def at(self, version: Version) -> Profile:
        """Return the profile that a known release applies."""
        rules = (rule.at(version) for rule in self.rules)
        return Profile(
            name=self.name,
            version=str(version),
            default_action=self.default_action,
            default_errno_ret=self.default_errno_ret,
            arch_map=self._arch_map(version),
            rules=tuple(rule for rule in rules if rule is not None),
        )

    def known(self) -> tuple[Version, ...]:
        """Return the last release read of each series, oldest first."""
        return listed(self.releases)

    def _arch_map(self, version: Version) -> dict[str, tuple[str, ...]]:
        return {
            entry.goarch: tuple("SCMP_ARCH_" + word for word in entry.listed.split())
            for entry in self.architectures
            if within(version, entry.since, "")
        }


def calls(names: str, *, since: str = "", until: str = "") -> tuple[Calls, ...]:
    """Return one group of calls, which the tables add to others."""
    return (Calls(names, since, until),)


def with_caps(*caps: str) -> Condition:
    """Return a condition on capabilities only."""
    return Condition(caps=caps)


def allowed(names: tuple[Calls, ...], cap: str) -> DatedRule:
    """Allow calls to containers with a capability."""
    return DatedRule(names, includes=with_caps(cap))


def on(*arches: str) -> Condition:
    """Return a condition on architectures only, by libseccomp's names."""
    return Condition(arches=arches)


# Allowed unconditionally by every release of containerd since 1.6.0 and of Docker since 23.0.0.
CORE = """
_llseek _newselect accept accept4 access adjtimex alarm bind brk capget capset chdir chmod
chown chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime
clock_gettime64 clock_nanosleep clock_nanosleep_time64 close close_range connect
copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old
epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit
exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod
fchmodat fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork
fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64
futex futex_time64 futex_waitv futimesat get_robust_list get_thread_area getcpu getcwd
getdents getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups
getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom
getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid getsockname
getsockopt gettid gettimeofday getuid getuid32 getxattr inotify_add_watch inotify_init
inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents
io_pgetevents_time64 io_setup io_submit ioctl ioprio_get ioprio_set ipc kill
landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr
link linkat listen listxattr llistxattr lremovexattr lseek lsetxattr lstat lstat64 madvise
membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2
mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive
mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap msgctl msgget
msgrcv msgsnd msync munlock munlockall munmap nanosleep newfstatat open openat openat2 pause
pidfd_open pidfd_send_signal pipe pipe2 poll ppoll ppoll_time64 prctl pread64 preadv preadv2
prlimit64 process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead
readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages
removexattr rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending
rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min
sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam
sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop
semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list
set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32
setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid
setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setsockopt setuid
setuid32 setxattr shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4
sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs statfs64 statx symlink
symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete
timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create
timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate
truncate64 ugetrlimit umask uname unlink unlinkat utime utimensat utimensat_time64 utimes
vfork vmsplice wait4 waitid waitpid write writev
"""

IO_URING = "io_uring_enter io_uring_register io_uring_setup"
PKEY = "pkey_alloc pkey_free pkey_mprotect"
KERNEL_6_7 = "cachestat fchmodat2 futex_requeue futex_wait futex_wake map_shadow_stack"
KERNEL_6_13 = "getxattrat listmount listxattrat mseal removexattrat setxattrat statmount uretprobe"
LSM = "lsm_get_self_attr lsm_list_modules lsm_set_self_attr"

# CLONE_NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET, NEWCGROUP: clone(2)
NAMESPACE_FLAGS = (0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000, 0x2000000)
_AF_ALG, AF_VSOCK = 38, 40

ADMIN = with_caps("CAP_SYS_ADMIN")
S390 = ("s390", "s390x")

# By architecture; only moby and containers/common have ON_X86 and ARCHITECTURES.
ON_ARM = DatedRule(
    calls("arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush")
    + calls("set_tls sync_file_range2"),
    includes=on("arm", "arm64"),
)
ON_S390 = DatedRule(
    calls("s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr"), includes=on(*S390)
)
ON_X86 = (
    DatedRule(calls("arch_prctl"), includes=on("amd64", "x32")),
    DatedRule(calls("modify_ldt"), includes=on("amd64", "x32", "x86")),
)
ARCHITECTURES = (
    Architectures("amd64", "X86_64 X86 X32"),
    Architectures("arm64", "AARCH64 ARM"),
    Architectures("mips64", "MIPS64 MIPS MIPS64N32"),
    Architectures("mips64p32", "MIPS64N32 MIPS MIPS64"),
    Architectures("mips64le", "MIPSEL64 MIPSEL MIPSEL64N32"),
    Architectures("mips64p32le", "MIPSEL64N32 MIPSEL MIPSEL64"),
    Architectures("s390x", "S390X S390"),
)

MOUNTING = "fsconfig fsmount fsopen fspick mount mount_setattr move_mount open_tree umount umount2"


def for_admins(handles_free: str) -> tuple[Calls, ...]:
    """Return what containerd and moby allow with CAP_SYS_ADMIN."""
    return (
        calls(MOUNTING)
        + calls("bpf clone clone3 fanotify_init lookup_dcookie perf_event_open quotactl")
        + calls("quotactl_fd setdomainname sethostname setns syslog unshare")
        + calls("name_to_handle_at", until=handles_free)
    )


def with_a_capability(
    time64: str = "", memory: str = "", home_node: str = "", bpf: str = ""
) -> tuple[DatedRule, ...]:
    """Return what containerd and moby allow with other capabilities, since these releases."""
    return (
        allowed(calls("reboot"), "CAP_SYS_BOOT"),
        allowed(calls("chroot"), "CAP_SYS_CHROOT"),
        allowed(calls("delete_module finit_module init_module"), "CAP_SYS_MODULE"),
        allowed(calls("acct"), "CAP_SYS_PACCT"),
        allowed(
            calls("kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"),
            "CAP_SYS_PTRACE",
        ),
        allowed(calls("ioperm iopl"), "CAP_SYS_RAWIO"),
        allowed(
            calls("clock_settime settimeofday stime") + calls("clock_settime64", since=time64),
            "CAP_SYS_TIME",
        ),
        allowed(calls("vhangup"), "CAP_SYS_TTY_CONFIG"),
        allowed(
            calls("get_mempolicy mbind set_mempolicy", since=memory)
            + calls("set_mempolicy_home_node", since=home_node),
            "CAP_SYS_NICE",
        ),
        allowed(calls("syslog"), "CAP_SYSLOG"),
        allowed(calls("bpf", since=bpf), "CAP_BPF"),
        allowed(calls("perf_event_open", since=bpf), "CAP_PERFMON"),
    )


def personalities() -> tuple[DatedRule, ...]:
    """Allow the harmless personalities of personality(2), and the query for the current one."""
    harmless = (0x0, 0x0008, 0x20000, 0x20008, 0xFFFFFFFF)
    return tuple(
        DatedRule(calls("personality"), args=(Argument(0, value, "SCMP_CMP_EQ"),))
        for value in harmless
    )


def socket(family: int, op: str, *, since: str, until: str = "") -> DatedRule:
    """Allow sockets of the address families for which `op` holds against `family`."""
    return DatedRule(calls("socket", since=since, until=until), args=(Argument(0, family, op),))


def sockets_without_alg_and_vsock(since: str) -> tuple[DatedRule, ...]:
    """Allow all but AF_ALG and AF_VSOCK; within one rule, OR would join the comparisons."""
    return (
        socket(_AF_ALG, "SCMP_CMP_LT", since=since),
        socket(_AF_ALG + 1, "SCMP_CMP_EQ", since=since),
        socket(AF_VSOCK, "SCMP_CMP_GT", since=since),
    )


def clones_without_namespaces() -> tuple[DatedRule, ...]:
    """Allow clone without namespace flags, which s390 passes as the second argument."""
    flags = sum(NAMESPACE_FLAGS)
    return (
        DatedRule(
            calls("clone"),
            args=(Argument(0, flags, "SCMP_CMP_MASKED_EQ"),),
            excludes=Condition(caps=ADMIN.caps, arches=S390),
        ),
        DatedRule(
            calls("clone"),
            args=(Argument(1, flags, "SCMP_CMP_MASKED_EQ"),),
            includes=on(*S390),
            excludes=ADMIN,
        ),
    )


def clone3_unknown() -> DatedRule:
    """Make clone3 fail as if the kernel lacked it, so that libc falls back to clone."""
    return DatedRule(calls("clone3"), action=ERRNO, errno_ret=errno.ENOSYS, excludes=ADMIN)
