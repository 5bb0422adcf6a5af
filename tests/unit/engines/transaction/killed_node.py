"""A node whose engine is a file: what it has read. A command can be killed between any two changes.

The killed command is a child process; before each change of a file (an audit event of CPython) it
ends if that is the wanted one, without any cleanup. So what is left is what SIGKILL leaves.
"""

import os
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest

from runc_wrap.engines import engine_status, toml_text
from runc_wrap.engines.containerd.loaded_files import OLD_CRI
from runc_wrap.engines.handler import CallFailed, EngineError
from runc_wrap.engines.registration import registration_plan, registration_state
from runc_wrap.engines.registration.registration_plan import Plan
from runc_wrap.engines.transaction import canary_proof, engine_restart, transaction_run
from runc_wrap.engines.transaction.engine_restart import Systemd, remove_boot_unit, write_boot_unit
from runc_wrap.engines.transaction.transaction_record import Note
from runc_wrap.engines.transaction.transaction_revert import NotTakenBackError, everything
from runc_wrap.node.paths import Places

UNIT = "engine.service"
TEXT = "# the owner's\nversion = 2\n"
KILLED, ENDED = 99, 7
_NAMES = "rename link remove rmdir mkdir symlink truncate listxattr"
_CHANGES = frozenset(f"os.{name}" for name in _NAMES.split())


@dataclass
class FakeEngine:
    """What `Engine` asks; the engine has read what is in `read`."""

    node: "FakeNode"
    unit: str = UNIT
    version: str | None = "1.7.24"
    journal: ClassVar[str] = ""
    checks_files: ClassVar[bool] = True
    untold: ClassVar[str] = ""

    def running_version(self) -> str | None:
        return self.node.version

    def reload(self, *, loses_default: bool) -> str:
        del loses_default
        return "restart"

    def refusal(self) -> str:
        return self.node.refuses

    def refusal_of(self, waiting: Mapping[Path, Path]) -> str:
        assert self.node.config in waiting or not waiting
        return self.node.refuses_new

    def configured(self) -> Mapping[str, str | None]:
        return _handlers(self.node.config)

    def check_probes(self) -> None:
        """Raise nothing: nothing is missing."""

    def silence(self) -> str:
        return "" if self.node.answers() else "it does not run"

    def running(self) -> Mapping[str, str | None]:
        return _handlers(self.node.read)

    def default(self) -> str | None:
        return None

    @contextmanager
    def canary(self, handler: str, var: Path) -> Iterator[str]:
        del var
        if self.node.hangs:
            raise EngineError("the canary hangs")
        assert self.node.canaries == []
        self.node.canaries.append(handler)
        try:
            yield f"canary-{handler}"
        finally:
            self.node.canaries.clear()

    def ended_by_restart(self) -> str:
        return self.node.ended

    def left_probes(self) -> list[str]:
        return self.node.canaries

    def remove_probes(self) -> None:
        if not self.node.answers():
            raise CallFailed("nobody answers")
        self.node.canaries.clear()


@dataclass
class FakeNode(Systemd):
    """`timers` are the armed ones."""

    directory: Path
    patience: float = 0.05
    refuses: str = ""
    refuses_new: str = ""  # before it is in place
    hangs: bool = False
    breaks: Callable[[str], bool] = lambda _: False
    has_systemd: bool = True
    ended: str = ""
    stopped: bool = False
    version: str | None = "1.7.24"  # of the running engine
    canaries: list[str] = field(default_factory=list)
    timers: dict[str, Sequence[str]] = field(default_factory=dict)

    @property
    def places(self) -> Places:
        return Places(self.directory)

    @property
    def where(self) -> registration_state.Where:
        bin_dir, state = self.places.wrapper.parent, self.places.engines
        return registration_state.Where("containerd", self.config, bin_dir, state)

    def job(self, action: str, handler: str = "runc-wrap", **more: Any) -> transaction_run.Job:
        """Return the registration of a handler, or its removal."""

        def plan() -> Plan:
            if action == transaction_run.REMOVE:
                return registration_plan.plan_remove(self.where, handler)
            default = bool(more.get("default"))
            return registration_plan.plan_add(self.where, handler, {"major": 1}, default=default)

        return transaction_run.Job(self.places, self.where, handler, action, plan, **more)

    def run(self, action: str = transaction_run.ADD, **more: Any) -> tuple[Plan, str]:
        """Carry out the registration of a handler, or its removal, without a word."""
        return transaction_run.run(self.job(action, **more), self, lambda _: None)

    def interrupted(self, how: str = "restart", how_back: str = "restart") -> Path:
        """Leave what a command leaves that is killed while its canary runs; return the record."""
        named = ("1", "containerd", str(self.config), "runc-wrap", "add", UNIT)
        note = Note(*named, how, how_back, 1e9, "alice")
        self.guard(self.places, UNIT, note.timer, engine_restart.revert_command(self.places))
        registration_plan.carry_out(self.job(transaction_run.ADD).plan(), asdict(note))
        self.restart(UNIT, "restart")
        return self.where.change

    def take_back(self, *, is_boot: bool = False) -> list[Note]:
        return everything(self.places, self, is_boot=is_boot)

    def prove(self, handler: str = "runc-wrap") -> str:
        return canary_proof.alone(self.places, self.where, handler, self)

    def shown(self) -> dict[str, Any]:
        """Return what `engine status` shows of the engine."""
        (shown,) = engine_status.survey(self.places, self)
        return shown

    @property
    def config(self) -> Path:
        return self.directory / "etc" / "config.toml"

    @property
    def read(self) -> Path:
        return self.directory / "read"

    @property
    def units(self) -> Path:
        return self.directory / "units"

    def answers(self) -> bool:
        return not self.stopped and self.read.exists() and not self.breaks(self.read.read_text())

    def access(self, engine: str, config: Path) -> Any:
        assert (engine, config) == ("containerd", self.config)
        return FakeEngine(self)

    def check_unit(self, unit: str) -> None:
        if not self.has_systemd:
            raise EngineError(f"no {unit}")

    def state(self, unit: str) -> str:
        assert unit == UNIT
        if self.stopped:
            return "inactive"
        return "active" if self.answers() else "failed"

    def restart(self, unit: str, how: str) -> str:
        assert (unit, how) == (UNIT, "restart")
        if self.config.exists():
            reading = self.directory / "reading"
            reading.write_bytes(self.config.read_bytes())
            reading.rename(self.read)
        return "" if self.answers() else "it failed"

    def guard(self, places: Places, unit: str, timer: str, command: Sequence[str]) -> None:
        write_boot_unit(places, unit, self.units)
        self.timers[timer] = command

    def release(self, places: Places, timer: str = "") -> None:
        self.timers.pop(timer, None)
        if not registration_state.unfinished(places):
            remove_boot_unit(places, self.units)


def _handlers(path: Path) -> dict[str, str | None]:
    document = tomllib.loads(path.read_text()) if path.exists() else {}
    place = ["plugins", OLD_CRI, "containerd", "runtimes"]
    found = toml_text.lookup(document, place).items()
    return {name: each.get("options", {}).get("BinaryName") for name, each in found}


def node(tmp_path: Path, text: str = TEXT) -> FakeNode:
    """Return a node with a configuration that its engine has read, and the wrapper installed."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "runc-wrap").touch()
    (tmp_path / "lib" / "releases").mkdir(parents=True)
    found = FakeNode(tmp_path)
    found.config.parent.mkdir()
    (found.units / "multi-user.target.wants").mkdir(parents=True)
    found.config.write_text(text)
    found.read.write_text(text)
    return found


def proved(monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> None:
    """Let the canary prove what it should, or fail."""

    def check(_places: Places, container: str, handler: str) -> str:
        if error:
            raise error
        return f"{container} {handler}"

    monkeypatch.setattr(canary_proof, "check", check)


def engine_says(patch: pytest.MonkeyPatch, **answers: Any) -> None:
    """Let the engine answer each of these questions so."""
    for name, answer in answers.items():
        patch.setattr(FakeEngine, name, lambda _, answer=answer: answer)


def killed(at: int, work: Callable[[], object]) -> bool:
    """Do work in a child that ends before its change number `at`; tell whether it came so far."""
    child = os.fork()
    if not child:
        _count(at)
        try:
            work()
        except (transaction_run.TakenBack, NotTakenBackError):
            pass
        finally:
            os._exit(ENDED)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (KILLED, ENDED)
    return code == KILLED


def _count(at: int) -> None:
    left = at

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event in _CHANGES or (event == "open" and _writes(arguments[2])):
            if not left:
                os._exit(KILLED)
            left -= 1

    sys.addaudithook(hook)


def _writes(flags: int) -> bool:
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
