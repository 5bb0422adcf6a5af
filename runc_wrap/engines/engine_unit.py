"""The unit of systemd that runs an engine, and which containers end when it is restarted.

Those whose shim or monitor is in the unit's cgroup, unless its KillMode leaves it: containerd's own
unit does, CRI-O's monitors have scopes but for cgroupfs. And those of a unit that is restarted with
it: docker.service requires containerd's (docker-ce 20.10) or is bound to it (19.03).

Sources: systemd.unit(5), Requires=; systemd.kill(5), KillMode=; docker/docker-ce-packaging#508;
cri-o/cri-o#2745.
"""

from pathlib import Path

import psutil

from runc_wrap.host import procfs, systemd

_UNITS = ("etc/systemd/system", "run/systemd/system", "usr/local/lib/systemd/system",
          "usr/lib/systemd/system", "lib/systemd/system")  # fmt: skip
_RESTARTED_WITH = ("RequiredBy", "BoundBy", "ConsistsOf")
_KILLS_ALL = ("control-group", "mixed")
_MONITORS = ("containerd-shim", "conmon", "conmonrs")  # as comm, which has 15 characters


def first(names: tuple[str, ...], root: Path) -> str:
    """Return the first of these units that has a file, otherwise the first; "" of none."""
    for name in names:
        if any((root / place / name).exists() for place in _UNITS):
            return name
    return names[0] if names else ""


def ended_by_restart(unit: str) -> str:
    """Return whose shim or monitor a restart of this unit ends, "" for nothing."""
    shown = systemd.show([unit], "KillMode", "ControlGroup").get(unit, {})
    mode, group = shown.get("KillMode"), shown.get("ControlGroup")
    if mode not in _KILLS_ALL or not group:
        return ""
    count = sum(
        one.info["name"][:15] in _MONITORS
        and any(f"{path}/".startswith(f"{group}/") for _, _, path in procfs.cgroups(one.pid) or ())
        for one in psutil.process_iter(["name"])
        if one.info["name"]
    )
    what = f"{count} shims or monitors of containers, as {unit} has KillMode={mode}"
    return what if count else ""


def is_restarted_with(other: str, unit: str) -> bool:
    """Tell whether systemd restarts another unit, which runs, with this one."""
    shown = systemd.show([unit], *_RESTARTED_WITH).get(unit, {})
    if other not in {name for key in _RESTARTED_WITH for name in shown.get(key, "").split()}:
        return False
    return systemd.state(other) not in (systemd.STOPPED, systemd.FAILED)
