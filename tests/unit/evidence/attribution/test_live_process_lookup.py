"""The container of a process that runs now."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from runc_wrap.evidence.attribution.container_index import Known
from runc_wrap.evidence.attribution.live_process_lookup import Present
from runc_wrap.host import procfs

if TYPE_CHECKING:
    from pathlib import Path

KEY = ("/run/test", "c1")
OLD, NEW = (100, 1), (200, 1)  # a process' start in ticks, and its parent


@pytest.mark.parametrize(("births", "key"), [([OLD, OLD], KEY), ([OLD, NEW], None)])
def test_a_pid_that_is_reused_while_it_is_looked_up_is_nobodys(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    births: list[tuple[int, int]],
    key: tuple[str, str] | None,
) -> None:
    present = Present(Known(str(tmp_path)))
    left = iter(births)
    monkeypatch.setattr(procfs, "born", lambda _: next(left))
    monkeypatch.setattr(type(present.membership), "of", lambda *_: KEY)
    found = present.of(7, time.time())
    assert (found and found[1]) == key
