"""The commands that the installer has run on the host, each with the time that it may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runc_wrap.cluster import next_step
from runc_wrap.cluster.host_commands import host_command, host_documents
from runc_wrap.cluster.host_commands.host_command import Command, Ended
from runc_wrap.cluster.host_commands.systemd_manager import SystemdError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from runc_wrap.cluster.host_commands.host_command import Manager
    from runc_wrap.node.paths import Places

_INSTALLING, _APPLYING, _LOOKING = 600.0, 120.0, 120.0  # seconds
_CHECKING, _PROVING = 120.0, 600.0  # as five canaries may take, each a minute and more
STEPS = (
    "preflight", "lay", "install", "apply", "register", "prove", "unregister", "uninstall",
    "status", "remaining",
)  # fmt: skip
_OF_ARCHIVE, _REMOVING = ("preflight", "lay", "install"), ("unregister", "uninstall")
_ASKING = ("status", "remaining")
_REGISTERING = 1700.0  # less than until the transaction's own timer takes it back


@dataclass(frozen=True)
class NodeCommands:
    """The host's commands for one installation. Each raises SystemdError but forget_interrupted.

    `config` is the engine's configuration where a node has several engines, "" otherwise.
    """

    places: Places
    manager: Manager
    config: str = ""

    def preflight(self, archive: Path, engine: str, *, brings_policy: bool) -> Ended:
        """Ask whether the release of an archive that lies on the node can be installed there.

        `brings_policy`: with the candidate of the policy, not with the policy that is there.
        """
        more = ("--candidate",) if brings_policy else ()
        words = ("cluster", "preflight", engine, *self._which(), *more)
        return self._of_archive("preflight", archive, *words)

    def lay_policy(self, archive: Path) -> Ended:
        """Check the candidate of the policy, and write it for the release to be installed."""
        return self._of_archive("lay", archive, "cluster", "apply", "--only-files")

    def _of_archive(self, step: str, archive: Path, *words: str) -> Ended:
        program = str(archive / "bin" / "runc-wrapctl")
        argv = (program, "--prefix", str(self.places.prefix), *words)
        return self._run(Command(step, argv, _CHECKING, is_taken_up=False))

    def install(self, archive: Path) -> Ended:
        """Install the release of an archive that lies on the node."""
        return self._run(self._installation(archive))

    def _installation(self, archive: Path) -> Command:
        script = str(archive / "install.sh")
        words = ("/bin/sh", script, "--prefix", str(self.places.prefix))
        return Command("install", words, _INSTALLING)

    def apply(self) -> Ended:
        """Check the candidate of the policy, and put it in force."""
        return self._ctl("apply", _APPLYING, "cluster", "apply", is_taken_up=False)

    def register(self, engine: str) -> Ended:
        """Register the handler as a transaction, proved by a canary."""
        return self._changed("register", "add", engine)

    def prove(self, engine: str) -> Ended:
        """Run a canary through the registered handler; the engine is not restarted.

        One that runs already may have begun with the release before.
        """
        words = ("engine", "prove", engine, *self._which(), "--json")
        return self._ctl("prove", _PROVING, *words, is_taken_up=False)

    def unregister(self, engine: str) -> Ended:
        """Remove the handler as a transaction."""
        return self._changed("unregister", "remove", engine)

    def _changed(self, step: str, verb: str, engine: str) -> Ended:
        words = ("engine", verb, engine, *self._which(), "--restart", "--json")
        return self._ctl(step, _REGISTERING, *words)

    def _which(self) -> tuple[str, ...]:
        return ("--config", self.config) if self.config else ()

    def uninstall(self, *, purges: bool) -> Ended:
        """Take the installation back, with its settings if `purges`."""
        more = ("--purge",) if purges else ()
        return self._ctl("uninstall", _INSTALLING, "uninstall", "--json", *more)

    def remaining(self) -> str:
        """Return why the handler has to stay for containers, "" if none needs it."""
        ended = self._ctl("remaining", _LOOKING, "cluster", "remaining", is_taken_up=False)
        document = ended.document
        if not ended.is_well or not isinstance(document, dict):
            return f"it is not known what still runs: {ended.reason}"
        return str(document.get("reason", ""))

    def registration(self, engine: str) -> next_step.Registration:
        """Return what the running engine says of our handler."""
        words = ("engine", "status", "--json")
        ended = self._ctl("status", _LOOKING, *words, is_taken_up=False)
        if ended.document is None:
            raise SystemdError(f"`engine status` told nothing that can be read: {ended.reason}")
        return next_step.registration(ended.document, engine, self.config)

    def forget_interrupted(self) -> None:
        """Forget what somebody asked of the node, and went away. Asks systemd only if there is."""
        host_documents.forget_interrupted(self.places, self.manager)

    def installing(self, archive: Path) -> list[str]:
        """Return the units that run and install anything but this archive, or take it off."""
        ours = self._installation(archive).unit
        found = host_command.running(self.manager, (*_OF_ARCHIVE, *_REMOVING))
        return [unit for unit in found if unit != ours]

    def changing(self, *, is_gone: bool) -> list[str]:
        """Return the units that run and are no removal's; a removal's, too, if no release is left.

        Such a removal has its program no more, with which it could be done again.
        """
        others = [step for step in STEPS if step not in (*_REMOVING, *_ASKING)]
        return host_command.running(self.manager, [*others, *(_REMOVING if is_gone else ())])

    def wait(self, units: Iterable[str]) -> None:
        """Wait for the ends of commands that another pod began."""
        for unit in units:
            host_command.wait(self.manager, unit, _REGISTERING)

    def forget_old(self) -> None:
        """Forget what ended while no pod was there."""
        host_command.forget_old(self.manager, STEPS)

    def _ctl(self, step: str, seconds: float, *words: str, is_taken_up: bool = True) -> Ended:
        program = str(self.places.wrapper.with_name("runc-wrapctl"))
        argv = (program, "--prefix", str(self.places.prefix), *words)
        return self._run(Command(step, argv, seconds, is_taken_up))

    def _run(self, command: Command) -> Ended:
        return host_command.run(self.manager, self.places.cluster, command)
