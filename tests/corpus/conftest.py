"""The nodes, and running a module's programs before its tests check the results."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest

from harness.host.processes import short_directory
from harness.node import install
from harness.node.requirements import machine, requires
from tests.corpus import nodes
from tests.corpus.nodes import BARE, MODES, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.corpus.nodes import Call, Node, Program, Workload

Json = dict[str, Any]


@pytest.fixture(scope="session")
def crun(installed: install.Installed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    yield from _node("crun", installed, tmp_path_factory)


@pytest.fixture(scope="session")
def runc(installed: install.Installed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    yield from _node("runc", installed, tmp_path_factory)


def _node(
    kind: str, installed: install.Installed, factory: pytest.TempPathFactory
) -> Iterator[Node]:
    requires("runc", "crun", "unshare", root=True)
    machine("x86_64")
    own = install.copy_of(installed, factory.mktemp(kind) / "prefix")
    with short_directory(kind) as directory, nodes.running(kind, own, directory) as node:
        yield node


@dataclass
class Ran:
    """Programs that have run on both runtimes in every mode."""

    nodes: Sequence[Node]
    outcomes: dict[tuple[str, str, str], Outcome]  # (runtime, mode, program)

    @cached_property
    def reports(self) -> dict[str, dict[Workload, Json]]:
        """The complete report of each runtime's node."""
        return {node.kind: node.report() for node in self.nodes}

    def reported(self, kind: str, mode: str, name: str) -> set[Call]:
        return nodes.reported(self.reports[kind][mode, name])


def run_all(
    on: Sequence[Node], programs: Sequence[Program], modes: Sequence[str] = (BARE, *MODES["crun"])
) -> Ran:
    """Run each program on each node, in each of its modes."""
    return Ran(
        on,
        {
            (node.kind, mode, one.name): node.run(mode, one)
            for node in on
            for one in programs
            for mode in modes
            if mode == BARE or mode in MODES[node.kind]
        },
    )


def wanted(request: pytest.FixtureRequest, name: str) -> list[Any]:
    """Return the values of a parameter in those of the module's tests that will run."""
    found = {}
    for item in request.session.items:
        callspec = getattr(item, "callspec", None)
        if item.path == request.path and callspec and name in callspec.params:
            value = callspec.params[name]
            found[value.name] = value
    return list(found.values())
