"""What is taken from an engine's answers, and what is refused; real engines: tests/engine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from runc_wrap.engines.capture import capture_run
from runc_wrap.engines.transaction import transaction_revert
from runc_wrap.host import locks
from runc_wrap.hotpath.main import own_capabilities
from runc_wrap.profiles import builtin
from runc_wrap.profiles.source_profile import ProfileError
from tests.unit.cli import ctl
from tests.unit.node import machine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.cli.ctl import Node

BPF = {"names": ["bpf"], "action": "SCMP_ACT_ALLOW"}
BLOCK: dict[str, Any] = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}],
}
# Answers as the launcher does, to each request; ANSWER writes to the request's file.
PODMAN = """
case $1 in --version) echo podman version 5.4.2; exit ;; ps) exit ;; esac
caps= token=$RUNC_WRAP_CAPTURE
for word; do
    case $word in
        *$token*) echo 'the token is in a command line, which every user can read' >&2; exit 1 ;;
        --cap-add=*) caps="$caps,\\"${word#*=}\\"" ;;
    esac
done
echo asked >>CALLS
caps="[${caps#,}]"
ANSWER
echo 'Error: refused as always' >&2
exit 126
"""
ANSWER = """printf '{"bounding":%s,"seccomp":%s}' "$caps" 'BLOCK' >REQUESTS/$token"""


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    made = ctl.node(tmp_path, monkeypatch)
    made.places.var.mkdir(parents=True)
    return made


@pytest.fixture
def podman(node: Node) -> Callable[..., Path]:
    """Return a function that installs a Podman with this answer."""

    def install(answer: str = ANSWER, block: Any = BLOCK) -> Path:
        calls = node.programs / "calls"
        script = PODMAN.replace("ANSWER", answer).replace("BLOCK", json.dumps(block))
        script = script.replace("REQUESTS", str(node.places.capture)).replace("CALLS", str(calls))
        machine.fake(node.programs, "podman", script)
        return calls

    return install


def test_only_the_capabilities_that_may_matter_are_asked_for_one_by_one(
    node: Node, podman: Callable[..., Path]
) -> None:
    calls = podman()
    captured, blocks = capture_run.capture(node.places, "podman")
    known = builtin.deciding_capabilities() & own_capabilities()
    assert len(blocks) == len(known) + 4
    assert len(calls.read_text().splitlines()) == len(blocks)
    assert (captured.version, json.loads(captured.profile)) == ("5.4.2", BLOCK)
    assert not node.places.capture.exists()


@pytest.mark.parametrize("brings", [True, False])
def test_a_capability_that_no_default_was_known_to_depend_on_is_found(
    node: Node, podman: Callable[..., Path], brings: bool
) -> None:
    more = {**BLOCK, "syscalls": [*BLOCK["syscalls"], BPF]}
    with_it, without = (more, BLOCK) if brings else (BLOCK, more)
    answers = [ANSWER.replace("BLOCK", json.dumps(each)) for each in (with_it, without)]
    podman("case $caps in *KILL*) {} ;; *) {} ;; esac".format(*answers))
    captured, blocks = capture_run.capture(node.places, "podman")
    assert len(blocks) == len(own_capabilities()) + 4
    key = "includes" if brings else "excludes"
    assert {**BPF, key: {"caps": ["CAP_KILL"]}} in json.loads(captured.profile)["syscalls"]


def _instead(block: str) -> str:
    return ANSWER.replace("BLOCK", block)


HUGE = "/bin/dd if=/dev/zero of=REQUESTS/$token bs=1M count=2 2>/dev/null"
DEEP = "printf '%0200000d' 0 | /usr/bin/tr 0 '[' >REQUESTS/$token"
OTHERS = ANSWER.replace('"$caps"', """'["CAP_KILL"]'""")
BAD: dict[str, tuple[str, str]] = {
    "no call": (":", "podman did not hand a container with no capability to runc-wrap: Error: "),
    "too much": (HUGE, "is larger than 1048576 bytes"),
    "no JSON": ("echo x >REQUESTS/$token", "podman: not JSON at line 1"),
    "deep": (DEEP, "nested too deeply"),
    "a list": ("echo '[]' >REQUESTS/$token", "podman's record is not one of this release"),
    "no block": (_instead("{}"), "with no capability no seccomp profile"),
    "an unknown action": (_instead('{"defaultAction":"SCMP_ACT_SING"}'), "podman: defaultAction: "),
    "an unknown field": (_instead('{"defaultAction":"SCMP_ACT_LOG","more":1}'), "podman: more: "),
    "others": (OTHERS, "was asked for a container with no capability and gave it CAP_KILL"),
}


@pytest.mark.parametrize("answer", BAD)
def test_an_answer_that_is_not_a_profile_is_refused_and_nothing_is_stored(
    node: Node, podman: Callable[..., Path], answer: str
) -> None:
    text, said = BAD[answer]
    podman(text)
    failure = node.failure("profile", "capture", "podman")
    assert said in failure
    assert not node.places.captured.exists()
    assert not node.places.capture.exists()


def test_a_default_that_depends_on_two_capabilities_at_once_is_refused(
    node: Node, podman: Callable[..., Path]
) -> None:
    other = json.dumps(BLOCK).replace("read", "write")
    many = ANSWER.replace("BLOCK", other)
    podman(f"case $caps in *,*) {many} ;; *) {ANSWER} ;; esac")
    with pytest.raises(ProfileError, match=r"no profile in moby's format gives what it applies"):
        capture_run.capture(node.places, "podman")


def test_what_a_killed_capture_left_is_nobodys_request_any_more(
    node: Node, podman: Callable[..., Path]
) -> None:
    node.places.capture.mkdir()
    (node.places.capture / ("a" * 32)).touch()
    podman()
    capture_run.capture(node.places, "podman")
    assert not node.places.capture.exists()


def test_no_engine_is_asked_while_it_is_changed_or_proved(
    node: Node, podman: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Docker's canary and its requests have the same image, which each removes at its end."""
    monkeypatch.setattr(locks, "PATIENCE", 0.0)
    calls = podman()
    with transaction_revert.exclusive(node.places):
        assert "has held this lock" in node.failure("profile", "capture", "podman")
    assert not calls.exists()


NEWER = {"dockerd": "echo Docker version 26.1.5, build x", "docker": "echo 25.0.3"}
SILENT = {"containerd": "echo containerd github.com/containerd/containerd 1.7.24 x"}
REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "podman": ({}, "no podman answers to --version"),
    "docker": (NEWER, "docker 25.0.3 runs, and 26.1.5 is installed"),
    "containerd": (SILENT, "does not answer: "),
}


@pytest.mark.parametrize("engine", REFUSED)
def test_an_engine_that_is_not_the_installed_one_is_not_asked(node: Node, engine: str) -> None:
    programs, said = REFUSED[engine]
    for name, script in programs.items():
        machine.fake(node.programs, name, script)
    assert said in node.failure("profile", "capture", engine)
