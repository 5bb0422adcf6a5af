"""Calls that a profile should not allow merely because a workload made them, and why. Data.

Evidence shows what a workload did, and a workload may have been attacked: a call that leads out of
a container, or into parts of the kernel with many vulnerabilities, is not a need until a person
confirms it.

As of November 2026. Sources: the table of significant calls that Docker's default profile blocks,
with its reasons (docs.docker.com/engine/security/seccomp); systemd's groups @clock, @debug,
@keyring, @module, @mount, @obsolete, @raw-io, @reboot and @swap (systemd.exec(5),
SystemCallFilter=); for io_uring containerd's and moby's removal of it (moby pull request 46762) and
Google's account of kernel exploits (security.googleblog.com, June 2023); otherwise the manual
pages. Left out of those: mbind, move_pages, set_mempolicy and the like, which databases need, and
which change the caller's own memory; name_to_handle_at, which opens nothing.
"""

from runc_wrap.evidence.store import call_counts
from runc_wrap.profiles.composition import systemd_sets
from runc_wrap.report.merged_call import CallRow

Args = tuple[int | None, ...]


_GROUPS = {
    "@clock": "all containers share one clock",
    "@debug": "it inspects other processes and the kernel",
    "@keyring": "the kernel's keyrings are not separated by container",
    "@module": "it extends the running kernel",
    "@mount": "it changes mounts",
    "@obsolete": "it is obsolete, so its code gets little scrutiny",
    "@raw-io": "it accesses hardware past the kernel",
    "@reboot": "it replaces or stops the running kernel",
    "@swap": "it changes the machine's memory",
}
_OTHERS = {
    "it makes namespaces, and with a user namespace all capabilities within": "clone clone3 "
    "unshare",
    "it enters other processes' namespaces": "setns",
    _GROUPS["@obsolete"]: "nfsservctl",
    "it changes mounts": "open_tree_attr",
    "it reads and writes other processes' memory": "ptrace process_vm_readv process_vm_writev "
    "process_madvise kcmp",
    "it takes other processes' open files": "pidfd_getfd",
    "it accesses hardware past the kernel": "vm86 vm86old",
    "seccomp does not see io_uring's operations, and io_uring had many vulnerabilities": ""
    "io_uring_setup io_uring_enter io_uring_register",
    "it changes limits of the whole file system": "quotactl quotactl_fd",
    "it opens files outside of the container": "open_by_handle_at lookup_dcookie",
    "it watches, and may hold up, other processes' access to files": "fanotify_init fanotify_mark",
    "it loads programs into the kernel": "bpf",
    "it pauses the kernel at a place of the caller's choice, which exploits use": "userfaultfd",
    "it can switch off memory protections": "personality",
    "it reads the kernel's log": "syslog",
    "it has the kernel write a file for all processes": "acct",
    "some address families are hardly used and had many vulnerabilities": "socket socketcall",
}
CALLS = {
    **{call: why for group, why in _GROUPS.items() for call in systemd_sets.calls(group)},
    **{call: why for why, calls in _OTHERS.items() for call in calls.split()},
}

# linux/sched.h: CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET; and NEWTIME, whose
# bit belongs to the signal's number in clone(2)
_NEW = {"clone": 0x7E020000, "unshare": 0x7E020080}
_INT = 0xFFFFFFFF  # the kernel takes a family and a protocol as int
_UNIX, _INET, _INET6, _NETLINK = 1, 2, 10, 16
_NETLINK_AUDIT = 9


def why(row: CallRow) -> str | None:
    """Return why a call is dangerous, None if it is not; unknown arguments may be any.

    It is harmless only if it was made with harmless arguments each time.
    """
    reason = CALLS.get(row.syscall)
    if reason is None or not row.has_args or not row.args:
        return reason
    if row.syscall == "socket":
        return None if all(map(_is_of_a_usual_family, row.args)) else reason
    if new := _NEW.get(row.syscall):
        place = next(iter(call_counts.asked(row.arch, row.number)), 0)
        flags = [args[place] for args in row.args]
        return None if all(one is not None and not one & new for one in flags) else reason
    return reason


def _is_of_a_usual_family(args: Args) -> bool:
    family, _type, protocol = args[:3]
    if family is None:
        return False
    if family & _INT == _NETLINK:
        return protocol is not None and protocol & _INT != _NETLINK_AUDIT
    return family & _INT in (_UNIX, _INET, _INET6)
