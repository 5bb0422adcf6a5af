"""explain: the decision for a config, in one sentence or as JSON."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.ctl import Node


def _bundle(tmp_path: Path, **config: Any) -> str:
    bundle = tmp_path / "bundle"
    bundle.mkdir(exist_ok=True)
    (bundle / "config.json").write_text(json.dumps({"linux": {}, "process": {}, **config}))
    return str(bundle)


def test_the_decision_is_one_document(applied: Node, tmp_path: Path) -> None:
    bundle = _bundle(tmp_path, annotations={"io.container.manager": "libpod"})
    found = applied.json("explain", bundle)
    assert applied.json("explain", f"{bundle}/config.json") == found
    assert list(found) == "action mode profile candidate recorded rule reason".split()
    assert (found["action"], found["profile"]) == ("inject", "containers-common")


LIKELY = [
    (["CAP_SYS_ADMIN"], ["/bin/sh"], "It has CAP_SYS_ADMIN: to every process that has a"),
    (["CAP_SYS_PTRACE"], ["/usr/sbin/criu", "dump"], "It runs criu and has CAP_SYS_PTRACE: to"),
    (["CAP_SYS_PTRACE"], ["/bin/criux"], None),
    (["CAP_CHOWN"], ["/usr/sbin/criu"], None),
]


@pytest.mark.parametrize(("capabilities", "words", "said"), LIKELY)
def test_what_any_filter_refuses_is_said_where_it_is_likely(
    applied: Node, tmp_path: Path, capabilities: list[str], words: list[str], said: str | None
) -> None:
    process = {"args": words, "capabilities": {"bounding": capabilities}}
    lines = applied.ctl("explain", _bundle(tmp_path, process=process)).stdout.splitlines()
    found = [one for one in lines if "every process that has a filter" in one]
    assert [one for one in found if said and one.startswith(said)] == found
    assert bool(found) is bool(said)


def test_what_a_create_would_refuse_is_reported(applied: Node, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("{")
    bundles = [str(tmp_path / "none"), str(tmp_path / "x"), str(tmp_path)]
    annotation = "localhost/../x"
    bundles.append(_bundle(tmp_path, annotations={"runc-wrap/seccomp": annotation}))
    for path in bundles:
        assert "Error: a create would be refused: " in applied.failure("explain", path)
    applied.places.current.unlink()
    assert "Run `runc-wrapctl apply`" in applied.failure("explain", _bundle(tmp_path))


def test_observe_without_an_agent_is_explained_as_a_create_is(node: Node, tmp_path: Path) -> None:
    node.apply('[default]\nmode = "observe"\n')
    found = node.json("explain", _bundle(tmp_path))
    assert (found["mode"], "No agent listens" in found["reason"]) == ("audit", True)
