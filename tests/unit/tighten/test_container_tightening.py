"""What is kept of filters that were laid on containers."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from runc_wrap.node.paths import Places
from runc_wrap.tighten import container_tightening

if TYPE_CHECKING:
    from pathlib import Path


def test_filters_that_the_ledger_does_not_name_any_more_are_removed(tmp_path: Path) -> None:
    places = Places(tmp_path)
    for directory in (places.ledger, places.tightened):
        directory.mkdir(parents=True)
    for name in ("named", "forgotten", "new"):
        file = places.tightened / f"{name}.bpf"
        file.touch()
        if name != "new":
            os.utime(file, (1, 1))
    line = {"time": "1", "id": "a", "root": "/r", "action": "tighten", "laid": ["named"]}
    (places.ledger / "ledger.jsonl").write_text(json.dumps(line) + "\n")
    container_tightening.remove_unnamed(places)
    assert {one.name for one in places.tightened.iterdir()} == {"named.bpf", "new.bpf"}
