"""Looks at what is left at each moment at which a process could be killed."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

Left = TypeVar("Left")


def of(function: Any, do: Callable[[], object], look: Callable[[], Left]) -> list[Left]:
    """Call `do`; return what `look` returned before each line of `function` that ran."""
    found: list[Left] = []

    def trace(frame: FrameType, _event: str, _what: object) -> Any:
        if frame.f_code is function.__code__:
            found.append(look())
            return trace
        return None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        do()
    finally:
        sys.settrace(before)
    return found
