"""The two runtimes, bare and wrapped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import bundles, install
from tests.support.requirements import program, requires

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.bundles import Bundle


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
) -> dict[str, Pair]:
    requires("runc", "crun", "unshare", root=True)
    made = {}
    for kind in ("runc", "crun"):
        own = install.copy_of(installed, tmp_path_factory.mktemp(kind) / "prefix")
        own.configure(f'runtime = ["{kind}"]\n')
        made[kind] = Pair(kind, program(kind), own)
    return made


@pytest.fixture(params=["runc", "crun"])
def pair(request: pytest.FixtureRequest, pairs: dict[str, Pair]) -> Pair:
    return pairs[request.param]


@pytest.fixture
def runc(pairs: dict[str, Pair]) -> Pair:
    return pairs["runc"]


@pytest.fixture
def make_bundle(tmp_path: Path, pairs: dict[str, Pair]) -> Iterator[Callable[..., Bundle]]:
    """Make bundles; their containers are gone when the test ends, however it ends."""
    made: list[Bundle] = []

    def make(kind: str, annotations: dict[str, Any] | None = None, **linux: Any) -> Bundle:
        made.append(bundles.make(tmp_path / f"bundle{len(made)}", kind, annotations, **linux))
        return made[-1]

    yield make
    for bundle in made:
        bundle.delete(pairs[bundle.kind].bare)
