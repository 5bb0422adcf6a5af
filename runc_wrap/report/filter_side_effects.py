"""What the kernel refuses to each process that has a filter, whatever the filter allows.

It lets no such process suspend or read the filters of others (PTRACE_O_SUSPEND_SECCOMP,
PTRACE_SECCOMP_GET_FILTER and _GET_METADATA, linux:kernel/ptrace.c and seccomp.c; both need
CAP_SYS_ADMIN), nor enter strict mode, which own_filter_evidence reports. And programs may look at
`Seccomp:` in /proc/self/status. A filter of audit or observe is one, too: what then fails leaves
no other record in any mode.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

_ADMIN, _PTRACE = "CAP_SYS_ADMIN", "CAP_SYS_PTRACE"
_CRIU = "criu"
_CALLS = ("ptrace", "kcmp")  # what debuggers and criu begin with
_REFUSED = (
    "to every process that has a filter, in every mode, the kernel refuses to suspend or read the "
    "filters of others. Neither audit nor observe shows it."
)
ON_A_NODE = f"On some of its nodes that is likely to matter: {_REFUSED}"


def sentence(
    capabilities: Collection[str], programs: Iterable[str], calls: Collection[str] = ()
) -> str | None:
    """Return what to expect of a container, None if nothing makes it likely.

    `calls` are the names of those that it was seen to make, `programs` the paths of its programs.
    """
    has_criu = any(one.rpartition("/")[2] == _CRIU for one in programs)
    seen = next((one for one in _CALLS if one in calls), None)
    if _ADMIN in capabilities:
        return f"It has {_ADMIN}: {_REFUSED}"
    if _PTRACE in capabilities and has_criu:
        return f"It runs {_CRIU} and has {_PTRACE}: {_REFUSED}"
    return f"It calls {seen}: {_REFUSED}" if seen else None
