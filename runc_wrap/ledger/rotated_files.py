"""The files of a ledger, opened so that a rotation meanwhile hides no record."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runc_wrap.host import files

if TYPE_CHECKING:
    from collections.abc import Sequence

LARGEST = 64 * 1024 * 1024  # bytes of one file, four times what rotation lets it have


class OpenedLedger:
    """The existing ones of these files of a ledger, held open for reading. Raises OSError.

    The last name is the newest file, which is opened first: a rotation in between may then show
    records twice but hides none.
    """

    def __init__(self, directory: str, names: Sequence[str]) -> None:
        self._paths = [f"{directory}/{name}" for name in names]
        self._descriptors: list[int] = []

    def __enter__(self) -> list[int]:
        """Open them; return the descriptors in the order of the names."""
        try:
            for path in reversed(self._paths):
                descriptor = _opened(path)
                if descriptor is not None:
                    self._descriptors.insert(0, descriptor)
        except OSError:
            self.__exit__()
            raise
        return self._descriptors

    def __exit__(self, *_: object) -> None:
        """Close them."""
        while self._descriptors:
            os.close(self._descriptors.pop())


def _opened(path: str) -> int | None:
    """Open a regular file, None if there is none."""
    try:
        return files.opened(path)
    except (FileNotFoundError, NotADirectoryError, files.Irregular):
        return None
