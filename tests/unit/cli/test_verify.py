"""What `verify --deep` says of calls that it compared only in part."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from runc_wrap.cli import verify
from runc_wrap.host.containers import RUNNING, RuntimeContainer
from runc_wrap.node.container_state import deep_verify
from runc_wrap.node.container_state.deep_verify import Result
from runc_wrap.node.container_state.node_status import Entry, Node
from tests.unit.cli import ctl

if TYPE_CHECKING:
    from pathlib import Path

CALLS = {f"x86_64 call{number:02}" for number in range(12)}


@pytest.mark.parametrize("sampled", [set(), CALLS])
def test_calls_of_which_only_a_part_was_compared_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampled: set[str]
) -> None:
    node = ctl.node(tmp_path, monkeypatch)
    container = RuntimeContainer("/run/runc", "one", "runc", RUNNING, 1, None, 0)
    entry = Entry(container, None, [])
    monkeypatch.setattr(verify, "look", lambda _: Node([entry], 0, [], [], []))
    result = Result(sampled=sampled)
    monkeypatch.setattr(deep_verify.Comparing, "compare", lambda *_: result)
    shown = node.ctl("verify", "--deep")
    assert shown.exit_code == 0, shown.output
    said = "one: of 12 calls only 4096 combinations of arguments each were compared: x86_64 call00"
    assert (said in " ".join(shown.output.split())) is bool(sampled)
    assert "call11" not in shown.output  # of ten
    document = json.loads(node.ctl("verify", "--deep", "--json").stdout)
    expected = [{"id": "one", "calls": sorted(sampled)}] if sampled else []
    assert document["sampled"] == expected
