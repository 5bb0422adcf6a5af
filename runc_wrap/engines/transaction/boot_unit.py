"""The unit that puts files of an unfinished change back at boot, before the engines start.

It exists only while a transaction is not over. It is written where systemd finds it at the next
boot, so that nothing has to be loaded now. It asks no engine: those start after it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from runc_wrap.engines import engine_registry
from runc_wrap.engines.handler import EngineError
from runc_wrap.host import files, systemd
from runc_wrap.node import paths

if TYPE_CHECKING:
    from pathlib import Path

    from runc_wrap.node.paths import Places

_WANTED_BY = "multi-user.target.wants"
_TEXT = """# Of `runc-wrapctl engine`, while a change of an engine is not proved.
[Unit]
Description=runc-wrap: taking back an unfinished change of an engine
Before={before}
RequiresMountsFor={mounts}

[Service]
Type=oneshot
ExecStart={command} --prefix {prefix} engine revert --boot
TimeoutStartSec=1min
"""


def changes(places: Places) -> Path:
    """Return where the records of changes are that are not over."""
    return places.var / "changes"


def is_any_left(places: Places) -> bool:
    """Tell whether there is any such record, readable or not."""
    return any(changes(places).glob("*.json"))


def name_of(places: Places) -> str:
    """Return the unit's name; installations of other prefixes have their own."""
    if places.prefix == paths.DEFAULT_PREFIX:
        return "runc-wrap-revert.service"
    digest = hashlib.sha256(str(places.prefix).encode()).hexdigest()[:8]
    return f"runc-wrap-revert-{digest}.service"


def text(places: Places, unit: str) -> str:
    """Return the unit's text; `unit` is the engine's. Raises EngineError."""
    if not systemd.is_plain(places.prefix):
        raise EngineError(
            f"a unit cannot name the path {places.prefix}",
            "a prefix of letters, digits and /._+@:-",
            "`engine add` without --restart",
        )
    names = [name for kind in engine_registry.ENGINES.values() for name in kind.units]
    before = dict.fromkeys([*names, *([unit] if unit else [])])
    # the state may be on a file system that is mounted late, as one of the network
    var = places.var.resolve()
    mounts = f"{places.prefix} {var}" if systemd.is_plain(var) else str(places.prefix)
    command = places.wrapper.with_name("runc-wrapctl")
    return _TEXT.format(
        before=" ".join(before), mounts=mounts, command=command, prefix=places.prefix
    )


def write(places: Places, unit: str, directory: Path = systemd.UNITS) -> None:
    """Write and enable it. Raises EngineError and OSError."""
    path = directory / name_of(places)
    systemd.write(path, text(places, unit))
    wanted = directory / _WANTED_BY
    wanted.mkdir(exist_ok=True)
    files.replace_link(wanted / path.name, str(path))
    files.sync(wanted)


def remove(places: Places, directory: Path = systemd.UNITS) -> None:
    """Remove it, and what a killed writer left of it. Raises OSError."""
    name = name_of(places)
    for path in (directory / _WANTED_BY / name, directory / name):
        systemd.unlink(path)
