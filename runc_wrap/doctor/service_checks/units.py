"""The two services as systemd shows them, and the commands that start them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from runc_wrap.doctor import commands
from runc_wrap.doctor.check_finding import NotMended
from runc_wrap.host import program

if TYPE_CHECKING:
    from collections.abc import Callable

SERVICES = ("decide", "observe")
_BOOTED = Path("/run/systemd/system")  # sd_booted(3)
_PROPERTIES = (
    "Id LoadState UnitFileState ActiveState Result NeedDaemonReload NRestarts MainPID ExecStart"
)
_VERSION = re.compile(r"systemd (\d+)")

Shown = dict[str, str]  # property -> value, as systemctl prints it


def is_booted() -> bool:
    """Tell whether systemd runs this machine."""
    return _BOOTED.is_dir()


def service(name: str) -> str:
    """Return the name of a service's unit."""
    return f"runc-wrap-{name}.service"


def both(name: str) -> tuple[str, str]:
    """Return a service's units, its socket first."""
    return f"runc-wrap-{name}.socket", service(name)


def show() -> dict[str, Shown]:
    """Return {unit: what systemd shows} of the services and their sockets; {} without systemd."""
    if not is_booted():
        return {}
    names = [unit for name in SERVICES for unit in both(name)]
    asked = f"--property={_PROPERTIES.replace(' ', ',')}"
    printed = program.output("systemctl", "show", asked, "--", *names) or ""
    blocks = [_parsed(block) for block in printed.split("\n\n")]
    return {shown["Id"]: shown for shown in blocks if "Id" in shown}


def _parsed(block: str) -> Shown:
    return dict(line.split("=", 1) for line in block.splitlines() if "=" in line)


def version() -> int | None:
    """Return systemd's version, None if there is none."""
    found = _VERSION.match(program.output("systemctl", "--version") or "")
    return int(found[1]) if found else None


def is_installed(name: str) -> bool:
    """Tell whether systemd runs this machine and has a service's unit."""
    return show().get(service(name), {}).get("LoadState", "not-found") != "not-found"


def restart(name: str) -> str:
    """Return the command that restarts a service, in which systemd keeps its descriptors.

    "" without its unit: then it is somebody else's to restart.
    """
    return commands.line("systemctl", "restart", service(name)) if is_installed(name) else ""


def start(name: str) -> str:
    """Return the command that starts a service, now and at each boot; "" without its unit."""
    return commands.line("systemctl", "enable", "--now", *both(name)) if is_installed(name) else ""


def fix(*arguments: str) -> Callable[[], None]:
    """Return what runs systemctl with these arguments."""

    def act() -> None:
        if said := program.failure("systemctl", *arguments):
            raise NotMended(f"`{commands.line('systemctl', *arguments)}` failed: {said}")

    return act
