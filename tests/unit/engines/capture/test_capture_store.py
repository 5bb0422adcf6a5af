"""A stored capture holds only for the engine, its files, the kernel and the machine it is of."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runc_wrap.engines.capture import capture_store
from runc_wrap.profiles import platform
from runc_wrap.profiles.captured_profile import CapturedProfile
from runc_wrap.profiles.json_profiles import profile_files
from runc_wrap.profiles.source_profile import ProfileError
from tests.unit.cli import ctl
from tests.unit.cli.ctl import Node
from tests.unit.node import machine

DENIAL = '{"names":["mount"],"action":"SCMP_ACT_ERRNO"}'
PROFILE = f'{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{DENIAL}]}}'.encode()
VERSION = "echo podman version 5.4.2"


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    ctl.prove_once(monkeypatch)
    made = ctl.node(tmp_path, monkeypatch)
    made.places.var.mkdir(parents=True)
    machine.fake(made.programs, "podman", f"{VERSION} ")
    system = tmp_path / "seccomp.json"
    system.write_bytes(PROFILE)
    monkeypatch.setattr(profile_files, "SYSTEM_FILES", (str(system),))
    return made


def _captured() -> CapturedProfile:
    kernel = ".".join(map(str, platform.kernel()))
    program = capture_store.fingerprint("podman")
    found = (platform.goarch(), kernel, program, json.loads(PROFILE))
    return CapturedProfile("podman", "5.4.2", "", *found)


def _stored(node: Node, captured: CapturedProfile) -> str:
    where = capture_store.write(node.places, captured)
    assert where.stat().st_mode & 0o777 == 0o644  # rootless engines' users read it
    return capture_store.read(node.places)["podman"].stale


STALE = [
    ({"version": "5.4.1"}, "it is of podman 5.4.1, and 5.4.2 is installed"),
    ({"kernel": "3.10"}, "it is of Linux 3.10 on "),
    ({"arch": "mips"}, " on mips, and "),
    ({"program": "0"}, "podman's program or its seccomp.json is a different file now"),
]


@pytest.mark.parametrize(("change", "said"), STALE)
def test_a_capture_of_anything_else_is_stale(node: Node, change: dict[str, Any], said: str) -> None:
    assert said in _stored(node, replace(_captured(), **change))


def test_a_file_that_is_damaged_or_too_large_is_refused_by_name(node: Node) -> None:
    where = capture_store.write(node.places, _captured())
    for data in (b"{", b" " * 3_000_000):
        where.write_bytes(data)
        with pytest.raises(ProfileError, match=r"podman\.json"):
            capture_store.read(node.places)


def test_doctor_names_a_stale_capture_and_a_table_that_is_not_the_engines(node: Node) -> None:
    captured = replace(_captured(), profile=json.loads(PROFILE.replace(b"mount", b"umount2")))
    capture_store.write(node.places, captured)
    node.configure('[runtime_default]\ncontainers_common = "builtin"\n')  # as the owner wants it
    assert node.ctl("apply").exit_code == 0
    assert _findings(node) == []
    node.configure("")
    assert node.ctl("apply").exit_code == 0
    (found,) = _findings(node)
    assert "podman 5.4.2 applies another default than containers-common@system" in found
    assert "umount2: SCMP_ACT_ERRNO(EPERM) is only captured" in found
    machine.fake(node.programs, "podman", "echo podman version 5.8.0")
    (found,) = _findings(node)
    assert found.startswith("note: the captured default of podman no longer holds: it is of")


def _findings(node: Node) -> list[str]:
    found = json.loads(node.ctl("doctor", "--json").stdout)["findings"]
    of_captures = [one for one in found if one["check"] == "captured"]
    return [f"{one['severity']}: {one['sentence']}" for one in of_captures]
