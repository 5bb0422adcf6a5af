"""/dev/kmsg, by a stand-in: a real ring is overrun only by chance."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from harness.kernel.audit_records import STAMP, fields
from runc_wrap.evidence.model import Lost, Sighting
from runc_wrap.evidence.sources import kmsg

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

RECORD = b"audit: type=1326 " + STAMP + fields() + b"\n"


def test_reading_goes_on_after_an_overrun_whose_size_the_next_record_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kmsg"
    path.touch()
    early, late = (f"5,{number},100,-;".encode() + RECORD for number in (7, 12))
    left: Iterator[bytes | OSError] = iter([early, BlockingIOError(), BrokenPipeError(), late])

    def read(_descriptor: int, _size: int) -> bytes:
        found = next(left, b"")
        if isinstance(found, OSError):
            raise found
        return found

    ring = kmsg.Ring(path)
    ring.fileno()
    monkeypatch.setattr(os, "read", read)
    found = list(ring.read(0.0, 0.0))
    monkeypatch.undo()
    ring.close()
    assert [type(one) for one in found] == [Sighting, Lost, Sighting]
    assert [one.records for one in found if isinstance(one, Lost)] == [4]
