"""How far a piece of work has come: whoever does it counts, and whoever shows it looks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass
class Meter:
    """`done` of `total`, in whatever units; a `total` of 0 is not known."""

    done: int = 0
    total: int = 0

    def counting(self, items: Sequence[T]) -> Iterator[T]:
        """Yield the items, and count each when the next one is asked for."""
        self.total += len(items)
        for item in items:
            yield item
            self.done += 1
