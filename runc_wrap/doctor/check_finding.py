"""A finding of a check, the command that mends it, and what `doctor --fix` does about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable


Severity = Literal["error", "warning", "note"]


class NotMended(Exception):
    """A fix failed and changed nothing, or nothing that matters; the message says why."""


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    error: containers do not start, or start unconfined. warning: something differs from what the
    owner expects. note: for information.
    `command` is one line for root's shell, which mends it or is the first step. `fix`, if it is
    safe without asking, has the same effect; it raises NotMended or OSError.
    """

    check: str
    severity: Severity
    sentence: str
    remedy: str
    command: str
    fix: Callable[[], None] | None = field(default=None, compare=False, repr=False)
