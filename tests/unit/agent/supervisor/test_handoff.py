"""Taking over from a draining agent; tests/runtime/observe shows that it works."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from harness.host.processes import short_directory
from runc_wrap.agent import agent_paths
from runc_wrap.agent.supervisor import handoff

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def prefix() -> Iterator[Path]:
    with short_directory("inherit") as place:
        (place / "var" / "agent").mkdir(parents=True)
        assert agent_paths.directory(str(place)) == str(place / "var" / "agent")
        yield place


def test_a_connection_closed_by_an_ending_agent_is_not_a_refusal(prefix: Path) -> None:
    """Its last container has just ended; its socket is removed a moment later."""
    listening = socket.socket(fileno=handoff.listen(str(prefix)))

    def end() -> None:
        listening.accept()[0].close()
        handoff.remove(str(prefix))
        listening.close()

    ending = threading.Thread(target=end)
    ending.start()
    assert handoff.take(str(prefix), set()) == ([], "")
    ending.join()


def test_repeatedly_closed_connections_are_a_refusal(
    prefix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handoff, "_PATIENCE", 0.2)
    listening = socket.socket(fileno=handoff.listen(str(prefix)))

    def hang_up() -> None:
        while True:
            try:
                listening.accept()[0].close()
            except OSError:
                return

    hanging_up = threading.Thread(target=hang_up)
    hanging_up.start()
    with pytest.raises(handoff.Refused, match="does not hand over their listeners"):
        handoff.take(str(prefix), set())
    listening.shutdown(socket.SHUT_RDWR)
    hanging_up.join()
    listening.close()
