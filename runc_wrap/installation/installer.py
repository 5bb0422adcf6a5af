"""The second half of install.sh: from a release's interpreter and packages to a release in force.

    python -I -m runc_wrap.installation.installer --prefix DIR --release DIR [--checkout DIR] …

Each step prints one line. If one fails, the release in force before is in force afterwards, with
its units and links; a first installation leaves nothing in force. install.sh removes the release
that is not in force, and holds the lock.
"""

from __future__ import annotations

import argparse
import copy
import functools
import signal
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from runc_wrap.host import program, systemd
from runc_wrap.installation import failure_advice, release_parts, services
from runc_wrap.installation import installation_record as records
from runc_wrap.installation.links import Links, missing_directories
from runc_wrap.installation.links import wanted as wanted_links
from runc_wrap.installation.progress import Progress
from runc_wrap.installation.release_switch import Switch
from runc_wrap.installation.services import Services

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

_SECONDS = 600.0  # of one command, on a slow machine
_IMPOSSIBLE = 2  # exit status of runc-wrapctl: the command could not run


class Failed(Exception):
    """A step failed; the message says why and what to do."""


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """Return the parsed arguments, which install.sh gives."""
    parser = argparse.ArgumentParser(prog="installer", description=__doc__, allow_abbrev=False)
    parser.add_argument("--prefix", type=Path, required=True)
    parser.add_argument("--release", type=Path, required=True)
    parser.add_argument("--checkout", type=Path, help="default: an archive, whose release is whole")
    parser.add_argument("--package", action="append", default=[], help="installed by install.sh")
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--no-services", action="store_true")
    return parser.parse_args(words)


class Installer:
    """One installation of a release."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._prefix: Path = options.prefix
        self._release: Path = options.release
        self._command = self._release / "venv" / "bin" / "runc-wrapctl"
        self._progress = Progress(is_quiet=options.quiet)
        self._record = records.load(self._prefix)
        self._before = copy.deepcopy(self._record)
        self._switch = Switch(self._prefix, self._release)
        self._services: Services | None = None
        self._links: Links | None = None

    def run(self) -> None:
        """Carry out all steps; take back the last ones if one fails."""
        self._complete()
        with self._progress.step("Compiling the policy"):
            self._progress.note(self._said("--prefix", self._prefix, "apply"))
        self._note_plan()
        try:
            self._put_in_force()
            records.save(self._prefix, self._record)
            _listen_to_signals(signal.SIG_IGN)  # it is in force
        except BaseException:
            _listen_to_signals(signal.SIG_IGN)
            self._take_back()
            raise
        self._switch.end()

    def _complete(self) -> None:
        """Make the parts that only a release from an archive has already."""
        if self._options.checkout:
            with self._progress.step("Completing the release"):
                self._make_parts(Path(sysconfig.get_path("platlib")))
        release_parts.name_hooks(self._prefix, self._release)

    def _make_parts(self, packages: Path) -> None:
        release_parts.write_command(self._release)
        release_parts.copy_hot_path(packages, self._release)
        release_parts.compile_hot_path(packages, self._release)
        if reason := release_parts.take_launcher(packages, self._release):
            raise Failed(
                f"the launcher is not built: {reason.strip()}\nTry: name another compiler with "
                "--cc, or install from the release archive (runc-wrap-VERSION-linux-ARCH.tar.xz), "
                "which needs none"
            )
        release_parts.lay_hooks_and_units(self._options.checkout, self._release)

    def _note_plan(self) -> None:
        """Record what is about to be done outside of the prefix, in case this is killed."""
        planned = copy.deepcopy(self._record)
        planned.packages = sorted({*planned.packages, *self._options.package})
        self._record.packages = planned.packages
        if not self._why_no_services():
            planned.units = sorted({*planned.units, *self._units()})
        links = wanted_links(self._prefix, self._release)
        planned.links |= {str(link): target for link, target in links.items()}
        made = missing_directories(links)
        planned.directories = list(dict.fromkeys([*planned.directories, *made]))
        records.save(self._prefix, planned)

    def _units(self) -> dict[str, str]:
        return services.texts(self._release / "share" / "systemd", self._prefix)

    def _why_no_services(self) -> str:
        if self._options.no_services:
            return "--no-services"
        return services.obstacle(self._prefix, self._units())

    def _put_in_force(self) -> None:
        with self._progress.step("Switching to the new release"):
            self._switch.forward()
        self._start_services()
        links = wanted_links(self._prefix, self._release)
        if links or self._record.links:
            self._links = Links(self._record, links, self._progress.note)
            with self._progress.step("Linking commands, manual and completions"):
                self._links.put()
        self._try_containers()

    def _start_services(self) -> None:
        if why := self._why_no_services():
            if self._units():
                self._progress.note(f"No services: {why}.")
            return
        self._services = Services(self._units())
        with self._progress.step("Starting the services"):
            self._services.put(self._record)
            self._services.start()

    def _try_containers(self) -> None:
        head = f"\nrunc-wrap is installed in {self._prefix}."
        with self._progress.step("Running three containers"):
            done = _ended(self._prefix / "bin" / "runc-wrapctl", "selftest")
            self._judge_containers(done)
        self._progress.note(f"{head} Three containers and their seccomp state in the kernel:")
        self._progress.note(done.printed)
        if done.status == _IMPOSSIBLE:  # the real runtime alone starts none here, either
            self._warn(f"{done.complaint.strip()}\nrunc-wrap is installed, and was not tried")

    def _judge_containers(self, done: program.Ended) -> None:
        if done.status not in (0, _IMPOSSIBLE):
            raise Failed(
                "the containers did not run as they should:\n"
                f"{done.printed}{done.complaint or done.said}"
                "Try: find a line that is not as expected, and run install.sh again; if it stays, "
                "keep to another release and report these lines"
            )

    def _said(self, *words: str | Path) -> str:
        done = _ended(self._command, *words)
        if not done.is_well:
            said = (done.complaint or done.printed or done.said).strip()
            is_first = not self._switch.before
            advice = failure_advice.of_policy(said, self._prefix, is_first=is_first)
            raise Failed(f"{said}\n{advice}")
        return done.printed

    def _take_back(self) -> None:
        """Undo the steps in the other order, as far as possible."""
        undo: list[Callable[[], None]] = [
            *([self._links.put_back] if self._links else []),
            *([self._services.put_back] if self._services else []),
            self._switch.back,
            *([self._services.start_former] if self._services else []),
            functools.partial(records.save, self._prefix, self._before),
        ]
        for step in undo:
            try:
                step()
            except OSError as error:
                self._warn(f"not taken back: {error}")

    def _warn(self, text: str) -> None:
        sys.stdout.flush()
        sys.stderr.write(f"install.sh: {text}\n")

    def told_in_force(self) -> str:
        """Return which release is in force after a failure."""
        current = self._switch.before.rpartition("/")[2]
        return f"the release {current} is in force as before" if current else "nothing is in force"


def _ended(command: Path, *words: str | Path) -> program.Ended:
    return program.run(str(command), *map(str, words), seconds=_SECONDS)


def _end(number: int, _frame: object) -> NoReturn:
    name = signal.Signals(number).name
    raise Failed(f"it was ended by {name}. Try: run install.sh again")


def _listen_to_signals(how: Callable[[int, FrameType | None], object] | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, how)


def _say_what_to_do(error: Exception, prefix: Path, in_force: str) -> None:
    """Print why it failed, what is in force now, and what to do, unless the error says that."""
    sys.stdout.flush()
    is_told = isinstance(error, (Failed, records.Damaged))
    advice = "" if is_told else f" {failure_advice.sentence(error, prefix)}"
    sys.stderr.write(f"install.sh: {error}{in_force}{advice}\n")


def main(words: Sequence[str]) -> int:
    """Install; return the exit status."""
    _listen_to_signals(_end)
    options = arguments(words)
    try:
        installer = Installer(options)
    except (records.Damaged, OSError) as error:
        _say_what_to_do(error, options.prefix, "")
        return 1
    try:
        installer.run()
    except (
        Failed, systemd.UnitFailed, OSError, ValueError, program.ProgramFailed,
    ) as error:  # fmt: skip
        _say_what_to_do(error, options.prefix, f"; {installer.told_in_force()}.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
