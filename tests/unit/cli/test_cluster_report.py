"""runc-wrapctl cluster report: what `kubectl runc-wrap` runs in the installer's pod."""

from __future__ import annotations

from typing import TYPE_CHECKING

from click.testing import CliRunner

from runc_wrap.cli import cluster
from runc_wrap.cli.main import main
from runc_wrap.node.paths import Places
from tests.unit.cluster.host_stand_in import Host

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pytest


def test_the_report_is_printed_as_the_node_made_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node's name is the pod's NODE_NAME, of which the DaemonSet is sure."""
    places = Places(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "runc-wrapctl").touch()
    asked: list[Sequence[str]] = []

    class Reporting(Host):
        def _do(self, step: str, argv: Sequence[str]) -> str:
            del step
            asked.append(argv)
            return '[{"node": "n1"}]\n'

    monkeypatch.setattr(cluster, "_PLACES", places)
    monkeypatch.setattr(cluster, "Manager", lambda _: Reporting(places))
    result = CliRunner(env={"NODE_NAME": "n1"}).invoke(main, ["cluster", "report"])
    assert (result.exit_code, result.stdout) == (0, '[{"node": "n1"}]\n'), result.stderr
    assert asked[0][-4:] == ("report", "--json", "--node", "n1")


def test_without_a_report_it_ends_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_PLACES", Places(tmp_path))
    result = CliRunner(env={"NODE_NAME": "n1"}).invoke(main, ["cluster", "report"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "Error: runc-wrap is not installed on this node\n"
