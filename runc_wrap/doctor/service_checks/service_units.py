"""The two services as systemd shows them, and the commands that start them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.doctor import remedies
from runc_wrap.doctor.check_finding import NotMended
from runc_wrap.host import systemd

if TYPE_CHECKING:
    from collections.abc import Callable

    from runc_wrap.host.systemd import Shown

SERVICES = ("decide", "observe")
_PROPERTIES = (
    "LoadState UnitFileState ActiveState Result NeedDaemonReload NRestarts MainPID ExecStart"
).split()


def service(name: str) -> str:
    """Return the name of a service's unit."""
    return f"runc-wrap-{name}.service"


def both(name: str) -> tuple[str, str]:
    """Return a service's units, its socket first."""
    return f"runc-wrap-{name}.socket", service(name)


def show() -> dict[str, Shown]:
    """Return {unit: what systemd shows} of the services and their sockets; {} without systemd."""
    if not systemd.is_booted():
        return {}
    return systemd.show([unit for name in SERVICES for unit in both(name)], *_PROPERTIES)


def is_installed(name: str) -> bool:
    """Tell whether systemd runs this machine and has a service's unit."""
    return show().get(service(name), {}).get("LoadState", "not-found") != "not-found"


def restart(name: str) -> str:
    """Return the command that restarts a service, in which systemd keeps its descriptors.

    "" without its unit: then it is somebody else's to restart.
    """
    return remedies.line("systemctl", "restart", service(name)) if is_installed(name) else ""


def start(name: str) -> str:
    """Return the command that starts a service, now and at each boot; "" without its unit."""
    return remedies.line("systemctl", "enable", "--now", *both(name)) if is_installed(name) else ""


def fix(*arguments: str) -> Callable[[], None]:
    """Return what runs systemctl with these arguments."""

    def act() -> None:
        if why := systemd.failure(*arguments):
            raise NotMended(why)

    return act
