"""Which container a runtime is about to have somebody join: its `exec`, by its own words. Lean.

What joins may be gone before anybody could look at its cgroup; the runtime that starts it lives
longer, and all its children are the container's.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runc_wrap.evidence import known

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runc_wrap.evidence.known import Key, Known

_PROGRAMS = ("bin/runc-wrap", "lib/runtime/runc", "lib/runtime/crun")
# Options of `exec` that take the next word (runc:exec.go, crun:src/exec.c)
_TAKE_ONE = frozenset(
    """additional-gids apparmor cap cgroup console-socket cwd env pid-file pidfd-socket preserve-fds
    process process-label user c e g p u""".split()
)


def runtimes(prefix: str) -> list[str]:
    """Return the paths of the programs that have processes join an installation's containers."""
    return [f"{prefix}/{path}" for path in _PROGRAMS]


def container_of(pid: int, known_containers: Known, programs: Sequence[str]) -> Key | None:
    """Return the container that a process joins to, if it runs one of these programs.

    Anybody can have such words, and reading them can take for ever (they lie in its memory, which
    it may have put where nobody answers): so the file that runs is looked at first.
    """
    return named(known.words(pid), known_containers) if _runs_one_of(pid, programs) else None


def named(words: list[str], known_containers: Known) -> Key | None:
    """Return the container that an `exec` names, None if these words are none."""
    if "exec" not in words:
        return None
    at = words.index("exec")
    name = _first_operand(words[at + 1 :])
    roots = _roots(words[:at])
    return next((key for root in roots if (key := known_containers.of(root, name))), None)


def _first_operand(words: list[str]) -> str:
    """Return the first word that is neither an option nor an option's value, "" if none is."""
    is_value = False
    for word in words:
        if not is_value and not word.startswith("-"):
            return word
        is_value = not is_value and word.lstrip("-") in _TAKE_ONE
    return ""


def _roots(flags: list[str]) -> tuple[str, ...]:
    """Return the value of --root, or what may be meant without: one dash or two are the same."""
    for word, following in zip(flags, [*flags[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        if name in ("--root", "-root"):
            return (value if equals else following,)
    return (*known.DEFAULT_ROOTS, "")


def _runs_one_of(pid: int, paths: Sequence[str]) -> bool:
    try:
        found = os.stat(f"/proc/{pid}/exe")  # noqa: PTH116 - lean
    except OSError:
        return False
    return any(_is(found, path) for path in paths)


def _is(found: os.stat_result, path: str) -> bool:
    try:
        return os.path.samestat(found, os.stat(path))  # noqa: PTH116 - lean
    except OSError:
        return False
