"""What a check finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    error: containers do not start, or start unconfined. warning: something holds otherwise than
    its owner thinks. note: good to know.
    """

    check: str
    severity: Literal["error", "warning", "note"]
    sentence: str
    remedy: str
