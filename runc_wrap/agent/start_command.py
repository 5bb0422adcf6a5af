"""The commands that start the agent's processes, from its own release or the installed one.

They are found by links and names of files.
"""

from __future__ import annotations

import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_START = __file__.rpartition("/")[0] + "/start.py"


def release(prefix: str) -> str:
    """Return the target of PREFIX/lib/current, which an upgrade changes; "" for none."""
    try:
        return posix.readlink(f"{prefix}/lib/current")
    except OSError:
        return ""


def own_release(prefix: str) -> str:
    """Return the release that this code belongs to, in the form of `release`.

    A developer's tree is not a release: it counts as the one in force now.
    """
    lib = f"{prefix}/lib/"
    inside = _START.removeprefix(lib).partition("/venv/")[0]
    return inside if _START.startswith(lib) else release(prefix)


def command(prefix: str, role: str) -> list[str]:
    """Return the command that starts a role with this process' own code."""
    return _words(f"{prefix}/lib/{own_release(prefix)}/python", _START, role, prefix)


def spawned(prefix: str, role: str, file_actions: Sequence[tuple[int, ...]] = ()) -> int:
    """Start a role with this process' own code, and return its pid. Raises OSError."""
    argv = command(prefix, role)
    return posix.posix_spawn(
        argv[0], argv, {b"LC_CTYPE": b"C.UTF-8"}, file_actions=file_actions, setsigmask=[],
        setsigdef=[13, 14, 15, 17],  # PIPE ALRM TERM CHLD
    )  # fmt: skip


def is_over(pid: int) -> bool:
    """Tell whether a program that was started has ended, and reap it."""
    try:
        return posix.waitpid(pid, posix.WNOHANG)[0] == pid
    except ChildProcessError:  # it was waited for elsewhere
        return True


def command_anew(prefix: str, role: str) -> list[str]:
    """Return the command that starts a role with the installed release's code.

    If that release has no agent, it is the same as `command`.
    """
    installed = f"{prefix}/lib/{release(prefix)}"
    libraries = f"{installed}/venv/lib"
    try:
        names = posix.listdir(libraries)
    except OSError:
        names = []
    for name in names:
        start = f"{libraries}/{name}/site-packages/runc_wrap/agent/start.py"
        if posix.access(start, posix.R_OK):
            return _words(f"{installed}/python", start, role, prefix)
    return command(prefix, role)


def _words(python: str, start: str, role: str, prefix: str) -> list[str]:
    # The interpreter behind all links: through the venv's it would read more at each start.
    own = getattr(sys, "_base_executable", sys.executable)
    found = _real(python) if posix.access(python, posix.R_OK) else own
    return [found, "-I", "-S", "-B", "-X", "utf8", start, role, prefix]


def _real(path: str) -> str:
    try:
        target = posix.readlink(path)  # absolute and real, or of the release itself
    except OSError:
        return path
    return target if target.startswith("/") else f"{path.rpartition('/')[0]}/{target}"
