"""Everything that is measured, set up for one run of the bench and removed after it."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.subjects import Json, Subject, checked
from harness.engines import images
from harness.host.processes import run, short_directory
from harness.node import agent, install, launchers
from harness.node.requirements import program

RUNTIMES = ("runc", "crun")


@dataclass
class Places:
    """Installations by "runtime-way", subjects by "runtime/way".

    The ways: bare, cold, agent.
    """

    directory: Path
    rootfs: Path
    bundles: Path
    nothing: str  # a runtime that only exits
    installed: dict[str, install.Installed] = field(default_factory=dict)
    subjects: dict[str, Subject] = field(default_factory=dict)

    def subject(self, name: str, program_path: str, block: Json, copy: str = "") -> Subject:
        """Make a subject; `copy` distinguishes several of one name."""
        whole = name.replace("/", "-") + copy
        bare = program(name.partition("/")[0])
        return Subject(whole, program_path, bare, self.bundles / whole, self.rootfs, block)

    def program_of(self, name: str) -> str:
        """Return the program for "runtime/way"."""
        runtime, _, way = name.partition("/")
        if way == "bare":
            return program(runtime)
        return str(self.installed[f"{runtime}-{way}"].wrapper)

    def again(self, name: str, copy: str) -> Subject:
        """Make another subject like the one of this name."""
        return self.subject(name, self.program_of(name), self.subjects[name].block, copy)


@contextlib.contextmanager
def prepared() -> Iterator[Places]:
    """Install, start agents, make bundles; end and remove all of it."""
    with short_directory("bench") as directory, contextlib.ExitStack() as stack:
        bundles = directory / "bundles"
        bundles.mkdir()
        # Bundles and states are in memory, as beneath /run on a node.
        run(["mount", "-t", "tmpfs", "-o", "size=1g", "bench", bundles])
        stack.callback(run, ["umount", "--lazy", bundles])
        rootfs = images.root_directory(directory / "rootfs")
        sources = [install.SOURCE / "bench" / "runtime.c"]  # built as the launcher is
        nothing = launchers.as_released(directory / "nothing", "musl-gcc", sources)
        places = Places(directory, rootfs, bundles, str(nothing))
        base = install.install(directory / "base")
        for runtime in RUNTIMES:
            _install(places, base, runtime, stack)
            _add_subjects(places, runtime, stack)
        yield places


def _install(
    places: Places, base: install.Installed, runtime: str, stack: contextlib.ExitStack
) -> None:
    for way in ("cold", "agent"):
        own = install.copy_of(base, places.directory / f"{runtime}-{way}")
        own.configure(f'runtime = ["{runtime}"]\n')
        places.installed[f"{runtime}-{way}"] = own
        if way == "agent":
            stack.enter_context(agent.running(own))


def _add_subjects(places: Places, runtime: str, stack: contextlib.ExitStack) -> None:
    """Bare begins with the config that the wrapper makes; the wrapper begins without."""
    cold = checked(places.subject(f"{runtime}/cold", places.program_of(f"{runtime}/cold"), {}))
    blocks = {"bare": cold.final_block(), "agent": {}}
    for way, block in blocks.items():
        name = f"{runtime}/{way}"
        places.subjects[name] = checked(places.subject(name, places.program_of(name), block))
    places.subjects[f"{runtime}/cold"] = cold
    for name in [f"{runtime}/cold", *(f"{runtime}/{way}" for way in blocks)]:
        stack.callback(places.subjects[name].stop)
