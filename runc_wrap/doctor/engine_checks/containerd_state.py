"""Whether a slow create makes containerd tear down the container.

containerd gives a shim two seconds to tell a container's state (the setting
`io.containerd.timeout.task.state`, in all releases). Up to 2.3.1 a shim does not answer while a
create runs in it. Up to 2.2 containerd then called the state unknown. Since 2.3.0 (commit
f078cebbd, containerd/containerd#12821) its callers get the error, and may tear down the container
that was just created. The shim of 2.3.2 answers meanwhile (#13483, to release/2.3 by #13512).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from runc_wrap.doctor.check_finding import Finding
from runc_wrap.host import engine_names, program
from runc_wrap.node import installed_programs
from runc_wrap.profiles import engine_versions
from runc_wrap.profiles.source_profile import ProfileError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.node.paths import Places
    from runc_wrap.profiles.engine_versions import Version

NAME = "state-timeout"
_CONTAINERD = engine_names.CONTAINERD
_FATAL_SINCE, _ANSWERS_SINCE = "2.3.0", "2.3.2"
_SHIM = "containerd-shim-runc-v2"
_SHIMS_VERSION = re.compile(r"^\s*Version:\s+(\S+)$", re.MULTILINE)


def find(_: Places) -> Iterator[Finding]:
    """Find a containerd that gives up a container whose shim it cannot ask during a create."""
    containerd = _parsed(installed_programs.version(_CONTAINERD.name))
    if containerd is None or not engine_versions.reached(containerd, _FATAL_SINCE):
        return
    path = installed_programs.program_of(_CONTAINERD.name) or Path("/usr/bin/containerd")
    brought = {path: name for name, path in installed_programs.DISTRIBUTIONS.items()}
    by = brought.get(str(path), "")
    shim_path = path.with_name(_SHIM) if by else program.locate(_SHIM)
    shim = _shims_version(shim_path) or containerd
    if engine_versions.reached(shim, _ANSWERS_SINCE):
        return
    whose = f"{by}'s " if by else ""
    where = "the template or a drop-in of its configuration" if by else "its configuration"
    yield Finding(
        NAME,
        "warning",
        f"{whose}containerd {containerd} with the shim {shim}: if a create takes over two "
        "seconds on a busy node, containerd may tear the container down",
        f"upgrade {by or f'what has {shim_path or path}'}, to containerd and {_SHIM} "
        f"{_ANSWERS_SINCE} or newer; until then set "
        f'"io.containerd.timeout.task.state" = "10s" in [timeouts] of {where}',
    )


def _shims_version(shim: Path | None) -> Version | None:
    printed = program.output(str(shim), "-v") if shim else None
    found = _SHIMS_VERSION.search(printed or "")
    return _parsed(found[1]) if found else None


def _parsed(text: str | None) -> Version | None:
    try:
        return engine_versions.parse(text) if text else None
    except ProfileError:
        return None
