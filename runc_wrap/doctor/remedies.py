"""What a check finds, and what mends it: a command for root's shell, or `doctor --fix`."""

import os
import shlex
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from runc_wrap.failure import Failure
from runc_wrap.host import program
from runc_wrap.installation import services
from runc_wrap.node.paths import DEFAULT_PREFIX, PACKAGED, Places

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    error: containers do not start, or start unconfined. warning: something differs from what the
    owner expects. note: for information.
    `remedy` says in words what to do. `command` is one line for root's shell that does it, "" if
    no command of runc-wrap, of systemd or of the kernel does: packages and boot loaders are the
    owner's. `fix`, if it is safe without asking, does what `command` does; it raises Failure or
    OSError, and has changed nothing then, or nothing that matters. `check` is the check's name.
    """

    severity: Severity
    sentence: str
    remedy: str
    command: str = ""
    fix: Callable[[], object] | None = field(default=None, compare=False, repr=False)
    check: str = ""


error = partial(Finding, "error")
warning = partial(Finding, "warning")
note = partial(Finding, "note")


def line(*words: object) -> str:
    """Return the words as a command line, quoted where necessary."""
    return shlex.join(map(str, words))


def ctl(places: Places, *words: str) -> str:
    """Return a command of this installation; with its path if another would be found first."""
    ours = places.prefix / "bin" / "runc-wrapctl"
    found = program.locate("runc-wrapctl")
    is_first = found is not None and found.resolve() == ours.resolve()
    return line("runc-wrapctl" if is_first else ours, *words)


def edit(path: Path, *then: str) -> str:
    """Return the command that edits a file, and the commands that put the change in force."""
    return " && ".join([f"${{EDITOR:-vi}} {shlex.quote(str(path))}", *then])


def policy(places: Places) -> str:
    """Return the command that changes the policy."""
    return edit(places.config, ctl(places, "apply"))


def install_again(places: Places) -> str:
    """Return in words how to install again: the package, the checkout or the archive is needed."""
    if places.prefix == PACKAGED:
        return "install the package runc-wrap again"
    own = () if places.prefix == DEFAULT_PREFIX else ("--prefix", places.prefix)
    return f"run `{line('./install.sh', *own)}` again, in the checkout or the unpacked archive"


def restart_service(name: str) -> str:
    """Return the command that restarts a service, in which systemd keeps its descriptors.

    "" without its unit: then it is somebody else's to restart.
    """
    return f"systemctl restart {services.unit(name)}" * services.is_known(name)


def start_service(name: str) -> str:
    """Return the command that starts a service, now and at each boot; "" without its unit."""
    return f"systemctl enable --now {' '.join(services.both(name))}" * services.is_known(name)


def change_mode(path: Path, *, takes: int = 0, gives: int = 0) -> None:
    """Take these bits from the mode of a file or directory, and give it others."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if found.st_uid not in (0, os.geteuid()):  # replaced meanwhile, by those who could
            raise Failure(f"it belongs to uid {found.st_uid} now")
        os.fchmod(descriptor, stat.S_IMODE(found.st_mode) & ~takes | gives)
    finally:
        os.close(descriptor)


def mend(found: Sequence[Finding]) -> list[tuple[Finding, Exception | None]]:
    """Mend what can be mended, each command once; return what was tried, and why it failed.

    What a fix uncovers is found afterwards, and mended by the next `doctor --fix`.
    """
    tried: dict[str, Exception | None] = {}
    for each in found:
        if each.fix and each.command not in tried:
            tried[each.command] = None
            try:
                each.fix()
            except (Failure, OSError) as failure:
                tried[each.command] = failure
    return [(each, tried[each.command]) for each in found if each.fix]
