"""Each program of the corpus in every mode on one node, and the ground truth, without verdicts.

`bare` is the runtime without us. `audit` and `observe` are traced (harness.kernel.tracefs), and
each call is put to the filter that `enforce` gives such a container, read back from the kernel
(harness.kernel.filter_emulation).
Then `report` and `suggest` are called as users do, and
each suggested profile is enforced. Many containers run at once, under one agent.
"""

import json
import queue
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from harness.containers.system_bundles import NOBODY, System
from harness.host import processes
from harness.kernel import filter_emulation, tracefs
from harness.kernel.kernel_log import I386, X86_64
from harness.node.requirements import program
from runc_wrap.profiles import syscall_names
from runc_wrap.profiles.abis import ABIS
from tests.corpus import nodes
from tests.corpus.catalogue import Entry
from tests.corpus.nodes import AUDIT, BARE, ENFORCE, OBSERVE, Call, Node, Program

Json = dict[str, Any]

LOOKING = (AUDIT, OBSERVE)
SUGGESTED = "suggested-"  # and the mode that it was suggested from: a namespace of its own
_SOURCES = Path(__file__).parent / "programs"
_PROGRAMS = Path(__file__).parents[2] / "harness/programs"
_WORKLOADS = Path(__file__).parent / "workloads"
_FLAGS = ["-std=gnu11", "-O1", "-static", "-Wall", "-Wextra", "-Werror"]
_ALONE = ["-m32", "-nostdlib", "-ffreestanding", "-fno-stack-protector", "-fno-pie", "-no-pie"]
_AT_ONCE, _SECONDS = 4, 120
LATE = -1, f"did not end within {_SECONDS} s"
_X32_BIT, _HIGHEST = 0x40000000, 1024
_MAPPED = [{"containerID": 0, "hostID": 0, "size": 65536}]


class Ran(NamedTuple):
    """How a program ended, and which of its calls the profile would deny."""

    status: int
    output: str
    denied: frozenset[Call] = frozenset()


@dataclass
class Measured:
    """All results of one program on one runtime, by mode."""

    ran: dict[str, Ran] = field(default_factory=dict)
    reports: dict[str, Json] = field(default_factory=dict)


def build(directory: Path) -> dict[str, bytes]:
    """Compile the corpus' own programs; return them, with the files of workloads/, by name."""
    directory.mkdir(parents=True, exist_ok=True)
    made = {"page": b"hello\n"}
    for source in [*_SOURCES.glob("*.c"), _PROGRAMS / "calls.c"]:
        target = directory / source.stem
        more = _ALONE if source.stem == "bits32" else ["-pthread"]
        processes.run([program("cc"), *_FLAGS, *more, "-o", str(target), str(source)])
        made[source.stem] = target.read_bytes()
    return made | {path.name: path.read_bytes() for path in _WORKLOADS.iterdir()}


def build_go(directory: Path) -> bytes:
    """Compile main.go, with its own cache directory."""
    settings = {"GO111MODULE": "off", "CGO_ENABLED": "0", "GOTOOLCHAIN": "local"}
    places = {"GOCACHE": str(directory / "go-cache"), "GOPATH": str(directory / "go")}
    words = [program("go"), "build", "-o", str(directory / "main"), str(_WORKLOADS / "main.go")]
    processes.run(words, env=processes.environment(**settings, **places), seconds=300)
    return (directory / "main").read_bytes()


@dataclass
class Bench:
    """A node with what the runs on it need."""

    node: Node
    files: Mapping[str, bytes]
    _filters: dict[str, filter_emulation.Filters] = field(default_factory=dict)
    _tracers: queue.SimpleQueue[tracefs.Tracer] = field(default_factory=queue.SimpleQueue)

    def measure(self, entries: Sequence[Entry]) -> dict[str, Measured]:
        """Run all of them in all modes; return each one's results."""
        found = {entry.name: Measured() for entry in entries}
        for caps in {entry.caps for entry in entries}:
            self._filters[caps] = self._enforced_filter(caps)
        numbers = set().union(*(answered(one) for one in self._filters.values()))
        tracers = [tracefs.Tracer(f"{self.node.kind}-{n}", numbers) for n in range(_AT_ONCE)]
        for tracer in tracers:
            self._tracers.put(tracer)
        try:
            self._run_all(found, [(mode, e) for e in entries for mode in (BARE, ENFORCE, *LOOKING)])
        finally:
            for tracer in tracers:
                tracer.close()
        reports = self.node.report()
        for entry in entries:
            found[entry.name].reports = {m: reports[m, entry.name] for m in LOOKING}
        self._enforce_suggested(found, entries)
        return found

    def _run_all(self, found: dict[str, Measured], jobs: Sequence[tuple[str, Entry]]) -> None:
        def run(job: tuple[str, Entry]) -> None:
            mode, entry = job
            found[entry.name].ran[mode] = self._run(mode, entry)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(run, jobs))

    def _run(self, mode: str, entry: Entry) -> Ran:
        if mode not in LOOKING:
            return Ran(*self._call(mode, entry, ()))
        tracer = self._tracers.get()
        try:
            with tracer.following() as traced:
                status, output = self._call(mode, entry, traced.words())
        finally:
            self._tracers.put(tracer)
        filters = self._filters[entry.caps]
        denied = {call_name(one) for one in traced.calls() if filters.of(one).denies}
        return Ran(status, output, frozenset(denied | nodes.native(entry.outranked)))

    def _call(self, mode: str, entry: Entry, before: Sequence[str]) -> tuple[int, str]:
        times = 2 if "restart" in entry.how else 1
        runs = [self._once(mode, entry, before) for _ in range(times)]
        return runs[-1][0], "".join(output for _, output in runs)

    def _once(self, mode: str, entry: Entry, before: Sequence[str]) -> tuple[int, str]:
        runtime = self.node.runtime(mode)
        script = ["sh", "-c", entry.words]
        is_exec = "exec" in entry.how.split()
        bundle = self._bundle(mode, entry, ["sleep", "1000"] if is_exec else script)
        try:
            if not is_exec:
                done = bundle.call(runtime, "run", before=before, seconds=_SECONDS)
            else:
                bundle.create(runtime)
                done = bundle.call(
                    runtime, "exec", before=before, after=tuple(script), seconds=_SECONDS
                )
        except subprocess.TimeoutExpired:
            return LATE
        finally:
            bundle.delete(program(self.node.kind))
            shutil.rmtree(bundle.path, ignore_errors=True)
        return done.returncode, done.stdout

    def _bundle(self, mode: str, entry: Entry, args: list[str]) -> System:
        files = {name: self.files[name] for name in (*entry.programs, *entry.files.split())}
        how = entry.how.split()
        wanted = Program(entry.name, args, files, NOBODY if "nobody" in how else 0)
        held = [f"CAP_{name}" for name in entry.caps.split()]
        bundle = self.node.passing(mode, wanted, capabilities=held)
        with bundle.edited() as config:
            spaces = config["linux"]["namespaces"]
            if "host-pids" in how:
                spaces.remove({"type": "pid"})
            if "user-namespace" in how:
                spaces.append({"type": "user"})
                config["linux"] |= {"uidMappings": _MAPPED, "gidMappings": _MAPPED}
        return bundle

    def _enforced_filter(self, caps: str, mode: str = ENFORCE) -> filter_emulation.Filters:
        """Return the kernel's filters of a container in a mode with these capabilities."""
        held = [f"CAP_{name}" for name in caps.split()]
        bundle = self.node.passing(mode, Program("filter", ["sleep", "1000"]), capabilities=held)
        try:
            return filter_emulation.read(bundle.create(self.node.installed.wrapper))
        finally:
            bundle.delete(program(self.node.kind))
            shutil.rmtree(bundle.path, ignore_errors=True)

    def _enforce_suggested(self, found: dict[str, Measured], entries: Sequence[Entry]) -> None:
        """Enforce the suggestion for each program that would be denied a call; enforce the rest."""
        jobs = [(m, e) for e in entries for m in LOOKING if found[e.name].reports[m]["calls"]]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            profiles = dict(zip(jobs, pool.map(self._suggested, jobs), strict=True))
        self._configure(profiles)
        self._run_all(found, [(SUGGESTED + mode, entry) for mode, entry in jobs])
        for entry in entries:
            ran = found[entry.name].ran
            for mode in LOOKING:
                ran.setdefault(SUGGESTED + mode, ran[ENFORCE])

    def _suggested(self, job: tuple[str, Entry]) -> str:
        mode, entry = job
        words = ("suggest", "--allow-dangerous", "--degrading", "--", f"{mode}/{entry.name}/main")
        return self.node.installed.control(*words).stdout

    def _configure(self, profiles: dict[tuple[str, Entry], str]) -> None:
        """Put the suggested profiles in force, one rule for each that is different."""
        sharing: dict[tuple[str, str], list[str]] = {}
        for (mode, entry), text in profiles.items():
            sharing.setdefault((mode, _without_comments(text)), []).append(entry.name)
        directory = self.node.installed.prefix / "etc/profiles"
        directory.mkdir(exist_ok=True)
        rules = []
        for number, ((mode, text), names) in enumerate(sharing.items()):
            (directory / f"suggested-{number}.json").write_text(text)
            rules.append(
                f'[[rule]]\nname = "suggested {number}"\nnamespace = ["{SUGGESTED}{mode}"]\n'
                f'pod = {json.dumps(names)}\nprofile = "localhost/suggested-{number}.json"\n'
                'mode = "enforce"\n'
            )
        self.node.installed.configure(nodes.policy(self.node.kind) + "".join(rules))


def _without_comments(text: str) -> str:
    """Return a profile without the counts in its comments."""
    profile = json.loads(text)
    where = "add" if "base" in profile else "syscalls"
    rules = [{k: v for k, v in rule.items() if k != "comment"} for rule in profile[where]]
    return json.dumps({**profile, where: rules})


def answered(filters: filter_emulation.Filters) -> set[int]:
    """Return the numbers that are worth tracing: denied, or by their arguments, in some ABI."""
    return {
        number
        for arch, number in _everything()
        if (answer := filters.of(tracefs.Made(arch, number, (0,) * 6))).denies
        or answer.by_arguments
    }


def _everything() -> Iterable[tuple[int, int]]:
    for number in range(_HIGHEST):
        yield X86_64, number
        yield I386, number
        yield X86_64, number | _X32_BIT


def call_name(call: tracefs.Made) -> Call:
    """Return a call as the report names it."""
    is_x32 = call.arch == X86_64 and call.number & _X32_BIT
    abi = "x86" if call.arch == I386 else "x32" if is_x32 else "x86_64"
    return abi, syscall_names.name_of(ABIS[abi], call.number)
