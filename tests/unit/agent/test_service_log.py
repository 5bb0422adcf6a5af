"""What needs somebody's look has the journal's priority for it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from runc_wrap.agent import service_log

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("write", [service_log.say, service_log.warn])
def test_what_is_said_is_one_line_whatever_a_name_has(
    write: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal would take a line's own priority, and a terminal its escape sequences."""
    said = _written(*os.pipe(), lambda: write("a\n<0>b\x1b[31m\udc80é"), monkeypatch)
    assert said == "runc-wrap observe: a <0>b [31m é\n".encode()


def _written(
    reader: int, writer: int, work: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> bytes:
    """Return what is written to stderr, which is this pipe meanwhile."""
    monkeypatch.setattr(service_log, "_SERVICE", "observe")
    kept = os.dup(2)
    os.dup2(writer, 2)
    try:
        work()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(writer)
    try:
        return os.read(reader, 100)
    finally:
        os.close(reader)
