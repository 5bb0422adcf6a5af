"""doctor on an agent that no create reaches."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from runc_wrap.doctor.service_checks import agent_answers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.cli.ctl import Node


@pytest.fixture
def agent(node: Node) -> Iterator[Path]:
    """A socket on which somebody answers each caller."""
    node.places.agent.mkdir(mode=0o700, parents=True)
    path = node.places.agent / "decide.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(str(path))
        listening.listen(16)

        def answer() -> None:
            with listening.accept()[0] as caller:
                caller.recv(64)
                caller.send(b"x")

        answering = threading.Thread(target=answer)
        answering.start()
        yield path
        answering.join()


def _decided(node: Node, *vias: str, at: float) -> None:
    node.places.ledger.mkdir(parents=True, exist_ok=True)
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
    lines = [json.dumps({"id": f"c{n}", "time": when, "via": via}) for n, via in enumerate(vias)]
    (node.places.ledger / "ledger.jsonl").write_text("\n".join([*lines, ""]))


@pytest.mark.parametrize(
    ("vias", "seconds", "is_found"),
    [
        (["cold"] * 5, 10, True),
        (["cold"] * 4, 10, False),
        (["cold"] * 5, -10, False),
        ([*["cold"] * 5, "agent"], 10, False),
    ],
)
def test_creates_of_which_none_asked_are_a_warning(
    node: Node, agent: Path, vias: list[str], seconds: int, *, is_found: bool
) -> None:
    if os.geteuid():
        pytest.skip("only root reads the whole ledger")
    _decided(node, *vias, at=agent.stat().st_mtime + seconds)
    words = "none of the 5 creates since"
    found = [each for each in agent_answers.find(node.places) if words in each.sentence]
    assert len(found) == is_found
