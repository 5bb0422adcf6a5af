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


def runtimes(prefix: str) -> list[str]:
    """Return the paths of the programs that have processes join an installation's containers."""
    return [
        f"{prefix}/{path}" for path in ("bin/runc-wrap", "lib/runtime/runc", "lib/runtime/crun")
    ]


def container_of(pid: int, known_containers: Known, runtimes: Sequence[str]) -> Key | None:
    """Return the container that a process joins to, if its program is one of these runtimes'.

    Anybody can have such words, so the file that runs is looked at.
    """
    words = known.words(pid)
    if "exec" not in words or not _is_one_of(pid, runtimes):
        return None
    return named(words, known_containers)


def named(words: list[str], known_containers: Known) -> Key | None:
    """Return the container that an `exec` names: the first word behind it that is one's id."""
    at = words.index("exec")
    root = _root(words[:at])
    found = (known_containers.of(root, word) for word in words[at + 1 :])
    return next((key for key in found if key), None)


def _root(flags: list[str]) -> str:
    """Return the value of --root, "" if there is none; both runtimes take one dash or two."""
    root = ""
    for word, following in zip(flags, [*flags[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        if name in ("--root", "-root"):
            root = value if equals else following
    return root


def _is_one_of(pid: int, paths: Sequence[str]) -> bool:
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
