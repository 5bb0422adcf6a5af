"""The second half of install.sh: from a release's interpreter and packages to a release in force.

    python -I -m runc_wrap.installation.installer --prefix DIR --release DIR [--checkout DIR] …

Each step prints one line. The release, its units and links are one change set: if a step fails, the
release before is in force again; if it is killed, the next install.sh or uninstall sees to that. A
first installation leaves nothing in force. install.sh removes a release that is not in force, and
holds the lock.
"""

import argparse
import signal
import sys
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from runc_wrap import safe_text
from runc_wrap.failure import Failure
from runc_wrap.host import change_set, program
from runc_wrap.host.systemd import UnitFailed
from runc_wrap.installation import links, releases, services
from runc_wrap.installation.services import Services

_SECONDS = 600.0  # of one command, on a slow machine
_NOTHING = "; nothing is in force."
_IMPOSSIBLE = 2  # exit status of runc-wrapctl: the command could not run


class Failed(Failure):
    """A step failed; the message says why and what to do."""


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """Return the parsed arguments, which install.sh gives."""
    parser = argparse.ArgumentParser(prog="installer", description=__doc__, allow_abbrev=False)
    parser.add_argument("--prefix", type=Path, required=True)
    parser.add_argument("--release", type=Path, required=True)
    parser.add_argument("--checkout", type=Path, help="default: an archive, whose release is whole")
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
        self._take_back()  # what another one left that was killed
        self.before = releases.in_force(self._prefix)

    def run(self) -> None:
        """Carry out all steps; undo the last ones if one fails."""
        if self._options.checkout:
            self._say("Completing the release ...")
            self._make_parts(Path(sysconfig.get_path("platlib")))
        releases.name_hooks(self._prefix, self._release)
        self._compile_policy()
        try:
            self._put_in_force()
            _listen_to_signals(signal.SIG_IGN)
            change_set.close(releases.installing(self._prefix))
        except BaseException:
            _listen_to_signals(signal.SIG_IGN)
            try:
                self._take_back()
            except (OSError, Failure) as error:
                self._warn(f"not taken back: {error}; the next install.sh does it")
            raise
        releases.remove_others(self._release, self.before)

    def _make_parts(self, packages: Path) -> None:
        """Make the parts that only a release from an archive has already."""
        releases.write_command(self._release)
        releases.copy_hot_path(packages, self._release)
        releases.compile_hot_path(packages, self._release)
        if reason := releases.take_launcher(packages, self._release):
            raise Failed(
                f"the launcher is not built: {reason.strip()}\nTry: name another compiler with "
                "--cc, or install from the release archive (runc-wrap-VERSION-linux-ARCH.tar.xz), "
                "which needs none"
            )
        releases.lay_hooks_and_units(self._options.checkout, self._release)

    def _compile_policy(self) -> None:
        self._say("Compiling the policy ...")
        done = _ended(self._command, "--prefix", self._prefix, "apply")
        if not done.is_well:
            said = (done.complaint or done.printed or done.said).strip()
            raise Failed(f"{said}\nTry: correct that, then run install.sh again")
        self._say(done.printed)

    def _put_in_force(self) -> None:
        services = self._services()
        self._say("Switching to the new release ...")
        note = {"new": services.new, "ran": services.ran} if services else {}
        change_set.begin(releases.installing(self._prefix), self._changes(services), note)
        if services:
            self._say("Starting the services ...")
            services.start()
        self._try_containers()

    def _services(self) -> Services | None:
        units = services.texts(self._release / "share" / "systemd", self._prefix)
        is_wanted = not self._options.no_services
        if not (why := services.obstacle(self._prefix, units) if is_wanted else "--no-services"):
            return Services(units)
        if units:
            self._say(f"No services: {why}.")
        return None

    def _changes(self, services: Services | None) -> list[change_set.PathChange]:
        """Return all that puts the release in force, removals first."""
        wanted = links.wanted(self._prefix, self._release)
        changes = [
            *releases.changes(self._prefix, self._release),
            *(services.changes() if services else ()),
            *links.changes(self._prefix, wanted, self._say),
        ]
        return sorted(changes, key=lambda one: one.after is not None)

    def _try_containers(self) -> None:
        self._say("Running three containers ...")
        done = _ended(self._prefix / "bin" / "runc-wrapctl", "selftest")
        if done.status not in (0, _IMPOSSIBLE):
            raise Failed(
                "the containers did not run as they should:\n"
                f"{done.printed}{done.complaint or done.said}"
                "Try: find a line that is not as expected, and run install.sh again; if it stays, "
                "keep to another release and report these lines"
            )
        head = f"\nrunc-wrap is installed in {self._prefix}."
        self._say(f"{head} Three containers and their seccomp state in the kernel:")
        self._say(done.printed)
        if done.status == _IMPOSSIBLE:  # the real runtime alone starts none here, either
            self._warn(f"{done.complaint.strip()}\nrunc-wrap is installed, and was not tried")

    def _take_back(self) -> None:
        for path in releases.take_back(self._prefix):
            self._warn(f"{path} is left, as somebody else changed it meanwhile")

    def _say(self, text: str) -> None:
        """Print a step as it begins, or a remark."""
        if not self._options.quiet:
            sys.stdout.write(f"{safe_text.lines(text.rstrip())}\n")
            sys.stdout.flush()

    def _warn(self, text: str) -> None:
        sys.stdout.flush()
        sys.stderr.write(f"install.sh: {text}\n")


def _ended(command: Path, *words: str | Path) -> program.Ended:
    return program.run(str(command), *map(str, words), seconds=_SECONDS)


def _end(number: int, _frame: object) -> NoReturn:
    raise Failed(f"it was ended by {signal.Signals(number).name}. Try: run install.sh again")


def _listen_to_signals(how: Callable[[int, FrameType | None], object] | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, how)


def main(words: Sequence[str]) -> int:
    """Install; return the exit status, after a sentence on a failure: why, and what to do."""
    _listen_to_signals(_end)
    options, in_force = arguments(words), ""
    try:
        installer = Installer(options)
        before = installer.before
        in_force = f"; the release {before} is in force as before." if before else _NOTHING
        installer.run()
    except (Failure, OSError, ValueError) as error:
        sys.stdout.flush()
        more = "" if isinstance(error, (Failed, change_set.DamagedRecord)) else f" {advice(error)}"
        sys.stderr.write(f"install.sh: {error}{in_force}{more}\n")
        return 1
    return 0


def advice(error: Exception) -> str:
    """Return what to do about a failure, which says itself what is wrong and where."""
    more = ", or give it --no-services" if isinstance(error, UnitFailed) else ""
    return f"Try: mend what that says, then run install.sh again{more}."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
