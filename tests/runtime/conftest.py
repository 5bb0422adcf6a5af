"""The two runtimes, bare and wrapped.

RUNC_WRAP_TEST_AGENT=1 runs an agent for every installation: what is tested must not differ.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from harness.containers import bundles
from harness.host.processes import short_directory
from harness.node import agent, install
from harness.node.requirements import program, requires

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from harness.containers.bundles import Bundle


WITH_AGENT = os.environ.get("RUNC_WRAP_TEST_AGENT") == "1"


@dataclass(frozen=True)
class Pair:
    """One real runtime, and an installation that wraps it."""

    kind: str
    bare: str
    installed: install.Installed

    @property
    def wrapped(self) -> Path:
        return self.installed.wrapper


@pytest.fixture(scope="session")
def pairs(
    installed: install.Installed, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Pair]]:
    requires("runc", "crun", "unshare", root=True)
    made = {}
    with ExitStack() as agents:
        for kind in ("runc", "crun"):
            own = install.copy_of(installed, tmp_path_factory.mktemp(kind) / "prefix")
            own.configure(f'runtime = ["{kind}"]\n')
            made[kind] = Pair(kind, program(kind), own)
            if WITH_AGENT:
                agents.enter_context(agent.running(own))
        yield made
        if WITH_AGENT:
            assert [kind for kind in made if not _asked_the_agent(made[kind].installed)] == []


def _asked_the_agent(installed: install.Installed) -> bool:
    """Return whether the agent decided some create here."""
    ledger = installed.prefix / "var" / "ledger" / "ledger.jsonl"
    return ledger.exists() and '"via":"agent"' in ledger.read_text()


@pytest.fixture
def own_installation(own_installation: install.Installed) -> Iterator[install.Installed]:
    """As everywhere, and with an agent if all are to have one."""
    with ExitStack() as agents:
        if WITH_AGENT:
            agents.enter_context(agent.running(own_installation))
        yield own_installation


@pytest.fixture(params=["runc", "crun"])
def pair(request: pytest.FixtureRequest, pairs: dict[str, Pair]) -> Pair:
    return pairs[request.param]


@pytest.fixture
def runc(pairs: dict[str, Pair]) -> Pair:
    return pairs["runc"]


@pytest.fixture
def make_bundle(tmp_path: Path, pairs: dict[str, Pair]) -> Iterator[Callable[..., Bundle]]:
    """Make bundles; their containers are removed when the test ends, in any case."""
    made: list[Bundle] = []
    numbers = count()

    def make(kind: str, annotations: dict[str, Any] | None = None, **linux: Any) -> Bundle:
        bundle = bundles.make(tmp_path / f"bundle{next(numbers)}", kind, annotations, **linux)
        made.append(bundle)
        return bundle

    yield make
    with ThreadPoolExecutor(4) as several:
        list(several.map(lambda bundle: bundle.delete(pairs[bundle.kind].bare), made))


@pytest.fixture
def node(installed: install.Installed) -> Iterator[install.Installed]:
    """A separate installation, whose path is short enough for sockets."""
    requires(root=True)
    with short_directory("agent") as place:
        yield install.copy_of(installed, place / "p")


@pytest.fixture(name="agent")
def _agent(node: install.Installed) -> Iterator[agent.Agent]:
    with agent.running(node) as started:
        yield started
