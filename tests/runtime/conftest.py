"""The two runtimes, bare and wrapped.

RUNC_WRAP_TEST_AGENT=1 runs an agent for every installation: what is tested must not differ.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from harness.containers import bundles, logged_calls
from harness.containers.bundles import Bundle
from harness.host.processes import short_directory
from harness.node import agent, install
from harness.node.requirements import program, requires

# What is tested on both runtimes in a room whose `pair` is runc alone.
BOTH = pytest.mark.parametrize("pair", ["runc", "crun"], indirect=True)
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


class Lab:
    """One runtime, and what a test needs of it; each is made when it is first asked for."""

    def __init__(self, pair: Pair, request: pytest.FixtureRequest) -> None:
        self.pair, self.kind, self.bare = pair, pair.kind, pair.bare
        self.wrapped, self.installed = pair.wrapped, pair.installed
        self._asked = request.getfixturevalue

    @property
    def node(self) -> install.Installed:
        """An installation of the test's own; `wrapped` is of the one that all tests share."""
        found: install.Installed = self._asked("node")
        return found

    @property
    def wrapper(self) -> Path:
        return self.node.wrapper

    def configure(self, text: str = "") -> None:
        """Put these settings in force in `node`, with the runtime's name."""
        self.node.configure(f'runtime = ["{self.kind}"]\n{text}')

    def mode(self, mode: str) -> None:
        """Put a mode in force in `node`."""
        self.configure(f'[default]\nmode = "{mode}"\n')

    def workload(self, bundle: Bundle, *words: str) -> dict[str, Any]:
        """Return a container's workload in the report of `node`."""
        return self.node.workload(bundle.name, *words)

    @contextmanager
    def agent(self) -> Iterator[agent.Agent]:
        """Run the agent of `node`, which is ready, in the block."""
        with agent.running(self.node) as started:
            started.wait_ready()
            yield started

    def built(self, name: str) -> Path:
        """Return the program of harness/programs."""
        found: Path = self._asked("built")(name)
        return found

    def bundle(self, annotations: dict[str, Any] | None = None, **linux: Any) -> Bundle:
        """Make a bundle whose container sleeps."""
        made: Bundle = self._asked("make_bundle")(self.kind, annotations, **linux)
        return made

    def running(self, program: str, *words: object, **more: Any) -> Bundle:
        """Make a bundle whose container executes a program of harness/programs."""
        return self.bundle().running(self.built(program), *words, **more)

    def run(self, program: str, *words: object, seconds: float = 60) -> Bundle:
        """Run such a container to its end, which must be a good one, by `node`."""
        bundle = self.running(program, *words)
        done = bundle.call(self.wrapper, "run", seconds=seconds)
        assert done.returncode == 0, done.stdout
        return bundle

    def calls(
        self, *calls: str, by: Path | str | None = None, bundle: Bundle | None = None
    ) -> dict[str, str]:
        """Make calls in a container of `node`, or by another runtime (logged_calls.make)."""
        program = self.built(logged_calls.PROGRAM)
        return logged_calls.make(bundle or self.bundle(), by or self.wrapper, program, *calls)

    def under(self, block: dict[str, Any] | None, *calls: str) -> dict[str, str]:
        """Make calls under a seccomp block, or none, by the bare runtime."""
        linux = {} if block is None else {"seccomp": block}
        return self.calls(*calls, by=self.bare, bundle=self.bundle(**linux))

    def own_profile(self, document: dict[str, Any], name: str = "own") -> None:
        """Write the owner's profile localhost/NAME.json of `node`; `configure` compiles it."""
        profiles = self.node.prefix / "etc" / "profiles"
        profiles.mkdir(exist_ok=True)
        (profiles / f"{name}.json").write_text(json.dumps(document))


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
def lab(pair: Pair, request: pytest.FixtureRequest) -> Lab:
    return Lab(pair, request)


@pytest.fixture
def runc(pairs: dict[str, Pair], request: pytest.FixtureRequest) -> Lab:
    return Lab(pairs["runc"], request)


@pytest.fixture
def crun(pairs: dict[str, Pair], request: pytest.FixtureRequest) -> Lab:
    return Lab(pairs["crun"], request)


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


@pytest.fixture
def everybodys(installed: install.Installed) -> Iterator[install.Installed]:
    """A separate installation whose launcher every user may execute."""
    requires("setpriv", "unshare", root=True)
    with short_directory("everybodys", 0o755) as place:
        own = install.copy_of(installed, place / "p")
        releases = own.prefix / "lib" / "releases"
        releases.unlink()
        shutil.copytree(installed.release, releases / installed.release.name, symlinks=True)
        yield own


@pytest.fixture(name="agent")
def _agent(node: install.Installed) -> Iterator[agent.Agent]:
    with agent.running(node) as started:
        yield started
