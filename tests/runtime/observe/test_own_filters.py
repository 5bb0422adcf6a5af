"""In observe a call that the container's own filter refuses is not made; all others continue."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.containers import bundles
from harness.containers.bundles import Bundle
from harness.host.processes import short_directory, wait_until
from harness.node import agent as agents
from harness.node import install
from harness.node.agent import Agent
from tests.runtime.conftest import BOTH, Lab, Pair

KEYCTL = "250"  # denied by the default profile; made, keyctl(99) gets EOPNOTSUPP
GETPID = "39"  # allowed
MADE, NO_CALL, BUSY, NOT_PERMITTED = "-1 95", "-1 38", "-1 16", "-1 1"
ACTIONS = {
    "allow": MADE,
    "log": MADE,
    "trace": NO_CALL,
    "notify": NO_CALL,  # nobody listens
    "errno": BUSY,
    "trap": "SIGSYS",
    "kill": "signal 31",
}
HOW = ["prctl", "seccomp", "prctl86", "seccomp86"]
Said = Callable[..., dict[str, str]]


@pytest.fixture(scope="module")
def said(
    pairs: dict[str, Pair], built: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Said]:
    """Run own_filter in a container; return its output. `bare` is without us."""
    with short_directory("filters") as place:
        node = install.copy_of(pairs["runc"].installed, place / "p")
        node.configure('runtime = ["runc"]\n[default]\nmode = "observe"\n')

        def run(*words: str, bare: bool = False) -> dict[str, str]:
            bundle = bundles.make(tmp_path_factory.mktemp("said") / "b", "runc")
            bundle.running(built("own_filter"), *words)
            done = bundle.call(pairs["runc"].bare if bare else node.wrapper, "run")
            assert done.returncode == 0, done.stdout
            return dict(line.split(" ", 1) for line in done.stdout.splitlines())

        with agents.running(node) as agent:
            yield run
            assert agent.never_ended


@pytest.mark.parametrize("action", sorted(ACTIONS))
def test_each_action_of_a_programs_filter_works_as_without_us(said: Said, action: str) -> None:
    words = ("seccomp", action, KEYCTL, "thread")
    ours = said(*words)
    assert ours == said(*words, bare=True)
    assert ours["filtered"] == ACTIONS[action]
    assert ours.get("other", MADE) == MADE  # the thread that has no such filter


def test_a_program_cannot_install_a_second_listener(said: Said) -> None:
    assert said("seccomp", "listener", KEYCTL)["installed"] == "16"  # EBUSY


@pytest.mark.parametrize(("action", "verdict"), [("notify", None), ("trace", "denied")])
def test_calls_to_a_missing_listener_are_not_received_and_the_report_says_so(
    lab: Lab, agent: Agent, action: str, verdict: str | None
) -> None:
    bundle = lab.run("own_filter", "seccomp", action, KEYCTL)
    assert agent.never_ended
    found = lab.workload(bundle)
    assert found["verdict"] == verdict, found["reason"]
    assert ("a listener that does not exist" in str(found["reason"])) is (verdict is None)


@pytest.mark.parametrize("mode", ["audit", "observe"])
def test_a_program_that_asks_for_strict_mode_by_seccomp_is_unknown(lab: Lab, mode: str) -> None:
    """Bare, it gets it: the kernel refuses it only to a process that has a filter."""
    lab.mode(mode)
    bundle = lab.running("own_filter", "strict", "allow", GETPID)
    with lab.agent():
        assert "installed 22" in bundle.call(lab.wrapper, "run").stdout

        def reason() -> str:
            return str(lab.workload(bundle)["reason"])

        why = "filters of their own" if mode == "audit" else "asked for strict mode"
        wait_until(lambda: why in reason(), "what the program asked for", 30)


@pytest.mark.parametrize("how", HOW)
def test_a_traced_call_is_not_made_whatever_call_installed_the_filter(said: Said, how: str) -> None:
    found = said(how, "trace", KEYCTL)
    assert (found["installed"], found["filtered"]) == ("0", NO_CALL)


@pytest.mark.parametrize("tracer", ["injects", "passes"])
def test_a_call_left_to_a_tracer_is_refused(said: Said, tracer: str) -> None:
    found = said("seccomp", "trace", KEYCTL, tracer, "thread")
    assert (found["filtered"], found["other"]) == (NOT_PERMITTED, MADE)


@BOTH
def test_a_joining_process_has_its_own_listener_with_the_same_guarantee(
    lab: Lab, agent: Agent
) -> None:
    bundle = lab.bundle()
    shutil.copy(lab.built("own_filter"), bundle.path / "rootfs" / "own_filter")
    try:
        bundle.create(lab.wrapper)
        for action, result in (("trace", NO_CALL), ("allow", MADE)):
            words = ("/own_filter", "seccomp", action, KEYCTL, "thread")
            done = bundle.call(lab.wrapper, "exec", after=words)
            assert f"filtered {result}" in done.stdout
            assert f"other {MADE}" in done.stdout
    finally:
        bundle.delete(lab.bare)
    assert agent.never_ended


def test_the_next_service_knows_the_filters_of_a_killed_or_stopped_one(lab: Lab) -> None:
    words = ("seccomp", "trace", KEYCTL, "stays", "thread", "writes")
    bundle = lab.running("own_filter", *words)
    output = bundle.path / "rootfs" / "output"
    with agents.supervised(lab.node) as agent:
        try:
            bundle.create(lab.wrapper)
            wait_until(lambda: b"other" in _read(output), "the first calls")
            _ask_again(bundle, output, "filtered -1 38")
            os.kill(agent.observe, signal.SIGKILL)
            _ask_again(bundle, output, "filtered -1 38")
            agent.control("stop", "runc-wrap-observe")
            agent.control("start", "runc-wrap-observe")
            _ask_again(bundle, output, "filtered -1 38")
            assert b"95" in _read(output)  # of the other thread
        finally:
            bundle.delete(lab.bare)


def _ask_again(bundle: Bundle, output: Path, expected: str) -> None:
    """Make the container's program repeat its call."""
    before = _read(output).count(b"filtered")
    child = Path(f"/proc/{bundle.pid}/task/{bundle.pid}/children").read_text().split()[0]
    os.kill(int(child), signal.SIGUSR1)
    wait_until(lambda: _read(output).count(b"filtered") > before, "one more call", 20)
    assert _read(output).decode().splitlines()[-1] == expected


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""
