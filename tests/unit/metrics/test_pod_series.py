"""The gauges of a cluster's pod."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from harness.node.requirements import program
from runc_wrap.metrics import pod_server
from runc_wrap.metrics.pod_server import STATES

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "kubernetes.md"


def _values(word: str, *, is_up: bool = True) -> dict[str, str]:
    text = pod_server.exposition(word, is_up=is_up).decode()
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return dict(lines)


@pytest.mark.parametrize("word", STATES)
def test_one_state_is_the_nodes_and_the_others_are_not(word: str) -> None:
    found = _values(word)
    assert found.pop("runc_wrap_agent_up") == "1.0"
    assert [name for name, value in found.items() if value != "0.0"] == [
        f'runc_wrap_node_state{{state="{word}"}}'
    ]
    assert len(found) == len(STATES)


@pytest.mark.parametrize("word", ["", "ready\n", "Ready", 'x"} 1\nup 1', "\x1b[31m", "unknown"])
def test_what_is_no_state_is_unknown(word: str) -> None:
    found = _values(word, is_up=False)
    assert found["runc_wrap_agent_up"] == "0.0"
    assert found['runc_wrap_node_state{state="unknown"}'] == "1.0"
    assert len(found) == len(STATES) + 1


def test_the_states_are_those_of_the_guide() -> None:
    """`removed` is none of the node's annotation: with it the annotation goes."""
    section = GUIDE.read_text().partition("\n## States\n")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `([a-z-]+)` \|", section, re.MULTILINE)
    assert {*STATES} - {"unknown", "removed"} == {*listed}


def test_promtool_has_nothing_to_say() -> None:
    text = pod_server.exposition("ready", is_up=True)
    words = [program("promtool"), "check", "metrics"]
    done = subprocess.run(words, input=text, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
