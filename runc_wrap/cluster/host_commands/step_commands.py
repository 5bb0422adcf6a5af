"""The commands that the installer has run on the host, each with the time that it may take.

`handler_registration` reads what the node answers about the handler.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runc_wrap.cluster import next_step
from runc_wrap.cluster.host_commands import transient_unit
from runc_wrap.cluster.host_commands.systemd_dbus import Manager, SystemdError
from runc_wrap.cluster.host_commands.transient_unit import Command, CommandEnd
from runc_wrap.cluster.next_step import Registration
from runc_wrap.documents.reader import DocumentError, record, taken
from runc_wrap.node.paths import Places

_INSTALLING, _LOOKING = 600.0, 120.0  # seconds
STEPS = (
    "preflight", "install", "apply", "register", "prove", "unregister", "uninstall", "status",
    "remaining",
)  # fmt: skip
_ASKING = ("status", "remaining")  # the last of them, which change nothing
_PROVING = 600.0  # as five canaries may take, each a minute and more
_REGISTERING = 1700.0  # less than until the transaction's own timer takes it back
_VERBS = {
    next_step.REGISTER: ("add", "--restart"),
    next_step.UNREGISTER: ("remove", "--restart"),
    next_step.PROVE: ("prove",),
}


@dataclass(frozen=True)
class NodeCommands:
    """The host's commands for one installation. Each raises SystemdError.

    `config` is the engine's configuration where a node has several engines, "" otherwise.
    """

    places: Places
    manager: Manager
    config: str = ""

    def preflight(self, archive: Path, engine: str, policy: str | None) -> CommandEnd:
        """Ask whether the release of an archive that lies on the node can be installed there.

        `policy`: with this one, which is then laid down for the release, unless it is refused.
        """
        more = ("--policy", policy) if policy else ()
        words = ("cluster", "preflight", engine, *self._which(), *more)
        return self._ctl("preflight", _LOOKING, *words, directory=archive / "bin")

    def install(self, archive: Path) -> CommandEnd:
        """Install the release of an archive that lies on the node."""
        script = str(archive / "install.sh")
        words = ("/bin/sh", script, "--prefix", str(self.places.prefix))
        return self._run(Command("install", words, _INSTALLING))

    def apply(self, policy: str) -> CommandEnd:
        """Check a policy that the pod has written, and put it in force."""
        return self._ctl("apply", _LOOKING, "cluster", "apply", policy)

    def engine(self, step: str, engine: str) -> CommandEnd:
        """Register the handler or remove it, as a transaction, or prove it by a canary alone.

        `step` is REGISTER, UNREGISTER or PROVE of next_step.
        """
        verb, *more = _VERBS[step]
        words = ("engine", verb, engine, *self._which(), *more, "--json")
        return self._ctl(step, _PROVING if step == next_step.PROVE else _REGISTERING, *words)

    def _which(self) -> tuple[str, ...]:
        return ("--config", self.config) if self.config else ()

    def uninstall(self, *, purges: bool) -> CommandEnd:
        """Take the installation back, with its settings if `purges`."""
        more = ("--purge",) if purges else ()
        return self._ctl("uninstall", _INSTALLING, "uninstall", "--json", *more)

    def remaining(self) -> str:
        """Return why the handler has to stay for containers, "" if none needs it."""
        ended = self._ctl("remaining", _LOOKING, "cluster", "remaining")
        if not ended.is_well or not isinstance(ended.document, dict):
            return f"it is not known what still runs: {ended.reason}"
        return str(ended.document.get("reason", ""))

    def registration(self, engine: str) -> Registration:
        """Return what the running engine says of our handler."""
        ended = self._ctl("status", _LOOKING, "engine", "status", "--json")
        if ended.document is None:
            raise SystemdError(f"`engine status` printed no document: {ended.reason}")
        try:
            return handler_registration(ended.document, engine, self.config)
        except DocumentError as error:
            raise SystemdError(f"what `engine status` printed cannot be read: {error}") from None

    def wait_for_others(self, tell: Callable[[str], None]) -> None:
        """Wait for what changes the node and another pod began, and forget what ended before."""
        if others := transient_unit.running(self.manager, STEPS[: -len(_ASKING)]):
            tell(f"waiting for what another pod began on this node: {', '.join(others)}")
        for unit in others:
            transient_unit.wait(self.manager, unit, _REGISTERING)
        transient_unit.forget_old(self.manager, STEPS)

    def _ctl(
        self, step: str, seconds: float, *words: str, directory: Path | None = None
    ) -> CommandEnd:
        program = (directory or self.places.wrapper.parent) / "runc-wrapctl"
        argv = (str(program), "--prefix", str(self.places.prefix), *words)
        return self._run(Command(step, argv, seconds))

    def _run(self, command: Command) -> CommandEnd:
        return transient_unit.run(self.manager, self.places.cluster, command)


@record
class _Handler:
    """What `engine status` says of one handler; null: not known."""

    handler: str = ""
    configured: bool | None = None
    in_force: bool | None = None
    upgraded: bool = False
    gone: bool = False


@record
class _Engine:
    """What `engine status` says of one engine; `transaction` is none, or not over."""

    engine: str = ""
    config: str = ""
    handlers: tuple[_Handler, ...] = ()
    transaction: Any = None
    drift: tuple[str, ...] = ()


def handler_registration(document: object, engine: str, config: str = "") -> Registration:
    """Return what `engine status --json` says of our handler. Raises DocumentError.

    `config` is the engine's configuration if it has to be that one.
    """
    for one in taken(list[_Engine], document):
        if one.engine == engine and config in ("", one.config):
            drift = "; ".join(one.drift)
            ours = [each for each in one.handlers if each.handler == next_step.HANDLER]
            words = [next_step.INTERRUPTED if one.transaction else _word(each, drift)
                     for each in ours]  # fmt: skip
            return Registration(words[0], drift) if words else Registration()
    return Registration()


def _word(found: _Handler, drift: str) -> str:
    if found.gone:
        return next_step.GONE
    if found.configured is False or found.in_force is False:
        return next_step.CHANGED
    if found.upgraded:
        return next_step.UPGRADED
    if found.configured is None and drift:  # as a configuration that does not parse
        return next_step.UNREADABLE
    is_in_force = found.configured and found.in_force
    return next_step.OTHER_FILES if is_in_force and drift else next_step.IN_FORCE
