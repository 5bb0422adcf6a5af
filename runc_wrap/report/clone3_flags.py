"""The flags of a recorded clone3: which of them clone lacks, and why they are not known.

C libraries call clone where clone3 gets ENOSYS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.evidence.sightings import UNMADE
from runc_wrap.profiles import return_codes
from runc_wrap.profiles.return_codes import ACTION_MASK
from runc_wrap.report import call_text

if TYPE_CHECKING:
    from runc_wrap.evidence.store.call_counts import CallKind

# linux:include/uapi/linux/sched.h: CLONE_NEW*, and the one that only clone3 and unshare take
NEWTIME = 0x80
NAMESPACES = 0x7E020000 | NEWTIME
# Only clone3 has flags beyond 32 bits, and CLONE_PIDFD together with CLONE_PARENT_SETTID: in clone
# both use one argument (linux:kernel/fork.c). Without CLONE_CLEAR_SIGHAND posix_spawn
# resets the handlers itself (glibc:sysdeps/unix/sysv/linux/spawni.c).
_LEGACY = 0xFFFFFFFF
_PIDFD_AND_TID = 0x101000
_SPAWN = 0x100004100  # CLONE_VM, CLONE_VFORK, CLONE_CLEAR_SIGHAND
# why what a clone3 was to do is not known in full
IN_AUDIT = "its record has no flags"
NAMESPACES_ONLY = "only its flags for namespaces are known"
WAS_UNMADE = "its caller was killed or interrupted first"
UNREADABLE = "its caller's memory could not be read"


def why_unread(call: CallKind) -> str:
    """Return why the flags of a clone3 are not known."""
    if call.code & ACTION_MASK != return_codes.USER_NOTIF:
        return IN_AUDIT
    return WAS_UNMADE if call.code & UNMADE else UNREADABLE


def beyond_clone(flags: int, tids: int) -> str:
    """Return by name what a clone3 asks for that clone cannot do, "" for nothing."""
    beyond = flags & ~_LEGACY if flags & _SPAWN != _SPAWN else flags & ~(_LEGACY | _SPAWN)
    if flags & _PIDFD_AND_TID == _PIDFD_AND_TID:
        beyond |= _PIDFD_AND_TID
    found = call_text.arguments("clone3", (beyond,)) if beyond else ""
    return " and ".join(filter(None, (found, "set_tid" if tids else "")))
