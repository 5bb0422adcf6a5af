"""Which containers end when systemd restarts an engine's unit, in words for a message.

    Docker      all, without live-restore
    containerd  Docker's, if docker.service requires it (docker-ce 20.10) or is bound to it (19.03)
    any other   those whose shim or monitor is in the unit's cgroup, unless its KillMode leaves it:
                containerd's own unit does, CRI-O's monitors have scopes but for cgroupfs

Sources: systemd.unit(5), Requires=; systemd.kill(5), KillMode=; docker/docker-ce-packaging#508;
cri-o/cri-o#2745.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from runc_wrap.host import files, program, systemd

if TYPE_CHECKING:
    from runc_wrap.host.systemd import Shown

_SECONDS = 20.0
_RUNNING = "[{{json .LiveRestoreEnabled}},{{json .ContainersRunning}},{{json .ContainersPaused}}]"
_DOCKER = "docker.service"
_RESTARTED_WITH = ("RequiredBy", "BoundBy", "ConsistsOf")
_KILLS_ALL = ("control-group", "mixed")
_MONITORS = ("containerd-shim", "conmon", "conmonrs")  # as comm, which has 15 characters
_LARGEST = 1 << 16  # bytes of /proc/PID/cgroup


def of_docker() -> str:
    """Return all that run or are paused, unless the running daemon has live-restore."""
    done = program.run("docker", "info", "--format", _RUNNING, seconds=_SECONDS)
    try:
        keeps, running, paused = json.loads(done.printed)
        count = 0 if keeps is True else int(running) + int(paused)
    except (ValueError, TypeError):
        return "containers that may run, unless live-restore is on"
    containers = "1 container that runs" if count == 1 else f"{count} containers that run"
    return f"{containers}, as live-restore is off" if count else ""


def of_unit(unit: str) -> str:
    """Return what a restart of containerd's or CRI-O's unit ends, "" for nothing."""
    shown = systemd.show([unit], "KillMode", "ControlGroup", *_RESTARTED_WITH).get(unit, {})
    return " and ".join(filter(None, (_monitored(unit, shown), _dockers(shown))))


def _monitored(unit: str, shown: Shown) -> str:
    mode, group = shown.get("KillMode"), shown.get("ControlGroup")
    if mode not in _KILLS_ALL or not group:
        return ""
    count = sum(
        one.info["name"][:15] in _MONITORS and _is_in(one.pid, group)
        for one in psutil.process_iter(["name"])
        if one.info["name"]
    )
    return (
        f"{count} shims or monitors of containers, as {unit} has KillMode={mode}" if count else ""
    )


def _is_in(pid: int, group: str) -> bool:
    try:
        lines = files.read(Path(f"/proc/{pid}/cgroup"), _LARGEST).decode(errors="replace")
    except (OSError, ValueError):
        return False
    found = (line.partition(":")[2].partition(":")[2] for line in lines.splitlines())
    return any(f"{each}/".startswith(f"{group}/") for each in found)


def _dockers(shown: Shown) -> str:
    restarted = {name for key in _RESTARTED_WITH for name in shown.get(key, "").split()}
    if _DOCKER not in restarted:
        return ""
    if systemd.state(_DOCKER) in (systemd.STOPPED, systemd.FAILED):
        return ""
    words = of_docker()
    return f"Docker's, which systemd restarts with it: {words}" if words else ""
