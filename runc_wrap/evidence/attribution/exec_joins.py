"""Which container an `exec` is for, by the words that it was called with.

The joining process may end before its cgroup could be read; the runtime that starts it lives
longer, and all its children are the container's. Words prove nothing by themselves: only those
count that root's launcher sent to the agent (agent.record.exec_notices), never those in some
process' memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.host import runtime_state

if TYPE_CHECKING:
    from runc_wrap.evidence.attribution.container_index import Known
    from runc_wrap.hotpath.ledger_file import Key

# Options of `exec` that take the next word (runc:exec.go, crun:src/exec.c)
_TAKE_ONE = frozenset(
    """additional-gids apparmor cap cgroup console-socket cwd env pid-file pidfd-socket preserve-fds
    process process-label user c e g p u""".split()
)


def named(words: list[str], known_containers: Known) -> Key | None:
    """Return the container that an `exec` names, None if these words are not one."""
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
    """Return the value of --root, or the possible defaults; one dash or two are the same."""
    for word, following in zip(flags, [*flags[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        if name in ("--root", "-root"):
            return (value if equals else following,)
    return (*runtime_state.DEFAULT_ROOTS, "")
