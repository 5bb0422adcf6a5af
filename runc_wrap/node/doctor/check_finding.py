"""A finding of a check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    error: containers do not start, or start unconfined. warning: something differs from what the
    owner expects. note: for information.
    """

    check: str
    severity: Literal["error", "warning", "note"]
    sentence: str
    remedy: str
