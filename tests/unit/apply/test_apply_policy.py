"""A node's facts, gathered for the compiler."""

from pathlib import Path

import pytest

from runc_wrap.apply import apply_policy
from runc_wrap.node.paths import Places
from runc_wrap.profiles import platform
from runc_wrap.profiles.json_profiles import profile_files
from tests.unit.node import machine
from tests.unit.policy.node import PROFILE


def test_all_of_a_node_is_gathered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = machine.empty(tmp_path, monkeypatch)
    runc = machine.fake(folder, "runc", "echo runc version 1.2.3")
    machine.fake(folder, "dockerd", "echo Docker version 27.0.1, build x")
    places = Places(tmp_path)
    (places.profiles / "team").mkdir(parents=True)
    (places.profiles / "team/a.json").write_bytes(PROFILE)
    system = tmp_path / "seccomp.json"
    system.write_bytes(PROFILE)
    monkeypatch.setattr(profile_files, "SYSTEM_FILES", (str(tmp_path / "none"), str(system)))
    found = apply_policy.gather_facts(places, ["runc"])
    assert (found.runtime_path, found.runtime_kind, found.runtime_version) == (
        str(runc),
        "runc",
        "1.2.3",
    )
    assert found.engines == {"docker": "27.0.1"}
    assert found.own_profiles == {"team/a.json": PROFILE}
    assert found.system_profile == (str(system), PROFILE)
    assert (found.arch, found.kernel) == (platform.goarch(), platform.kernel())


def test_a_node_needs_only_a_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.fake(machine.empty(tmp_path, monkeypatch), "crun", "echo crun version 1.21")
    found = apply_policy.gather_facts(Places(tmp_path), ["runc", "crun"])
    assert (found.engines, found.own_profiles, found.system_profile) == ({}, {}, None)


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
