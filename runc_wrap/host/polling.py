"""Waiting for something that nobody announces: ask, pause, ask again, until the time is over."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def wait_for(asked: Callable[[], T], seconds: float, pause: float = 0.2) -> T:
    """Ask until the answer is true, `pause` seconds after the one before; return the last answer.

    It is asked at least once, and not again once `seconds` are over.
    """
    until = time.monotonic() + seconds
    while not (answer := asked()) and time.monotonic() < until:
        time.sleep(pause)
    return answer
