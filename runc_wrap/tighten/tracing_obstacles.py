"""What keeps this program from tracing any container's processes."""

import platform

from runc_wrap.host import procfs

_BOTH = 1 << 19 | 1 << 21  # CAP_SYS_PTRACE and CAP_SYS_ADMIN, linux/capability.h
_OF_CHECKPOINTS = "/proc/sys/kernel/ns_last_pid"  # kernel/pid_namespace.c
_NOBODY = b"3"  # security/yama/yama_lsm.c: YAMA_SCOPE_NO_ATTACH


def first() -> str | None:
    """Return the first that is found, as a sentence; None if there is none."""
    own, machine = procfs.status("self"), platform.machine()
    is_root = not ~int(own[b"CapEff"], 16) & _BOTH and procfs.is_initial("user")
    yama = procfs.read("/proc/sys/kernel/yama/ptrace_scope", 16) or b""
    found = {
        f"running processes are tightened on x86_64 only, and this is {machine}": (
            machine != "x86_64"
        ),
        "this requires root with CAP_SYS_PTRACE and CAP_SYS_ADMIN, outside containers": not is_root,
        "this program is under a seccomp filter itself, so the kernel lets it neither suspend nor "
        "read others' filters; run it outside containers": own[b"Seccomp"] != b"0",
        "this kernel does not count filters, so nothing could be read back: Linux 5.9 does": (
            b"Seccomp_filters" not in own
        ),
        "kernel.yama.ptrace_scope is 3: nobody may trace a process until this machine restarts "
        "with another value": yama.strip() == _NOBODY,
        "this kernel lacks CONFIG_CHECKPOINT_RESTORE, so the filters of a running process can be "
        "neither suspended nor read": procfs.read(_OF_CHECKPOINTS) is None,
    }
    return next((one for one, is_so in found.items() if is_so), None)
