"""A node per runtime: an installation with its agent, which runs programs in its modes.

The bundles are in the directories of containerd's CRI plugin, so each program is a workload by
name: the namespace is the mode, the pod is the program. One policy has a rule for each mode.
"""

import contextlib
import itertools
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from harness.containers import system_bundles
from harness.host.processes import CommandError, wait_until
from harness.kernel import kernel_log
from harness.node import agent
from harness.node.install import Installed
from harness.node.requirements import program
from runc_wrap.profiles import syscall_names
from runc_wrap.profiles.abis import ABIS

Json = dict[str, Any]
Call = tuple[str, str]  # (abi, syscall), as design.md's report names them
Workload = tuple[str, str]  # (mode, program)

BARE = "bare"  # the runtime without us
AUDIT, OBSERVE, ENFORCE = "audit", "observe", "enforce"
MODES = (AUDIT, OBSERVE, ENFORCE)
PROFILE = "containerd"
_ABIS = {kernel_log.X86_64: "x86_64", kernel_log.I386: "x86"}
_TASKS = "io.containerd.runtime.v2.task/k8s.io"
_MARKS = itertools.count()
_SETTLED, _APART = 60.0, 5.0


class Program(NamedTuple):
    """What to run, as a workload of this name."""

    name: str
    args: list[str]
    files: Mapping[str, bytes] = {}
    uid: int = 0


@dataclass
class Node:
    """One runtime under an installation with an agent."""

    kind: str
    installed: Installed
    directory: Path
    made: list[system_bundles.System] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def bundle(self, mode: str, wanted: Program, **changes: Any) -> system_bundles.System:
        """Make a bundle, deleted with the node."""
        made = self.passing(mode, wanted, **changes)
        self.made.append(made)
        return made

    def passing(self, mode: str, wanted: Program, **changes: Any) -> system_bundles.System:
        """Make a bundle that the caller deletes; from any thread."""
        path = self.directory / _TASKS / str(next(self._numbers))
        changes = {"uid": wanted.uid, "files": wanted.files, **changes}
        made = system_bundles.make(path, self.kind, wanted.args, **changes)
        with made.edited() as config:
            config["annotations"] = {
                "io.kubernetes.cri.container-type": "container",
                "io.kubernetes.cri.sandbox-namespace": mode,
                "io.kubernetes.cri.sandbox-name": wanted.name,
                "io.kubernetes.cri.container-name": "main",
            }
        return made

    def runtime(self, mode: str) -> Path | str:
        """Return the runtime to call."""
        return program(self.kind) if mode == BARE else self.installed.wrapper

    def report(self) -> dict[Workload, Json]:
        """Return the report's workloads, once all events so far are in it.

        A last container makes a call; records are read in order. Its own call may by chance be
        unattributed, so it is repeated from time to time.
        """
        end = time.monotonic() + _SETTLED
        marks: list[str] = []
        while True:
            marks.append(self._mark())
            try:
                wait_until(lambda: self._has(marks), "a mark of each mode in the report", _APART)
            except CommandError:
                if time.monotonic() > end:
                    raise
            else:
                return self._report()

    def _mark(self) -> str:
        mark = Program(
            f"mark-{next(_MARKS)}x", ["sh", "-c", "sleep 0.2; unshare --mount true; sleep 0.2"]
        )
        for mode in (AUDIT, OBSERVE):
            self.bundle(mode, mark).call(self.runtime(mode), "run", seconds=240)
        return mark.name

    def _has(self, marks: list[str]) -> bool:
        found = self._report()
        return all(
            any(found.get((mode, name), {}).get("calls") for name in marks)
            for mode in (AUDIT, OBSERVE)
        )

    def _report(self) -> dict[Workload, Json]:
        done = self.installed.control("report", "--json", ok=False)
        assert done.returncode in (0, 1), done.stderr
        return {(one["namespace"], one["pod"]): one for one in json.loads(done.stdout)}

    def close(self) -> None:
        """Delete the remaining containers."""
        for bundle in self.made:
            bundle.delete(program(self.kind))


def policy(kind: str) -> str:
    """Return config.toml with a rule for each mode."""
    rules = [
        f'[[rule]]\nname = "{mode}"\nnamespace = ["{mode}"]\nmode = "{mode}"\n' for mode in MODES
    ]
    return f'runtime = ["{kind}"]\n[default]\nprofile = "{PROFILE}"\n' + "".join(rules)


@contextlib.contextmanager
def running(kind: str, installed: Installed, directory: Path) -> Iterator[Node]:
    """Yield a node with its agent running."""
    installed.configure(policy(kind))
    with agent.running(installed):
        node = Node(kind, installed, directory)
        try:
            yield node
        finally:
            node.close()


def named(calls: Iterable[tuple[int, int]]) -> set[Call]:
    """Return (arch, number) as (abi, syscall)."""
    return {
        (_ABIS[arch], syscall_names.name_of(ABIS[_ABIS[arch]], number)) for arch, number in calls
    }


def reported(workload: Json) -> set[Call]:
    """Return the calls of a report's workload."""
    return {(call["abi"], call["syscall"]) for call in workload["calls"]}


def native(words: str) -> set[Call]:
    """Return the calls with these names on the native ABI."""
    return {("x86_64", word) for word in words.split()}
