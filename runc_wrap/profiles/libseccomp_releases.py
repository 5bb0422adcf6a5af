"""Which release of libseccomp is the first that knows a system call.

A runtime leaves out of a filter what its libseccomp does not know: runc silently, crun with a
warning. Read in libseccomp's src/syscalls.csv (before 2.5: src/arch-x86_64-syscalls.c) at the tags
v2.4.1 to v2.6.1, of which the last has the table of Linux 7.1. The time64 calls of 32-bit ABIs are
left out.

A distribution may add calls without another version: Debian's 2.5.4-1+deb12u1 has those of 2.5.5.
"""

from collections.abc import Iterable
from functools import cache

from runc_wrap.profiles import engine_versions
from runc_wrap.profiles.engine_versions import Version

# releases, as engine_versions.reached takes them: 2.5.6 is newer than the table of 2.5.5
SINCE = {
    "2.4.2": "clone3 fsconfig fsmount fsopen fspick io_uring_enter io_uring_register "
    "io_uring_setup move_mount open_tree pidfd_open pidfd_send_signal",
    "2.4.4 2.5.0": "faccessat2 openat2 pidfd_getfd",
    "2.5.2": "close_range epoll_pwait2 landlock_add_rule landlock_create_ruleset "
    "landlock_restrict_self memfd_secret mount_setattr process_madvise quotactl_fd",
    "2.5.3": "process_mrelease",
    "2.5.4": "futex_waitv set_mempolicy_home_node",
    "2.5.5": "cachestat fchmodat2 futex_requeue futex_wait futex_wake map_shadow_stack",
    "2.5.6 2.6.0": "getxattrat listmount listxattrat lsm_get_self_attr lsm_list_modules "
    "lsm_set_self_attr mseal removexattrat riscv_hwprobe setxattrat statmount uretprobe",
    "2.6.1": "file_getattr file_setattr listns open_tree_attr rseq_slice_yield uprobe",
}

# (ABI, call) that the table of that ABI got in a later release than the others'
LATER = frozenset({("x32", "map_shadow_stack")})


def dated() -> frozenset[str]:
    """Return all calls of SINCE."""
    return frozenset(name for added in SINCE.values() for name in added.split())


def may_know(release: Version, names: Iterable[str]) -> list[str]:
    """Return those of the names that this release knows, or may know as it is newer than SINCE."""
    newest = max(one for since in SINCE for one in engine_versions.listed(since))
    return sorted(
        name for name in set(names) - lacking(release) if name in dated() or release > newest
    )


def with_other_tables() -> list[Version]:
    """Return one release before the first of SINCE, and one of each that has more calls."""
    return [engine_versions.parse("2.4.1"), *(engine_versions.listed(since)[0] for since in SINCE)]


@cache
def lacking(release: Version) -> frozenset[str]:
    """Return the calls of SINCE that this release does not know."""
    return frozenset(
        name
        for since, added in SINCE.items()
        if not engine_versions.reached(release, since)
        for name in added.split()
    )
