"""What needs somebody's look has the journal's priority for it."""

from __future__ import annotations

import os
import posix
from typing import TYPE_CHECKING

import pytest

from runc_wrap.agent import log

if TYPE_CHECKING:
    from collections.abc import Callable

SAID = b"runc-wrap observe: one\n"
OTHER = b"7:7"


@pytest.mark.parametrize(
    ("write", "stream", "written"),
    [
        (log.warn, "its own", b"<4>" + SAID),
        (log.warn, "another's", SAID),
        (log.warn, "none", SAID),
        (log.say, "its own", SAID),
    ],
)
def test_only_a_warning_to_the_journal_has_a_priority(
    write: Callable[[str], None], stream: str, written: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = os.pipe()
    found = os.fstat(writer)
    its_own = f"{found.st_dev}:{found.st_ino}".encode()
    streams = {"its own": its_own, "another's": OTHER}
    named = {b"JOURNAL_STREAM": streams[stream]} if stream in streams else {}
    monkeypatch.setattr(posix, "environ", named)
    monkeypatch.setattr(log, "_SERVICE", "observe")
    kept = os.dup(2)
    os.dup2(writer, 2)
    try:
        write("one")
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(writer)
    assert os.read(reader, 100) == written
    os.close(reader)
