"""The default profile of Podman, Buildah and CRI-O: containers/common 0.49.0 and later.

Versions are those of containers/common (go.podman.io/common since 0.65). Source: its
pkg/seccomp/seccomp.json at every tag to 0.68.0. CRI-O is built with main between two releases:
0.67.2, which was never released, stands for its state before all futex calls were allowed
(commit 8840603a87). Calls that no rule names fail with ENOSYS, not EPERM.
"""

import errno

from runc_wrap.host import engine_names
from runc_wrap.profiles.engine_defaults import dated_rules as dated
from runc_wrap.profiles.engine_defaults.dated_rules import DatedRule, allowed, calls, personalities
from runc_wrap.profiles.engine_versions import parse
from runc_wrap.profiles.runtime_spec_names import ERRNO
from runc_wrap.profiles.source_profile import Argument

_AF_NETLINK, _NETLINK_AUDIT = 16, 9
_FUTEX2 = "futex_requeue futex_wait futex_waitv futex_wake"
_NOT_ALLOWED = {"futex_waitv", "io_pgetevents", "io_pgetevents_time64", "vmsplice"}
_VSOCK_BLOCKED = "0.67.0"
_PERFMON_FIXED = "0.67.2"

_DENIED = DatedRule(
    calls("bdflush io_pgetevents kexec_file_load kexec_load migrate_pages move_pages nfsservctl")
    + calls("nice oldfstat oldlstat oldolduname oldstat olduname pciconfig_iobase pciconfig_read")
    + calls("pciconfig_write sgetmask ssetmask swapoff swapon sysfs uselib userfaultfd ustat vm86")
    + calls("vm86old vmsplice")
    + calls("swapcontext", until="0.60.0")
    + calls("cachestat io_pgetevents_time64 map_shadow_stack syscall", since="0.60.0")
    + calls(_FUTEX2, since="0.60.0", until="0.68.0"),
    ERRNO,
    errno.EPERM,
)

_BASE = DatedRule(
    calls(" ".join(name for name in dated.CORE.split() if name not in _NOT_ALLOWED))
    + calls(dated.MOUNTING)
    + calls(dated.PKEY)
    + calls("clone clone3 get_mempolicy keyctl mbind name_to_handle_at pidfd_getfd pivot_root")
    + calls("process_vm_readv process_vm_writev ptrace reboot set_mempolicy setns signal syslog")
    + calls("unshare")
    + calls("readdir sigaction sigpending sigsuspend syscall timerfd", until="0.60.0")
    + calls("fchmodat2", since="0.58.0")
    + calls("fanotify_init", since="0.63.0")
    + calls(_FUTEX2, since="0.68.0"),
)

_BY_ARCH = (
    DatedRule(
        calls("sync_file_range2") + calls("swapcontext", since="0.60.0"),
        includes=dated.on("ppc64le"),
    ),
    dated.ON_ARM,
    *dated.ON_X86,
    dated.ON_S390,
    DatedRule(calls("riscv_flush_icache", since="0.60.0"), includes=dated.on("riscv64")),
)


def _denied(names: tuple[dated.Calls, ...], *caps: str) -> DatedRule:
    """Deny with EPERM, as the kernel would, containers that have no capability of `caps`."""
    return DatedRule(names, ERRNO, errno.EPERM, excludes=dated.with_caps(*caps))


def _gated(names: str, cap: str) -> tuple[DatedRule, DatedRule]:
    return allowed(calls(names), cap), _denied(calls(names), cap)


_ADMIN_EITHER_WAY = (
    calls("lookup_dcookie quotactl setdomainname sethostname setns")
    + calls("quotactl_fd", since="0.60.0")
    + calls("fanotify_init", until="0.63.0")
)

_BY_CAPABILITY = (
    *_gated("open_by_handle_at", "CAP_DAC_READ_SEARCH"),
    allowed(
        _ADMIN_EITHER_WAY
        + calls("bpf")
        + calls("perf_event_open", until="0.60.0")
        + calls("perf_event_open", since=_PERFMON_FIXED),
        "CAP_SYS_ADMIN",
    ),
    _denied(
        _ADMIN_EITHER_WAY
        + calls("bpf", until="0.60.0")
        + calls("perf_event_open", until=_PERFMON_FIXED),
        "CAP_SYS_ADMIN",
    ),
    *_gated("chroot", "CAP_SYS_CHROOT"),
    *_gated("delete_module finit_module init_module query_module", "CAP_SYS_MODULE"),
    *_gated("acct", "CAP_SYS_PACCT"),
    *_gated("kcmp process_madvise", "CAP_SYS_PTRACE"),
    *_gated("ioperm iopl", "CAP_SYS_RAWIO"),
    *_gated("clock_settime clock_settime64 settimeofday stime", "CAP_SYS_TIME"),
    *_gated("vhangup", "CAP_SYS_TTY_CONFIG"),
)


def _socket(*args: Argument, since: str = "", until: str = "") -> DatedRule:
    """Allow a kind of socket to containers that may not write audit records."""
    named = calls("socket", since=since, until=until)
    return DatedRule(named, args=args, excludes=dated.with_caps("CAP_AUDIT_WRITE"))


_IS_NETLINK = Argument(0, _AF_NETLINK, "SCMP_CMP_EQ")
_NO_NETLINK = Argument(0, _AF_NETLINK, "SCMP_CMP_NE")
_IS_AUDIT = Argument(2, _NETLINK_AUDIT, "SCMP_CMP_EQ")
_NO_AUDIT = Argument(2, _NETLINK_AUDIT, "SCMP_CMP_NE")

_SOCKETS = (
    DatedRule(
        calls("socket", since=_VSOCK_BLOCKED),
        ERRNO,
        errno.EPERM,
        (Argument(0, dated.AF_VSOCK, "SCMP_CMP_EQ"),),
    ),
    DatedRule(
        calls("socket"),
        ERRNO,
        errno.EINVAL,
        (_IS_NETLINK, _IS_AUDIT),
        excludes=dated.with_caps("CAP_AUDIT_WRITE"),
    ),
    _socket(_NO_AUDIT, until=_VSOCK_BLOCKED),
    _socket(_IS_NETLINK, _NO_AUDIT, since=_VSOCK_BLOCKED),
    _socket(_NO_NETLINK),
    _socket(_NO_AUDIT, until=_VSOCK_BLOCKED),
    allowed(calls("socket", until=_VSOCK_BLOCKED), "CAP_AUDIT_WRITE"),
    DatedRule(
        calls("socket", since=_VSOCK_BLOCKED),
        args=(Argument(0, dated.AF_VSOCK, "SCMP_CMP_NE"),),
        includes=dated.with_caps("CAP_AUDIT_WRITE"),
    ),
)

# From 0.60.0 until the fix, upstream has CAP_BPF where it meant CAP_PERFMON.
_BPF_AND_PERF = (
    _denied(calls("bpf", since="0.60.0"), "CAP_SYS_ADMIN", "CAP_BPF"),
    allowed(calls("bpf", since="0.60.0"), "CAP_BPF"),
    _denied(
        calls("perf_event_open", since="0.60.0", until=_PERFMON_FIXED), "CAP_SYS_ADMIN", "CAP_BPF"
    ),
    _denied(calls("perf_event_open", since=_PERFMON_FIXED), "CAP_SYS_ADMIN", "CAP_PERFMON"),
    allowed(calls("perf_event_open", since="0.60.0"), "CAP_PERFMON"),
)

CONTAINERS_COMMON = dated.DefaultByRelease(
    name="containers-common",
    oldest="0.49.0",
    releases="0.57.7 0.59.2 0.62.3 0.64.1 0.66.1 0.67.1 0.68.0",
    default_action=ERRNO,
    default_errno_ret=errno.ENOSYS,
    architectures=dated.ARCHITECTURES,
    rules=(_DENIED, _BASE, *personalities(), *_BY_ARCH, *_BY_CAPABILITY, *_SOCKETS, *_BPF_AND_PERF),
)

# containers/common -> the first releases of these engines that are built with it, newest first, of
# series in which the profile changed. Source: go.mod at every release tag of Podman from v4.2.0 to
# v5.8.2 and of Buildah from v1.27.0 to v1.44.0, and Podman's main of May 2026 for 6.0.
_BUILDERS = (engine_names.PODMAN.name, engine_names.BUILDAH.name)
_BUILT_WITH = {
    "0.68.0": ("6.0.0", "1.44.0"),
    "0.67.0": ("5.8.0", "1.43.0"),
    "0.63.0": ("5.5.0", "1.40.0"),
    "0.60.0": ("5.2.0", "1.37.0"),
    "0.58.0": ("5.0.0", "1.35.0"),
    "0.49.1": ("4.2.0", "1.27.0"),
}


def built_with(engine: str, version: str) -> str | None:
    """Return a containers/common with the default profile of a release, None before all known."""
    release = parse(version)
    for common, first in _BUILT_WITH.items():
        if engine in _BUILDERS and release >= parse(first[_BUILDERS.index(engine)]):
            return common
    return None
