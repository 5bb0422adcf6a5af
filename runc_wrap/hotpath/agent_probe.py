"""Checks whether an agent takes seccomp listeners: at creates that observe or record only.

Without one the runtime would fail the create (runc: "failed to connect with seccomp agent").
"""

import _socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runc_wrap.hotpath.decision import Decision

_NOT_OBSERVED = " No agent listens, so the mode is {} instead of observe."
_NOT_RECORDED = " No agent listens, so nothing is recorded."


def has_agent(path: str) -> bool:
    """Return whether a process accepts connections at this socket, if we may connect to it.

    A socket with a full queue does not count: a runtime would wait there.
    """
    probe = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        probe.settimeout(0)
        probe.connect(path)
    except (OSError, ValueError, TypeError):  # ValueError and TypeError: an impossible path
        return False
    finally:
        probe.close()
    return True


def without_agent(decision: "Decision", mode: str) -> str:
    """Return the reason of a decision to observe or to record when no agent listens.

    `mode` is what it gets instead.
    """
    return decision.reason + (
        _NOT_OBSERVED.format(mode) if decision.mode == "observe" else _NOT_RECORDED
    )
