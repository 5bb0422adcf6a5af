"""The files of a ledger, opened so that a rotation meanwhile hides no record."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runc_wrap.host import files

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LARGEST = 64 * 1024 * 1024  # bytes of one file, four times what rotation lets it have


def opened(directory: str, names: Sequence[str]) -> Iterator[int]:
    """Yield a descriptor of each of these files that is there. Raises OSError.

    All are opened before the first is read. The last name is the newest file, which is opened
    first: a rotation in between may then show records twice but hides none.
    """
    found: list[int] = []
    try:
        for name in reversed(names):
            try:
                found.insert(0, files.opened(f"{directory}/{name}"))
            except (FileNotFoundError, files.Irregular):
                continue
        yield from found
    finally:
        for descriptor in found:
            os.close(descriptor)
