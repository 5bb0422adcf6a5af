"""doctor on the libseccomp of the real runtime."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from runc_wrap.doctor.runtime_checks import runtime_libseccomp
from runc_wrap.filters.kernel import libseccomp_version
from runc_wrap.profiles import syscalls
from tests.unit.node import machine

if TYPE_CHECKING:
    from tests.unit.cli.ctl import Node

VERSION = "io.github.seccomp.libseccomp.version"


def _runtime(node: Node, kind: str, features: dict[str, Any] | None, printed: str = "") -> None:
    """Simulate a runtime with containerd, and put the policy in force with it."""
    machine.fake(node.programs, "containerd", "echo containerd v1.7.24")
    shown = f"cat {node.programs}/features.json" if features is not None else "exit 1"
    (node.programs / "features.json").write_text(json.dumps(features))
    versions = f"printf '{kind} version 1.1.15\\n{printed}'"
    machine.fake(node.programs, kind, f'[ "$1" = features ] && {{ {shown}; exit; }}; {versions}')
    node.configure(f'runtime = ["{kind}"]\n')
    assert node.ctl("apply").exit_code == 0


def _library(version: str) -> dict[str, Any]:
    return {"linux": {"seccomp": {"enabled": True}}, "annotations": {VERSION: version}}


@pytest.mark.parametrize(
    ("kind", "version", "severity", "words"),
    [
        ("runc", "2.5.4", "note", "know cachestat, fchmodat2, futex_requeue and 3 more, which"),
        ("crun", "2.5.4", "warning", "containers get EPERM, after which programs do not fall back"),
        ("runc", "2.5.3", "note", "containers get ENOSYS"),
    ],
)
def test_calls_that_the_runtime_leaves_out_are_told(
    node: Node, kind: str, version: str, severity: str, words: str
) -> None:
    _runtime(node, kind, _library(version))
    [found] = runtime_libseccomp.find(node.places)
    assert (found.check, found.severity) == ("libseccomp", severity)
    assert words in found.sentence
    assert f"{node.programs}/{kind} uses libseccomp {version}, which does not" in found.sentence


def test_crun_with_a_profile_whose_default_is_enosys_is_only_a_note(node: Node) -> None:
    _runtime(node, "crun", _library("2.5.3"))
    (node.programs / "containerd").unlink()
    machine.fake(node.programs, "podman", "echo podman version 5.4.2")
    node.configure('runtime = ["crun"]\n[default]\nprofile = "containers-common"\n')
    assert node.ctl("apply").exit_code == 0
    [found] = runtime_libseccomp.find(node.places)
    assert (found.severity, "ENOSYS" in found.sentence) == ("note", True)


def test_a_library_that_knows_every_call_is_no_finding(node: Node) -> None:
    _runtime(node, "crun", _library("2.6.1"))
    assert list(runtime_libseccomp.find(node.places)) == []


def test_runc_without_features_says_it_in_its_version(node: Node) -> None:
    _runtime(node, "runc", None, "libseccomp: 2.5.4\\n")
    [found] = runtime_libseccomp.find(node.places)
    assert "uses libseccomp 2.5.4" in found.sentence


@pytest.mark.parametrize("features", [None, {}, {"annotations": []}, _library("new")])
def test_an_unknown_version_is_no_finding(node: Node, features: dict[str, Any] | None) -> None:
    _runtime(node, "runc", features)
    assert list(runtime_libseccomp.find(node.places)) == []


def test_a_runtime_without_seccomp_is_an_error(node: Node) -> None:
    _runtime(node, "runc", {"linux": {"seccomp": {"enabled": False}}})
    [found] = runtime_libseccomp.find(node.places)
    assert (found.severity, "built without seccomp" in found.sentence) == ("error", True)
    assert found.remedy == "install a runc with seccomp"


@pytest.mark.parametrize(
    ("inside", "words"), [("# libseccomp.so.2", "ldd "), ("", "linked into runc")]
)
def test_the_remedy_depends_on_how_the_library_is_linked(
    node: Node, inside: str, words: str
) -> None:
    _runtime(node, "runc", _library("2.5.4"))
    path = node.programs / "runc"
    path.write_text(f"{path.read_text()}{inside}\n")
    [found] = runtime_libseccomp.find(node.places)
    assert words in found.remedy


@pytest.mark.parametrize(
    ("inside", "place", "is_told"),
    [
        ("# libseccomp.so.2", "/usr/lib/libseccomp.so.2", False),
        ("# libseccomp.so.2", "{prefix}/lib/libseccomp.so.2", True),
        ("", "/usr/lib/libseccomp.so.2", True),
    ],
)
def test_a_library_to_which_a_distribution_added_calls_is_asked_for_them(
    node: Node, monkeypatch: pytest.MonkeyPatch, inside: str, place: str, is_told: bool
) -> None:
    """As Debian 12's 2.5.4 has those of 2.5.5; not if ours is another one than the runtime's."""
    _runtime(node, "runc", _library("2.5.4"))
    path = node.programs / "runc"
    path.write_text(f"{path.read_text()}{inside}\n")
    loaded = ("2.5.4", place.format(prefix=node.places.prefix))
    monkeypatch.setattr(libseccomp_version, "loaded", lambda: loaded)
    monkeypatch.setattr(syscalls, "known_to_libseccomp", frozenset)
    assert bool([*runtime_libseccomp.find(node.places)]) is is_told


def test_the_library_that_both_have_loaded_is_asked_which_calls_it_lacks(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    _runtime(node, "runc", _library("2.6.1"))
    path = node.programs / "runc"
    path.write_text(f"{path.read_text()}# libseccomp.so.2\n")
    monkeypatch.setattr(libseccomp_version, "loaded", lambda: ("2.6.1", "/usr/lib/libseccomp.so.2"))
    monkeypatch.setattr(
        syscalls, "known_to_libseccomp", lambda names: frozenset(names) - {"cachestat"}
    )
    [found] = runtime_libseccomp.find(node.places)
    assert "uses libseccomp 2.6.1, which does not know cachestat, which" in found.sentence


def test_a_denied_call_that_the_library_does_not_know_stays_allowed(node: Node) -> None:
    rule = {"names": ["mseal", "mount"], "action": "SCMP_ACT_ERRNO"}
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    _runtime(node, "runc", _library("2.5.5"))
    node.configure('[default]\nprofile = "localhost/own.json"\n', own=json.dumps(profile).encode())
    assert node.ctl("apply").exit_code == 0
    [found] = [each for each in runtime_libseccomp.find(node.places) if each.severity != "note"]
    told = "does not know mseal, which a profile in force denies: they stay allowed"
    assert told in found.sentence
