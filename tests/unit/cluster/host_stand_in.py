"""A host with a systemd that runs the installer's commands at once: what each would do there."""

import fnmatch
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runc_wrap.cluster import policy_directory, preconditions
from runc_wrap.cluster.configmap_policy import PolicyNotTaken
from runc_wrap.cluster.host_commands.systemd_dbus import DONE, FAILED, GONE, RUNNING, UnitEnd
from runc_wrap.node.paths import Places

OURS = {"handler": "runc-wrap", "kept": False, "configured": True, "in_force": True}


class Killed(BaseException):
    """The pod's end, at any instant."""


@dataclass
class Host:
    """`fails` has the steps that fail; `dies_at` is the call, counted, at which the pod ends.

    `left` has what commands that a pod before began do at each further look, until their end.
    `running` has the pods that need the handler, `looks` what happens at each further look at them.
    """

    places: Places
    handlers: list[dict[str, Any]] = field(default_factory=list)
    upgraded: bool = False
    drift: list[str] = field(default_factory=list)
    purged: bool | None = None
    fails: dict[str, str] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    units: dict[str, UnitEnd] = field(default_factory=dict)
    argv: dict[str, list[str]] = field(default_factory=dict)  # of each step, the last one
    left: dict[str, list[Callable[[], None]]] = field(default_factory=dict)
    on_register: Callable[[], None] = lambda: None
    running: list[str] = field(default_factory=list)
    looks: list[Callable[[], None]] = field(default_factory=list)
    dies_at: int = -1
    calls: int = 0

    def _called(self) -> None:
        self.calls += 1
        if self.calls == self.dies_at:
            raise Killed

    def start(
        self, unit: str, argv: Sequence[str], out: Path, err: Path, *, seconds: float, stays: bool
    ) -> None:
        del seconds
        self._called()
        if unit in self.units:
            return
        step = unit.removeprefix("runc-wrap-cluster-").rpartition("-")[0]
        self.done.append(step)
        self.argv[step] = [*argv]
        said = self.fails.get(step)
        if said is None:
            out.write_text(self._do(step, argv))
        elif step in ("preflight", "prove"):
            out.write_text(json.dumps({"reason": said}))
        err.write_text(said or "")
        if stays:
            self.units[unit] = UnitEnd(FAILED if said else DONE, 1 if said else 0)
        self._called()

    def _do(self, step: str, argv: Sequence[str]) -> str:
        if step == "install":
            assert argv[0] == "/bin/sh"
            self.install()
        elif step == "preflight":
            return json.dumps({"reason": "", "policy": self._lay(argv)})
        elif step == "apply":
            policy_directory.put_in_force(self.places, argv[-1])
            return json.dumps({"remarks": []})
        elif step == "register":
            self.handlers = [OURS]
            self.on_register()
        elif step == "prove":
            self.upgraded = False
        elif step == "remaining":
            if self.looks:
                self.looks.pop(0)()
            return json.dumps({"reason": preconditions.sentence(self.running)})
        elif step == "unregister":
            self.handlers = []
        elif step == "uninstall":
            self.purged = "--purge" in argv
            (self.places.prefix / "lib" / "current").unlink()
        return json.dumps(self._status() if step == "status" else {})

    def _lay(self, argv: Sequence[str]) -> str:
        try:
            if "--policy" in argv:
                policy_directory.lay(self.places, argv[-1])
        except PolicyNotTaken as error:
            return str(error)
        return ""

    def _status(self) -> list[dict[str, Any]]:
        if not self.handlers:
            return []
        handlers = [{"upgraded": self.upgraded, **one} for one in self.handlers]
        return [{"engine": "containerd", "handlers": handlers, "drift": self.drift}]

    def end(self, unit: str) -> UnitEnd:
        self._called()
        if doing := self.left.get(unit):
            doing.pop(0)()
            self.units[unit] = UnitEnd(RUNNING if doing else DONE)
        return self.units.get(unit, UnitEnd(GONE))

    def leave(self, unit: str, *doing: Callable[[], None]) -> None:
        """Have a command run that a pod before began."""
        self.units[unit], self.left[unit] = UnitEnd(RUNNING), [*doing]

    def install(self) -> None:
        """Do as install.sh does, as far as it is seen here."""
        releases = self.places.prefix / "lib" / "releases"
        releases.mkdir(parents=True, exist_ok=True)
        release = releases / f"r{len([*releases.iterdir()])}"
        release.mkdir()
        current = self.places.prefix / "lib" / "current"
        current.unlink(missing_ok=True)
        current.symlink_to(f"releases/{release.name}")

    def names(self, pattern: str) -> list[str]:
        assert pattern.startswith("runc-wrap-cluster-")
        return fnmatch.filter(self.units, pattern)

    def forget(self, unit: str) -> None:
        self._called()
        self.units.pop(unit, None)
