"""doctor on the real runtime, and on its libseccomp."""

import json
from typing import Any

import pytest

from runc_wrap.doctor import runtime_checks
from runc_wrap.filters.kernel import libseccomp_version
from runc_wrap.profiles import syscall_names
from tests.unit.cli.ctl import Node
from tests.unit.node import machine


def test_a_runtime_that_is_gone_is_an_error(node: Node) -> None:
    node.apply("")
    assert list(runtime_checks.runtime(node.places)) == []
    (node.programs / "runc").unlink()
    [found] = runtime_checks.runtime(node.places)
    assert found.severity == "error"
    assert found.remedy.startswith("install runc again, or have runc-wrapctl apply")


VERSION = "io.github.seccomp.libseccomp.version"


def _runtime(node: Node, kind: str, features: dict[str, Any] | None, printed: str = "") -> None:
    """Simulate a runtime with containerd, and put the policy in force with it."""
    machine.fake(node.programs, "containerd", "echo containerd v1.7.24")
    shown = f"cat {node.programs}/features.json" if features is not None else "exit 1"
    (node.programs / "features.json").write_text(json.dumps(features))
    versions = f"printf '{kind} version 1.1.15\\n{printed}'"
    machine.fake(node.programs, kind, f'[ "$1" = features ] && {{ {shown}; exit; }}; {versions}')
    node.apply(f'runtime = ["{kind}"]\n')


def _library(version: str) -> dict[str, Any]:
    return {"linux": {"seccomp": {"enabled": True}}, "annotations": {VERSION: version}}


LEFT_OUT = [
    ("runc", "2.5.4", "note", "know cachestat, fchmodat2, futex_requeue and 3 more, which"),
    ("crun", "2.5.4", "warning", "containers get EPERM, after which programs do not fall back"),
    ("runc", "2.5.3", "note", "containers get ENOSYS"),
]


@pytest.mark.parametrize(("kind", "version", "severity", "words"), LEFT_OUT)
def test_calls_that_the_runtime_leaves_out_are_told(
    node: Node, kind: str, version: str, severity: str, words: str
) -> None:
    _runtime(node, kind, _library(version))
    [found] = runtime_checks.libseccomp(node.places)
    assert (found.severity, words in found.sentence) == (severity, True)
    assert f"{node.programs}/{kind} uses libseccomp {version}, which does not" in found.sentence


def test_crun_with_a_profile_whose_default_is_enosys_is_only_a_note(node: Node) -> None:
    _runtime(node, "crun", _library("2.5.3"))
    (node.programs / "containerd").unlink()
    machine.fake(node.programs, "podman", "echo podman version 5.4.2")
    node.apply('runtime = ["crun"]\n[default]\nprofile = "containers-common"\n')
    [found] = runtime_checks.libseccomp(node.places)
    assert (found.severity, "ENOSYS" in found.sentence) == ("note", True)


UNKNOWN: list[dict[str, Any] | None] = [None, {}, {"annotations": []}, _library("new")]


LIBRARIES = [
    ("crun", _library("2.6.1"), "", False),
    ("runc", None, "libseccomp: 2.5.4\\n", True),  # without features, its version says it
    *(("runc", one, "", False) for one in UNKNOWN),
]


@pytest.mark.parametrize(("kind", "features", "printed", "is_found"), LIBRARIES)
def test_a_library_of_a_known_version_that_lacks_calls_is_found(
    node: Node, kind: str, features: dict[str, Any] | None, printed: str, *, is_found: bool
) -> None:
    _runtime(node, kind, features, printed)
    found = [each.sentence for each in runtime_checks.libseccomp(node.places)]
    assert ["uses libseccomp 2.5.4" in each for each in found] == [True] * is_found


def test_a_runtime_without_seccomp_is_an_error(node: Node) -> None:
    _runtime(node, "runc", {"linux": {"seccomp": {"enabled": False}}})
    [found] = runtime_checks.libseccomp(node.places)
    assert (found.severity, "built without seccomp" in found.sentence) == ("error", True)
    assert found.remedy == "install a runc with seccomp"


SHARED, USR = "# libseccomp.so.2", "/usr/lib/libseccomp.so.2"
# the runtime's version, how it is linked, our library, what this lacks, the remedy
LOADED = [  # as Debian 12's 2.5.4 has those of 2.5.5; not if ours is another one than the runtime's
    ("2.5.4", SHARED, USR, "", None),
    ("2.5.4", SHARED, "{prefix}/lib/libseccomp.so.2", "", "ldd "),
    ("2.5.4", "", USR, "", "linked into runc"),
    ("2.6.1", SHARED, USR, "cachestat", "ldd "),
]


@pytest.mark.parametrize(("version", "inside", "place", "lacks", "remedy"), LOADED)
def test_the_library_that_both_have_loaded_is_asked_which_calls_it_lacks(  # noqa: PLR0917
    node: Node, version: str, inside: str, place: str, lacks: str, remedy: str | None
) -> None:
    _runtime(node, "runc", _library(version))
    with (node.programs / "runc").open("a") as program:
        program.write(f"{inside}\n")
    loaded = (version, place.format(prefix=node.places.prefix))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(libseccomp_version, "loaded", lambda: loaded)
        patch.setattr(syscall_names, "known_to_libseccomp", lambda names: {*names} - {lacks})
        found = [*runtime_checks.libseccomp(node.places)]
    told = f"uses libseccomp {version}, which does not know {lacks}"
    assert [told in each.sentence for each in found] == [True] * (remedy is not None)
    assert all(str(remedy) in each.remedy for each in found)


def test_a_denied_call_that_the_library_does_not_know_stays_allowed(node: Node) -> None:
    rule = {"names": ["mseal", "mount"], "action": "SCMP_ACT_ERRNO"}
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    _runtime(node, "runc", _library("2.5.5"))
    node.apply('[default]\nprofile = "localhost/own.json"\n', own=json.dumps(profile).encode())
    [found] = [each for each in runtime_checks.libseccomp(node.places) if each.severity != "note"]
    told = "does not know mseal, which a profile in force denies: they stay allowed"
    assert told in found.sentence
