"""The units of the two services, as systemd shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.host import systemd

if TYPE_CHECKING:
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
