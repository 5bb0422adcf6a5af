"""A node's facts, gathered for the compiler."""

from pathlib import Path

import pytest

from runc_wrap.apply import apply_policy
from runc_wrap.node.paths import Places
from tests.unit.node import machine


def test_the_kind_in_force_stays_unless_the_config_names_a_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = machine.empty(tmp_path, monkeypatch)
    crun = machine.fake(folder, "crun", "echo crun version 1.21")
    places = Places(tmp_path)
    places.runtime.mkdir(parents=True)
    (places.runtime / "crun").symlink_to(crun)
    machine.fake(folder, "runc", "echo runc version 1.2.3")
    assert apply_policy.gather_facts(places, None).runtime_kind == "crun"
    assert apply_policy.gather_facts(places, ["runc", "crun"]).runtime_kind == "runc"
