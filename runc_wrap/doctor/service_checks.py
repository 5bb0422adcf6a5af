"""Checks of the agent's two services, and of the listeners that observe holds."""

import os
import re
import socket
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from runc_wrap.doctor import profiles_in_force, remedies
from runc_wrap.doctor.remedies import Finding, Severity
from runc_wrap.evidence.sources import source_status
from runc_wrap.host import procfs, systemd
from runc_wrap.host.systemd import Shown
from runc_wrap.hotpath import agent_probe
from runc_wrap.installation import releases
from runc_wrap.installation import services as units
from runc_wrap.ledger.decision_record import LOGGED_MODES
from runc_wrap.node.container_state import container_status, lost_listeners
from runc_wrap.node.paths import Places

_PROGRAM = re.compile(r"\bpath=(\S+?/bin/runc-wrapctl) ;")  # of ExecStart
_BETWEEN = ("activating", "deactivating")  # states of a service that ends and is started again
_OFTEN = 3  # starts, after which one that has not succeeded is not just beginning
_LARGEST = 1024 * 1024  # bytes of /proc/PID/maps
_KEEPS_AT_STOP = 254  # systemd with FileDescriptorStorePreserve (its NEWS)
_SECONDS = 3.0  # the service answers one create after the other
_PAUSE = 1.0  # seconds, in which systemd starts a service again that just ended
_SIGHT = (
    "run it as root in the machine's own namespaces: as a unit of systemd, or in a pod with "
    "hostNetwork: true, hostPID: true and privileged: true"
)


def services(places: Places) -> Iterator[Finding]:
    """Find what systemd says of the services; nothing where neither is installed."""
    shown = units.show()
    for name in units.SERVICES:
        service = shown.get(units.unit(name), {})
        if service.get("LoadState") in ("loaded", "masked"):
            yield from _of_service(places, name, service, shown.get(units.both(name)[0], {}))
    if shown.get(units.unit("observe"), {}).get("LoadState") == "loaded":
        yield from _old_systemd(places)


def _of_service(places: Places, name: str, service: Shown, listening: Shown) -> Iterator[Finding]:
    unit = units.unit(name)
    program = _PROGRAM.search(service.get("ExecStart", ""))
    ours = places.prefix / "bin" / "runc-wrapctl"
    if service["LoadState"] == "masked":
        command = remedies.line("systemctl", "unmask", *units.both(name))
        yield remedies.note(f"{unit} is masked", "unmask it if you want it", command)
    elif program and Path(program[1]).parent.resolve() != ours.parent.resolve():  # also by a link
        sentence = f"{unit} starts {program[1]}, not this installation's {ours}"
        remedy = f"use the other's runc-wrapctl; or {remedies.install_again(places)}"
        yield remedies.warning(sentence, remedy)
    elif "yes" in (service.get("NeedDaemonReload"), listening.get("NeedDaemonReload")):
        sentence = f"systemd has read {unit} before it was changed"
        yield _fixed(sentence, "let it read it again", "daemon-reload")
    else:
        yield from _of_state(places, name, service, listening)


def _of_state(places: Places, name: str, service: Shown, listening: Shown) -> Iterator[Finding]:
    unit, both = units.unit(name), units.both(name)
    states = (service.get("ActiveState"), listening.get("ActiveState"))
    restarts = service.get("NRestarts", "")
    if "failed" in states:
        sentence = f"{unit} has failed (result: {service.get('Result', 'unknown')})"
        remedy = f"restart it; `journalctl -u {unit}` says why it failed"
        yield _fixed(sentence, remedy, "restart", *both)
    elif states[0] in _BETWEEN and restarts.isdecimal() and int(restarts) >= _OFTEN:
        sentence = f"{unit} ends whenever systemd starts it ({restarts} times)"
        command = remedies.line("journalctl", "-u", unit)
        yield remedies.warning(sentence, "mend what its log names", command)
    elif "inactive" in states:
        severity = _of_stopped(places, service)
        sentence = f"{unit} does not run"
        yield _fixed(sentence, "start it", "enable", "--now", *both, severity=severity)
    elif "disabled" in (service.get("UnitFileState"), listening.get("UnitFileState")):
        sentence = f"{unit} will not run after a reboot"
        yield _fixed(sentence, "enable it", "enable", "--now", *both)
    elif running := _other_release(places, service.get("MainPID", "")):
        installed = releases.in_force(places.prefix) or "none"
        sentence = f"{unit} runs the release {running}, and {installed} is installed"
        yield _fixed(sentence, "restart it; systemd keeps its listeners", "restart", unit)


def _of_stopped(places: Places, service: Shown) -> Severity:
    """Grade a service that does not run: its owner may have chosen that, as it is optional."""
    is_chosen = service.get("UnitFileState") == "disabled"
    return "note" if is_chosen and "observe" not in profiles_in_force.modes(places) else "warning"


def _fixed(sentence: str, remedy: str, *words: str, severity: Severity = "warning") -> Finding:
    """Return a finding that systemctl mends with these words."""
    command, fix = remedies.line("systemctl", *words), partial(systemd.do, *words)
    return remedies.Finding(severity, sentence, remedy, command, fix)


def _other_release(places: Places, pid: str) -> str | None:
    """Return the release whose files a process has mapped, if it is not the installed one."""
    if not pid.isdecimal() or pid == "0":
        return None
    directory = (places.prefix / "lib" / "releases").resolve()
    maps = procfs.read(f"/proc/{pid}/maps", _LARGEST) or b""
    found = set(re.findall(b" " + re.escape(bytes(directory)) + rb"/([^/\n]+)/", maps))
    mapped = {each.decode("utf-8", "backslashreplace") for each in found}
    return None if not mapped or releases.in_force(places.prefix) in mapped else min(mapped)


def _old_systemd(places: Places) -> Iterator[Finding]:
    version = systemd.version()
    is_used = "observe" in profiles_in_force.modes(places)
    if is_used and version is not None and version < _KEEPS_AT_STOP:
        yield remedies.warning(
            f"systemd {version} drops containers' seccomp listeners when runc-wrap-observe.service "
            "is stopped: then calls of containers in observe, or recorded, fail with ENOSYS",
            "restart that service only by `systemctl restart`, or use the mode audit; systemd "
            f"{_KEEPS_AT_STOP} keeps them",
            remedies.policy(places),
        )


def agent(places: Places) -> Iterator[Finding]:
    """Find a service that does not answer or does not run; only its user can connect."""
    if not places.agent.exists() or os.access(places.agent, os.X_OK):
        yield from _of_decide(places)
        yield from _of_observe(places)


def _of_decide(places: Places) -> Iterator[Finding]:
    path = places.agent / "decide.sock"
    try:
        answers = _answers(path) or _answers(path, after=_PAUSE)
    except PermissionError:
        return
    except (TimeoutError, BlockingIOError):  # of a full backlog
        answers = False
    except OSError as error:
        cost = (
            f"no agent can be reached at {path} ({error.strerror or error}): each create starts "
            "Python and takes some milliseconds longer"
        )
        remedy = f"{_start(places, 'decide')}; or nothing, since it is optional"
        yield remedies.note(cost, remedy, remedies.start_service("decide"))
        return
    if not answers:
        sentence = f"the agent behind {path} gives no answer: each create waits 0.1 s for it"
        remedy = "see its log, and restart it"
        yield remedies.warning(sentence, remedy, remedies.restart_service("decide"))


def _of_observe(places: Places) -> Iterator[Finding]:
    is_used = "observe" in profiles_in_force.modes(places)
    if is_used and not agent_probe.has_agent(str(places.notify)):
        sentence = (
            "the policy observes or records, but no agent takes listeners: nothing is recorded, "
            "and observe becomes audit, or enforce where a candidate is looked at"
        )
        remedy = (
            f"{_start(places, 'observe')}; outside of systemd, which keeps their listeners, with "
            "--without-descriptor-store; or change the mode"
        )
        yield remedies.warning(sentence, remedy, remedies.start_service("observe"))


def _start(places: Places, name: str) -> str:
    """Return how a service is started; systemd may run this machine and not know it."""
    if units.is_known(name) or not systemd.is_booted():
        return "start it"
    return f"{remedies.install_again(places)}, which installs its unit"


def _answers(path: Path, after: float = 0.0) -> bool:
    """Send a meaningless request as a launcher would; any answer suffices. Raises OSError."""
    time.sleep(after)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller:
        caller.settimeout(_SECONDS)
        caller.connect(str(path))
        try:
            caller.send(b"doctor\0")
            return bool(caller.recv(64))
        except (ConnectionResetError, BrokenPipeError):
            return False


def sight(places: Places) -> Iterator[Finding]:
    """Find a running agent that receives nothing of its evidence; only root can check that."""
    relying = {*LOGGED_MODES, profiles_in_force.CANDIDATE}
    made = remedies.warning if relying & profiles_in_force.modes(places) else remedies.note
    for sentence in source_status.sentences(source_status.read(places.evidence)).values():
        yield made(sentence, _SIGHT, remedies.restart_service("observe"))


def listeners(places: Places) -> Iterator[Finding]:
    """Find containers whose watched calls fail, since their agent ended and closed the listener."""
    try:
        node = lost_listeners.mark(container_status.gather(places.ledger), places)
    except OSError as error:
        sentence = f"the ledger cannot be read: {error.strerror}"
        yield remedies.warning(sentence, f"check {places.ledger}; or run this as root")
        return
    for entry in (one for one in node.entries if one.unheard):
        sentence = f"the seccomp listener of the container {entry.container.id} was closed: "
        sentence += "each call that the agent would answer fails with ENOSYS"
        yield remedies.warning(sentence, lost_listeners.REMEDY)
