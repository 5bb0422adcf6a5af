"""A finding of a check, what mends it, and what `doctor --fix` does about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from runc_wrap.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Callable


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
