"""The two services as systemd shows them, and the commands that start them."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from runc_wrap.doctor import commands
from runc_wrap.doctor.check_finding import NotMended
from runc_wrap.host import program, socket_peers

if TYPE_CHECKING:
    from collections.abc import Callable

    from runc_wrap.node.paths import Places

SERVICES = ("decide", "observe")
_BOOTED = Path("/run/systemd/system")  # sd_booted(3)
_PROPERTIES = (
    "Id LoadState UnitFileState ActiveState Result NeedDaemonReload NRestarts MainPID ExecStart"
)
_VERSION = re.compile(r"systemd (\d+)")
_WITHOUT = {"decide": (), "observe": ("--without-descriptor-store",)}  # options without systemd
# decide holds nothing, and one that is stopped ends by no other signal.
_ENDED_BY = {"decide": "KILL", "observe": "TERM"}
_ENDING = 2  # seconds for that

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


def restart(places: Places, name: str) -> str:
    """Return the command that restarts a service, in which systemd keeps its descriptors.

    Without its unit: the command that ends the process and starts another. One that holds
    containers' listeners must not end: then the command shows these containers.
    """
    if is_installed(name):
        return commands.line("systemctl", "restart", service(name))
    pid = _listening(places, name)
    if pid <= 1:  # of no process, or of systemd itself
        return start(places, name)
    if name == "observe" and any(places.listeners.glob("*.json")):
        return commands.ctl(places, "status")
    signal = _ENDED_BY[name]
    return f"kill -{signal} {pid} && sleep {_ENDING} && {_by_hand(places, name)}"


def start(places: Places, name: str) -> str:
    """Return the command that starts a service, now and at each boot if systemd is there."""
    if is_installed(name):
        return commands.line("systemctl", "enable", "--now", *both(name))
    return commands.install(places) if is_booted() else _by_hand(places, name)


def _by_hand(places: Places, name: str) -> str:
    return f"setsid {commands.ctl(places, 'agent', name, *_WITHOUT[name])} &"


def _listening(places: Places, name: str) -> int:
    """Return the process of a service without a unit, 0 if none takes a connection."""
    asked = {"decide": "decide.sock", "observe": "evidence.sock"}[name]
    return socket_peers.listener(str(places.agent / asked), socket.SOCK_SEQPACKET)


def fix(*arguments: str) -> Callable[[], None]:
    """Return what runs systemctl with these arguments."""

    def act() -> None:
        if said := program.failure("systemctl", *arguments):
            raise NotMended(f"`{commands.line('systemctl', *arguments)}` failed: {said}")

    return act
