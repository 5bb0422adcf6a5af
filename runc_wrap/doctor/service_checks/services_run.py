"""Whether the services that are installed run, at each boot, in the release that is installed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from runc_wrap.doctor import remedies
from runc_wrap.doctor.policy_checks import profiles_in_force
from runc_wrap.doctor.remedies import Finding, Severity
from runc_wrap.host import procfs, systemd
from runc_wrap.installation import releases, services

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.host.systemd import Shown
    from runc_wrap.node.paths import Places

NAME = "services"
_PROGRAM = re.compile(r"\bpath=(\S+?/bin/runc-wrapctl) ;")  # of ExecStart
_BETWEEN = ("activating", "deactivating")  # states of a service that ends and is started again
_OFTEN = 3  # starts, after which one that has not succeeded is not just beginning
_LARGEST = 1024 * 1024  # bytes of /proc/PID/maps
_KEEPS_AT_STOP = 254  # systemd with FileDescriptorStorePreserve (its NEWS)


def find(places: Places) -> Iterator[Finding]:
    """Find what systemd says of the services; nothing where neither is installed."""
    shown = services.show()
    for name in services.SERVICES:
        service = shown.get(services.unit(name), {})
        if service.get("LoadState") in ("loaded", "masked"):
            yield from _of_service(places, name, service, shown.get(services.both(name)[0], {}))
    if shown.get(services.unit("observe"), {}).get("LoadState") == "loaded":
        yield from _old_systemd(places)


def _of_service(places: Places, name: str, service: Shown, socket: Shown) -> Iterator[Finding]:
    unit = services.unit(name)
    program = _PROGRAM.search(service.get("ExecStart", ""))
    ours = places.prefix / "bin" / "runc-wrapctl"
    if service["LoadState"] == "masked":
        command = remedies.line("systemctl", "unmask", *services.both(name))
        yield Finding(NAME, "note", f"{unit} is masked", "unmask it if you want it", command)
    elif program and not _is_same(program[1], ours):
        sentence = f"{unit} starts {program[1]}, not this installation's {ours}"
        remedy = f"use the other's runc-wrapctl; or {remedies.install_again(places)}"
        yield Finding(NAME, "warning", sentence, remedy)
    elif "yes" in (service.get("NeedDaemonReload"), socket.get("NeedDaemonReload")):
        sentence = f"systemd has read {unit} before it was changed"
        yield _fixed(sentence, "let it read it again", "daemon-reload")
    else:
        yield from _of_state(places, name, service, socket)


def _is_same(program: str, ours: Path) -> bool:
    """Tell whether both are the command of one installation, also by a link to its prefix."""
    return Path(program).parent.resolve() == ours.parent.resolve()


def _of_state(places: Places, name: str, service: Shown, socket: Shown) -> Iterator[Finding]:
    unit, state = services.unit(name), service.get("ActiveState")
    if "failed" in (state, socket.get("ActiveState")):
        sentence = f"{unit} has failed (result: {service.get('Result', 'unknown')})"
        remedy = f"restart it; `journalctl -u {unit}` says why it failed"
        yield _fixed(sentence, remedy, "restart", *services.both(name))
    elif state in _BETWEEN and _number(service, "NRestarts") >= _OFTEN:
        sentence = f"{unit} ends whenever systemd starts it ({service['NRestarts']} times)"
        command = remedies.line("journalctl", "-u", unit)
        yield Finding(NAME, "warning", sentence, "mend what its log names", command)
    elif state == "inactive" or socket.get("ActiveState") == "inactive":
        severity = _of_stopped(places, service)
        start = ("enable", "--now", *services.both(name))
        yield _fixed(f"{unit} does not run", "start it", *start, severity=severity)
    elif "disabled" in (service.get("UnitFileState"), socket.get("UnitFileState")):
        sentence = f"{unit} will not run after a reboot"
        yield _fixed(sentence, "enable it", "enable", "--now", *services.both(name))
    elif running := _other_release(places, service.get("MainPID", "")):
        installed = releases.in_force(places.prefix) or "none"
        sentence = f"{unit} runs the release {running}, and {installed} is installed"
        yield _fixed(sentence, "restart it; systemd keeps its listeners", "restart", unit)


def _number(shown: Shown, name: str) -> int:
    value = shown.get(name, "")
    return int(value) if value.isdecimal() else 0


def _of_stopped(places: Places, service: Shown) -> Severity:
    """Grade a service that does not run: its owner may have chosen that, as it is optional."""
    is_chosen = service.get("UnitFileState") == "disabled"
    return "note" if is_chosen and "observe" not in profiles_in_force.modes(places) else "warning"


def _fixed(sentence: str, remedy: str, *arguments: str, severity: Severity = "warning") -> Finding:
    command = remedies.line("systemctl", *arguments)
    return Finding(NAME, severity, sentence, remedy, command, remedies.run_systemctl(*arguments))


def _other_release(places: Places, pid: str) -> str | None:
    """Return the release whose files a process has mapped, if it is not the installed one."""
    if not pid.isdecimal() or pid == "0":
        return None
    directory = (places.prefix / "lib" / "releases").resolve()
    found = set(re.findall(b" " + re.escape(bytes(directory)) + rb"/([^/\n]+)/", _maps(pid)))
    mapped = {each.decode("utf-8", "backslashreplace") for each in found}
    return None if not mapped or releases.in_force(places.prefix) in mapped else min(mapped)


def _maps(pid: str) -> bytes:
    return procfs.read(f"/proc/{pid}/maps", _LARGEST) or b""


def _old_systemd(places: Places) -> Iterator[Finding]:
    version = systemd.version()
    is_used = "observe" in profiles_in_force.modes(places)
    if is_used and version is not None and version < _KEEPS_AT_STOP:
        yield Finding(
            NAME,
            "warning",
            f"systemd {version} drops containers' seccomp listeners when runc-wrap-observe.service "
            "is stopped: then calls of containers in observe, or recorded, fail with ENOSYS",
            "restart that service only by `systemctl restart`, or use the mode audit; systemd "
            f"{_KEEPS_AT_STOP} keeps them",
            remedies.policy(places),
        )
