"""Creates through the launcher and the agent, on real runtimes, whatever happens to the agent."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from harness.containers import bundles
from harness.host.processes import attempt, short_directory, wait_until
from harness.kernel import process_status
from harness.kernel.strace import traced
from harness.node import agent as agents
from harness.node import install
from harness.node.requirements import requires
from runc_wrap.hotpath.create_facts import bounding
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.profiles import builtin, platform
from runc_wrap.profiles.profile_compiler import compile_profile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from harness.containers.bundles import Bundle
    from harness.node.agent import Agent
    from tests.runtime.conftest import Pair

MANY, FEW = 100, 3
MEMORY = ("mmap", "mremap", "munmap", "brk")


@pytest.fixture
def agent(pair: Pair) -> Iterator[Agent]:
    with agents.running(pair.installed) as started:
        yield started


def _via(pair: Pair, bundle: Bundle) -> list[str]:
    return [line["via"] for line in pair.installed.ledger(bundle.name)]


def _mostly_agent(ways: list[list[str]]) -> bool:
    """Return whether the agent alone decided more than half: it may be late for some."""
    assert all(way in (["agent"], ["cold"], ["agent", "cold"]) for way in ways), ways
    return ways.count(["agent"]) > len(ways) / 2


def _left(bundle: Bundle) -> list[Path]:
    return [*bundle.path.glob(".config*")]


def test_a_container_is_confined_through_the_agent(
    pair: Pair, agent: Agent, make_bundle: Callable[..., Bundle]
) -> None:
    several = [make_bundle(pair.kind) for _ in range(FEW)]
    assert [process_status.seccomp(one.create(pair.wrapped)) for one in several] == [2] * FEW
    assert _mostly_agent([_via(pair, one) for one in several])
    with_agent = next(one for one in several if _via(pair, one) == ["agent"])
    assert _left(with_agent) == []
    agents.stop(agent)
    without = make_bundle(pair.kind)
    assert process_status.seccomp(without.create(pair.wrapped)) == 2
    assert _via(pair, without) == ["cold"]
    assert with_agent.read()["linux"]["seccomp"] == without.read()["linux"]["seccomp"]


def test_an_engines_default_is_taken_over_through_the_agent(
    pair: Pair, agent: Agent, make_bundle: Callable[..., Bundle]
) -> None:
    runtime = f'runtime = ["{pair.kind}"]\n'
    pair.installed.configure(f'{runtime}[default]\nadopt = "runtime-default, also weaker"\n')
    try:
        name = json.loads(pair.installed.control("apply", "--json").stdout)["runtime_default"]
        brought = _default(name["unknown"], make_bundle(pair.kind).read())
        confined = [make_bundle(pair.kind, seccomp=brought) for _ in range(FEW)]
        opted = {"runc-wrap/seccomp": "unconfined"}
        exempt = [make_bundle(pair.kind, opted, seccomp=brought) for _ in range(FEW)]
        assert process_status.seccomp(exempt[0].create(pair.bare)) == 2
        exempt[0] = make_bundle(pair.kind, opted, seccomp=brought)
        modes = [process_status.seccomp(one.create(pair.wrapped)) for one in [*confined, *exempt]]
        assert modes == [2] * FEW + [0] * FEW
        lines = [pair.installed.ledger(one.name)[-1] for one in [*confined, *exempt]]
        assert {line["replaced"] for line in lines} == {name["unknown"]}
        assert _mostly_agent([_via(pair, one) for one in [*confined, *exempt]])
    finally:
        pair.installed.configure(runtime)
    assert agent.never_ended


def _default(name: str, config: dict[str, Any]) -> dict[str, Any]:
    """Return a built-in profile's block for a container with this config."""
    kernel = platform.kernel()
    compiled = compile_profile(builtin.load(name), arch=platform.goarch(), kernel=kernel)
    return resolve(compiled, bounding(config))


def test_a_create_that_the_policy_refuses_is_refused_by_the_cold_path(
    pair: Pair, agent: Agent, make_bundle: Callable[..., Bundle]
) -> None:
    bundle = make_bundle(pair.kind, {"runc-wrap/seccomp": "localhost/none.json"})
    done = bundle.call(pair.wrapped, "create")
    assert done.returncode == 1
    assert "localhost/none.json" in done.stdout
    assert _via(pair, bundle) == []
    assert agent.never_ended


def test_a_hundred_creates_at_once_are_all_confined(
    own_installation: install.Installed, tmp_path: Path
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


def test_a_stopped_agent_costs_no_container(
    pair: Pair, agent: Agent, make_bundle: Callable[..., Bundle]
) -> None:
    bundle = make_bundle(pair.kind)
    service = agent.decide
    os.kill(service, signal.SIGSTOP)
    try:
        assert process_status.seccomp(bundle.create(pair.wrapped)) == 2
        assert _via(pair, bundle) == ["cold"]
    finally:
        os.kill(service, signal.SIGCONT)
    agent.wait_answering()
    wait_until(lambda: _left(bundle) == [], "what was made too late to be removed")
    assert _blocks(bundle) == ["SCMP_ACT_ERRNO"]
    assert _via(pair, bundle) == ["cold"]


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
    own_installation: install.Installed, tmp_path: Path
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


def test_a_users_own_containers_take_the_cold_path() -> None:
    requires("setpriv", "unshare", root=True)
    user = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"]
    with short_directory("rootless") as place:
        place.chmod(0o755)
        installed = install.install(place / "prefix")
        install.use_runtime(installed, "/bin/true")
        with agents.running(installed):
            for inside in ([], ["unshare", "--user", "--map-root-user"]):
                bundle = bundles.make(place / f"b{len(inside)}", "runc")
                for path in (bundle.path, bundle.config):
                    os.chown(path, 1000, 1000)
                words = [*user, *inside, str(installed.wrapper), "create", "--bundle"]
                done = attempt([*words, str(bundle.path), bundle.name])
                assert done.returncode == 0, done.stderr
                assert _blocks(bundle) == ["SCMP_ACT_ERRNO"]
                assert installed.ledger(bundle.name) == []
            controls = [bundles.make(place / f"control{n}", "runc") for n in range(FEW)]
            for control in controls:
                attempt(control.argv(installed.wrapper, "create"))
            lines = [installed.ledger(control.name) for control in controls]
            assert _mostly_agent([[line["via"] for line in each] for each in lines])


def test_killing_either_service_at_any_moment_loses_no_container(
    pair: Pair,
    node: install.Installed,
    make_bundle: Callable[..., Bundle],
) -> None:
    """Real containers, while the services die; seeded, so that it is repeatable."""
    node.configure(f'runtime = ["{pair.kind}"]\n')
    chance = random.Random(4)  # noqa: S311 - no secret
    over = threading.Event()

    def kill() -> None:
        while not over.wait(chance.random() * 0.2):
            for pid in running.both:
                if pid and chance.random() < 0.5:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)

    with agents.supervised(node) as running:
        killer = threading.Thread(target=kill)
        killer.start()
        try:
            made = [make_bundle(pair.kind) for _ in range(20)]
            filters = [process_status.seccomp(bundle.create(node.wrapper)) for bundle in made]
        finally:
            over.set()
            killer.join()
        running.wait_both()
    assert filters == [2] * len(made)
    assert [len(_blocks(bundle)) for bundle in made] == [1] * len(made)
    assert all(node.ledger(bundle.name) for bundle in made)
