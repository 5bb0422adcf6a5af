"""One installation per runtime and mode, and the running of a program under each."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from runc_wrap.profiles import syscalls
from runc_wrap.profiles.abis import ABIS
from tests.support import install, system, truth
from tests.support.requirements import machine, program, requires

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

Calls = set[tuple[str, str]]  # (abi, syscall), as design.md's report names them

PROFILE = "containerd"
BARE = "bare"  # the runtime without us
AUDIT, ENFORCE, ENFORCE_LOG = "audit", "enforce", "enforce-log"
CODES = {BARE: truth.LOGGED, AUDIT: truth.LOGGED, ENFORCE: truth.ERRNO, ENFORCE_LOG: truth.ERRNO}
_ABIS = {truth.X86_64: "x86_64", truth.I386: "x86"}


@dataclass(frozen=True)
class Outcome:
    """What a program did, and what the kernel said of it."""

    status: int
    output: str
    calls: Calls
    overruns: int


@dataclass
class Runner:
    """Runs programs on both runtimes, bare or under an installation in a mode."""

    installation: Callable[[str, str], install.Installed]
    directory: Path
    made: list[system.System] = field(default_factory=list)

    def bundle(self, kind: str, args: Sequence[str], **changes: Any) -> system.System:
        """Make a bundle, deleted when the test ends."""
        self.made.append(
            system.make(self.directory / f"bundle{len(self.made)}", kind, args, **changes)
        )
        return self.made[-1]

    def runtime(self, kind: str, mode: str) -> Path | str:
        """Return the runtime to call: the real one, or the wrapper of an installation."""
        return program(kind) if mode == BARE else self.installation(kind, mode).wrapper

    def run(self, kind: str, mode: str, args: Sequence[str], **changes: Any) -> Outcome:
        """Run to the end; return what the kernel said of exactly this workload."""
        bundle = self.bundle(kind, args, **changes)
        with truth.told() as told:
            done = bundle.call(self.runtime(kind, mode), "run")
        calls = named(told.calls(bundle.auid, CODES[mode]))
        return Outcome(done.returncode, done.stdout, calls, told.overruns)


def named(calls: set[tuple[int, int]]) -> Calls:
    """Return (arch, number) as (abi, syscall)."""
    return {(_ABIS[arch], syscalls.name_of(ABIS[_ABIS[arch]], number)) for arch, number in calls}


def native(words: str) -> Calls:
    """Return the calls with these names on the native ABI."""
    return {("x86_64", word) for word in words.split()}


@pytest.fixture(scope="session")
def installation(
    installed: install.Installed, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], install.Installed]:
    """Return the installation for a runtime and a mode, made once."""

    @cache
    def made(kind: str, mode: str) -> install.Installed:
        own = install.copy_of(installed, tmp_path_factory.mktemp(f"{kind}-{mode}") / "prefix")
        own.configure(f'runtime = ["{kind}"]\n[default]\nprofile = "{PROFILE}"\nmode = "{mode}"\n')
        return own

    return made


@pytest.fixture
def runner(
    installation: Callable[[str, str], install.Installed], tmp_path: Path
) -> Iterator[Runner]:
    requires("runc", "crun", "unshare", root=True)
    machine("x86_64")
    made = Runner(installation, tmp_path)
    yield made
    for bundle in made.made:
        bundle.delete(program(bundle.kind))
