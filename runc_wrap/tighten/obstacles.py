"""What keeps this program from tracing and changing the processes of any container."""

from __future__ import annotations

import errno
import os
import platform

from runc_wrap.filters.kernel import injection, ptrace
from runc_wrap.filters.kernel.ptrace import FiltersUnreadableError
from runc_wrap.host import procfs

_SYS_PTRACE, _SYS_ADMIN = 1 << 19, 1 << 21  # linux/capability.h
_INITIAL_USER_NAMESPACE = 0xEFFFFFFD  # PROC_USER_INIT_INO, include/linux/proc_ns.h
_NOBODY = b"3"  # security/yama/yama_lsm.c: YAMA_SCOPE_NO_ATTACH


def obstacle() -> str | None:
    """Return why nothing can be tightened from here, as a sentence; None if nothing is known."""
    if platform.machine() != "x86_64":
        return f"running processes are tightened on x86_64 only, and this is {platform.machine()}"
    own = procfs.status("self")
    capabilities = int(own[b"CapEff"], 16)
    if (
        ~capabilities & (_SYS_PTRACE | _SYS_ADMIN)
        or procfs.namespace_inode("self", "user") != _INITIAL_USER_NAMESPACE
    ):
        return "this requires root with CAP_SYS_PTRACE and CAP_SYS_ADMIN, outside containers"
    if own[b"Seccomp"] != b"0":
        return (
            "this program is under a seccomp filter itself, so the kernel lets it neither suspend "
            "nor read others' filters; run it outside containers"
        )
    if b"Seccomp_filters" not in own:
        return "this kernel does not count filters, so nothing could be read back: Linux 5.9 does"
    if (procfs.read("/proc/sys/kernel/yama/ptrace_scope", 16) or b"").strip() == _NOBODY:
        return (
            "kernel.yama.ptrace_scope is 3: nobody may trace a process until this machine restarts "
            "with another value"
        )
    try:  # the options are checked before it is refused that we trace ourselves
        ptrace.call(injection.SEIZE, os.getpid(), 0, injection.SUSPEND_SECCOMP)
    except FiltersUnreadableError as error:
        if error.errno == errno.EINVAL:
            return (
                "this kernel lacks CONFIG_CHECKPOINT_RESTORE, so the filters of a running process "
                "can be neither suspended nor read"
            )
    return None
