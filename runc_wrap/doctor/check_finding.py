"""A finding of a check, what mends it, and what `doctor --fix` does about it."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from runc_wrap.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


Severity = Literal["error", "warning", "note"]


class NotMended(Failure):
    """A fix failed and changed nothing, or nothing that matters; the message says why."""


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    error: containers do not start, or start unconfined. warning: something differs from what the
    owner expects. note: for information.
    `remedy` says in words what to do. `command` is one line for root's shell that does it, "" if
    no command of runc-wrap, of systemd or of the kernel does: packages and boot loaders are the
    owner's. `fix`, if it is safe without asking, does what `command` does; it raises NotMended or
    OSError.
    """

    check: str
    severity: Severity
    sentence: str
    remedy: str
    command: str = ""
    fix: Callable[[], None] | None = field(default=None, compare=False, repr=False)


def changed_mode(path: Path, *, takes: int = 0, gives: int = 0) -> Callable[[], None]:
    """Return what takes these bits from the mode of a file or directory, and gives it others."""

    def act() -> None:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path, flags)
        try:
            found = os.fstat(descriptor)
            if found.st_uid not in (0, os.geteuid()):  # replaced meanwhile, by those who could
                raise NotMended(f"it belongs to uid {found.st_uid} now")
            os.fchmod(descriptor, stat.S_IMODE(found.st_mode) & ~takes | gives)
        finally:
            os.close(descriptor)

    return act
