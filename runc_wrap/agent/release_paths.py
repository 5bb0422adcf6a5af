"""Where the agent's own code and sockets lie. Reads only links and names of files."""

from __future__ import annotations

import posix
import sys

_START = __file__.rpartition("/")[0] + "/start.py"


def directory(prefix: str) -> str:
    """Return where the sockets are, root's alone."""
    return f"{prefix}/var/agent"


def release(prefix: str) -> str:
    """Return what PREFIX/lib/current leads to: another after an upgrade; "" if there is none."""
    try:
        return posix.readlink(f"{prefix}/lib/current")
    except OSError:
        return ""


def own_release(prefix: str) -> str:
    """Return the release that this code belongs to, as `release` has it.

    A developer's tree is none: then it is the one in force now.
    """
    lib = f"{prefix}/lib/"
    inside = _START.removeprefix(lib).partition("/venv/")[0]
    return inside if _START.startswith(lib) else release(prefix)


def command(prefix: str, role: str) -> list[str]:
    """Return the words that start a role with this process' own code."""
    return _words(f"{prefix}/lib/{own_release(prefix)}/python", _START, role, prefix)


def command_anew(prefix: str, role: str) -> list[str]:
    """Return the words that start a role with the installed release's code.

    A release without an agent is none to change to.
    """
    installed = f"{prefix}/lib/{release(prefix)}"
    for start in _starts(f"{installed}/venv/lib"):
        return _words(f"{installed}/python", start, role, prefix)
    return command(prefix, role)


def _starts(libraries: str) -> list[str]:
    try:
        names = posix.listdir(libraries)
    except OSError:
        return []
    starts = [f"{libraries}/{name}/site-packages/runc_wrap/agent/start.py" for name in names]
    return [start for start in starts if _is_there(start)]


def _is_there(path: str) -> bool:
    return posix.access(path, posix.R_OK)


def _words(python: str, start: str, role: str, prefix: str) -> list[str]:
    # the interpreter behind all links: through the venv's it would look for more at each start
    own = getattr(sys, "_base_executable", sys.executable)
    found = _real(python) if _is_there(python) else own
    return [found, "-I", "-S", "-B", "-X", "utf8", start, role, prefix]


def _real(path: str) -> str:
    try:
        return posix.readlink(path)  # install.sh made it, absolute and real
    except OSError:
        return path
