"""Creates through the launcher and the agent, whatever happens to it; callers that are others."""

import contextlib
import json
import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.containers import bundles
from harness.containers.bundles import Bundle
from harness.host.processes import attempt, traced, wait_until
from harness.node import agent as agents
from harness.node import install
from harness.node.agent import Agent
from harness.node.install import Installed
from harness.node.requirements import requires
from runc_wrap.agent.decide import launcher_packet
from runc_wrap.hotpath.create_facts import bounding
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.profiles import builtin, platform
from runc_wrap.profiles.profile_compiler import compile_profile
from tests.runtime.conftest import Lab

MANY, FEW = 100, 3
MEMORY = ("mmap", "mremap", "munmap", "brk")


def _mostly_agent(ways: list[list[str]]) -> bool:
    """Return whether the agent alone decided more than half: it may be late for some."""
    assert all(way in (["agent"], ["cold"], ["agent", "cold"]) for way in ways), ways
    return ways.count(["agent"]) > len(ways) / 2


def test_an_engines_default_is_taken_over_through_the_agent(runc: Lab, agent: Agent) -> None:
    runc.configure('[default]\nadopt = "runtime-default, also weaker"\n')
    name = json.loads(runc.node.control("apply", "--json").stdout)["runtime_default"]["unknown"]
    made = compile_profile(builtin.load(name), arch=platform.goarch(), kernel=platform.kernel())
    brought = resolve(made, bounding(runc.bundle().read()))
    opted = {"runc-wrap/seccomp": "unconfined"}
    assert runc.bundle(opted, seccomp=brought).seccomp(runc.bare) == 2
    several = [runc.bundle(each, seccomp=brought) for each in ({}, opted) for _ in range(FEW)]
    found = [one.seccomp(runc.wrapper) for one in several]
    assert found == [2] * FEW + [0] * FEW
    lines = [runc.node.ledger(one.name) for one in several]
    assert {each[-1]["replaced"] for each in lines} == {name}
    assert _mostly_agent([[line["via"] for line in each] for each in lines])
    assert agent.never_ended


def test_a_hundred_creates_at_once_are_all_confined(
    own_installation: Installed, tmp_path: Path
) -> None:
    """/bin/true is the runtime: only the path to it is measured."""
    install.use_runtime(own_installation, "/bin/true")
    made = [bundles.make(tmp_path / f"b{n}", "runc") for n in range(MANY)]
    with agents.running(own_installation), ThreadPoolExecutor(MANY) as pool:
        calls = [bundle.argv(own_installation.wrapper, "create") for bundle in made]
        assert [done.returncode for done in pool.map(attempt, calls)] == [0] * MANY
    assert all("seccomp" in bundle.read()["linux"] for bundle in made)
    lines = [own_installation.ledger(each.name) for each in made]
    assert _mostly_agent([[line["via"] for line in each] for each in lines])


def _blocks(bundle: Bundle) -> list[str]:
    """Return the default action of each "seccomp" in the text: of one, unless put in twice."""
    text = bundle.config.read_text()
    return [bundle.read()["linux"]["seccomp"]["defaultAction"]] * text.count('"seccomp":')


def _steps_of_one_answer(agent: Agent, bundle: Bundle, log: Path) -> list[str]:
    """Return the service's system calls for a create, as strace selects them: NAME:when=COUNT."""
    with traced(agent.decide, log):
        assert agents.ask(agent.prefix, bundle.kind, *bundle.argv("", "create")[1:])[1] == b"rename"
        time.sleep(0.2)
    names = [line.partition("(")[0] for line in log.read_text().splitlines()]
    steps = [f"{name}:when={names[: at + 1].count(name)}" for at, name in enumerate(names)]
    return [step for step in steps if step.partition(":")[0] not in MEMORY]


def test_an_agent_killed_at_any_step_loses_no_container(
    own_installation: Installed, tmp_path: Path
) -> None:
    """The service dies at each of its system calls in turn."""
    requires("strace", root=True)
    install.use_runtime(own_installation, "/bin/true")
    with agents.running(own_installation) as agent:
        first = bundles.make(tmp_path / "first", "runc")
        steps = _steps_of_one_answer(agent, first, tmp_path / "log")
    assert 20 < len(steps) < 60
    via = set()
    for step in steps:
        bundle = bundles.make(tmp_path / step, "runc")
        name, _, when = step.partition(":")
        with agents.running(own_installation) as agent:
            kill = f"--inject={name}:signal=KILL:{when}"
            with traced(agent.decide, tmp_path / "log", kill):
                done = attempt(bundle.argv(own_installation.wrapper, "create"))
        assert done.returncode == 0, f"{step}: {done.stderr}"
        assert _blocks(bundle) == ["SCMP_ACT_ERRNO"], step
        lines = own_installation.ledger(bundle.name)
        assert len({line["digest"] for line in lines}) == 1, step
        via.add(tuple(line["via"] for line in lines))
    # died before the ledger, between ledger and answer, and after the answer: a launcher on a busy
    # machine may not have waited for that
    assert {("cold",), ("agent", "cold")} <= via <= {("cold",), ("agent", "cold"), ("agent",)}


def test_a_users_own_containers_take_the_cold_path(everybodys: Installed, tmp_path: Path) -> None:
    place = everybodys.prefix.parent
    install.use_runtime(everybodys, "/bin/true")
    with agents.running(everybodys):
        for inside in ([], ["unshare", "--user", "--map-root-user"]):
            bundle = bundles.make(place / f"b{len(inside)}", "runc")
            for path in (bundle.path, bundle.config):
                os.chown(path, 1000, 1000)
            user = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"]
            words = [*user, *inside, str(everybodys.wrapper), "create", "--bundle"]
            done = attempt([*words, str(bundle.path), bundle.name])
            assert done.returncode == 0, done.stderr
            assert _blocks(bundle) == ["SCMP_ACT_ERRNO"]
            assert everybodys.ledger(bundle.name) == []
        controls = [bundles.make(tmp_path / f"control{n}", "runc") for n in range(FEW)]
        for control in controls:
            attempt(control.argv(everybodys.wrapper, "create"))
        lines = [everybodys.ledger(control.name) for control in controls]
        assert _mostly_agent([[line["via"] for line in each] for each in lines])


def _connected(node: Path) -> socket.socket:
    caller = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    caller.settimeout(60)
    caller.connect(str(agents.socket_of(node)))
    return caller


def test_a_silent_caller_is_disconnected_after_a_second(agent: Agent) -> None:
    started = time.monotonic()
    with _connected(agent.prefix) as silent:
        assert silent.recv(1) == b""
        assert 0.8 < time.monotonic() - started < 60


def test_a_second_request_on_one_connection_is_not_answered(agent: Agent) -> None:
    with _connected(agent.prefix) as caller:
        caller.send(agents.request("runc", "create"))
        assert caller.recv(99) == launcher_packet.COLD
        caller.send(agents.request("runc", "create"))
        with pytest.raises(ConnectionResetError):
            caller.recv(99)


def test_a_request_that_is_too_long_is_rejected(agent: Agent) -> None:
    with _connected(agent.prefix) as caller:
        caller.send(agents.request("runc", "create", "x" * launcher_packet.LARGEST))
        assert caller.recv(99) == launcher_packet.COLD


def test_thousands_of_silent_callers_cost_no_more_than_a_wait(agent: Agent) -> None:
    """Callers beyond its limit wait to be accepted, and are served in order."""
    with contextlib.ExitStack() as stack:
        for _ in range(600):
            stack.enter_context(_connected(agent.prefix))
        time.sleep(0.3)
        assert len(list(Path(f"/proc/{agent.decide}/fd").iterdir())) < 300
        wait_until(lambda: agents.ask(agent.prefix, "x", "") != [], "an answer", 20)


_A_CALLER = """
import socket, sys
caller = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
caller.settimeout(5)
caller.connect(sys.argv[1])
try:
    caller.send(b"x\\0")
    print(caller.recv(99))
except (ConnectionResetError, BrokenPipeError):
    print("hung up")
"""


def test_another_user_is_disconnected(agent: Agent, node: Installed) -> None:
    """Even if the directory lets them in."""
    requires("setpriv")
    path = agents.socket_of(node.prefix)
    for directory in (path.parent, *path.parent.parents):
        if directory.is_relative_to("/tmp") and directory != Path("/tmp"):
            directory.chmod(0o755)
    path.chmod(0o666)
    argv = ["/usr/bin/python3", "-c", _A_CALLER, str(path)]
    user = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"]
    assert attempt(argv).stdout == f"{launcher_packet.COLD!r}\n"
    assert attempt([*user, *argv]).stdout in {"b''\n", "hung up\n"}
    assert agent.never_ended


def test_a_new_config_that_no_launcher_took_is_removed(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"linux":{}}')
    packet = agents.request("runc", "create", "--bundle", str(tmp_path), "ID")

    def is_removed() -> bool:
        return len(list(tmp_path.iterdir())) == 1

    for _ in range(3):
        with _connected(agent.prefix) as caller:
            caller.send(packet)  # it is gone before the answer
    with agents.asking(agent.prefix, packet) as answer:
        assert Path(os.fsdecode(answer[5])).exists()
        wait_until(is_removed, "its removal while the launcher waits")
    with agents.asking(agent.prefix, packet) as answer:
        assert not is_removed()
    wait_until(is_removed, "its removal")
    with agents.asking(agent.prefix, packet) as answer:
        os.kill(agent.decide, signal.SIGTERM)
        wait_until(is_removed, "its removal at the end")
