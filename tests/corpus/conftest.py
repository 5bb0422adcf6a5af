"""The nodes, and what is measured of a module's programs before its tests check it."""

import os
from collections.abc import Iterator

import pytest

from harness.host.processes import short_directory
from harness.node import install
from harness.node.install import Installed
from harness.node.requirements import machine, requires
from tests.corpus import measure, nodes
from tests.corpus.catalogue import Entry, sample
from tests.corpus.measure import Measured
from tests.corpus.nodes import Node

# Programs instead of a sample: 999 are all
WHOLE = int(os.environ.get("RUNC_WRAP_TEST_CORPUS", "0"))
LONG = pytest.mark.timeout(5400 if WHOLE else 1200)  # the first test waits for all programs to run


def chosen(count: int, seed: int) -> list[Entry]:
    """Return a sample of so many programs, all of which are there."""
    found = sample(WHOLE or count, seed)
    requires(*(need for entry in found for need in entry.needs.split()))
    return found


@pytest.fixture(scope="session")
def crun(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    yield from _node("crun", installed, tmp_path_factory)


@pytest.fixture(scope="session")
def runc(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    yield from _node("runc", installed, tmp_path_factory)


def _node(kind: str, installed: Installed, factory: pytest.TempPathFactory) -> Iterator[Node]:
    requires("runc", "crun", "unshare", root=True)
    machine("x86_64")
    own = install.copy_of(installed, factory.mktemp(kind) / "prefix")
    with short_directory(kind) as directory, nodes.running(kind, own, directory) as node:
        yield node


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    """What is run; a module may have its own."""
    return [one for one in chosen(8, 3) if not one.outranked]


@pytest.fixture(scope="module")
def programs(entries: list[Entry], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The corpus' own programs, for those that the module's `entries` names."""
    directory = tmp_path_factory.mktemp("programs")
    files = measure.build(directory)
    if any("main" in entry.files.split() for entry in entries):
        files["main"] = measure.build_go(directory)
    return files


@pytest.fixture(scope="module")
def bench() -> type[measure.Bench]:
    """What measures; a module may have its own."""
    return measure.Bench


@pytest.fixture(scope="module", params=["crun", "runc"])
def found(
    request: pytest.FixtureRequest,
    entries: list[Entry],
    programs: dict[str, bytes],
    bench: type[measure.Bench],
) -> dict[str, Measured]:
    """What was measured of the module's `entries`."""
    node: Node = request.getfixturevalue(request.param)
    return bench(node, programs).measure(entries)
