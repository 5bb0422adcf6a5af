"""The services of an installation, as units of systemd.

The units of a release name /opt/runc-wrap; here they get the installation's own prefix. A restart
is one job, over which systemd keeps the descriptors that the services stored.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from runc_wrap.host import change_set, systemd
from runc_wrap.installation.releases import DEFAULT_PREFIX

SERVICES = ("decide", "observe")
_RUNS = frozenset({"active", "activating", "reloading", "refreshing", "failed"})
_PROPERTIES = (
    "LoadState UnitFileState ActiveState Result NeedDaemonReload NRestarts MainPID ExecStart"
).split()


def unit(name: str) -> str:
    """Return the name of a service's unit."""
    return f"runc-wrap-{name}.service"


def both(name: str) -> tuple[str, str]:
    """Return a service's units, its socket first."""
    return f"runc-wrap-{name}.socket", unit(name)


_UNITS = [each for name in SERVICES for each in both(name)]


def show() -> dict[str, systemd.Shown]:
    """Return {unit: what systemd shows} of the services and their sockets; {} without systemd."""
    return systemd.show(_UNITS, *_PROPERTIES) if systemd.is_booted() else {}


def is_known(name: str) -> bool:
    """Tell whether systemd runs this machine and has a service's unit."""
    return show().get(unit(name), {}).get("LoadState", "not-found") != "not-found"


def texts(directory: Path, prefix: Path) -> dict[str, str]:
    """Return {unit: text} of a directory of units, for this prefix."""
    files = sorted(directory.glob("*.s*"))
    return {file.name: file.read_text().replace(DEFAULT_PREFIX, str(prefix)) for file in files}


def obstacle(prefix: Path, units: Iterable[str]) -> str:
    """Return why this installation gets no services, "" if it may."""
    if not systemd.is_booted():
        return "systemd does not run here"
    if not systemd.is_plain(prefix):
        return f"a unit cannot name the path {prefix}"
    places = (systemd.UNITS, systemd.VENDOR)
    for path in (place / name for name in units for place in places):
        text = systemd.text(path)
        if text is not None and not _is_of(text, prefix):
            return f"{path} is another installation's"
    return ""


def _is_of(text: str, prefix: Path) -> bool:
    return f"={prefix}/" in text


class Services:
    """The units of one release, before and while it is put in force."""

    def __init__(self, wanted: dict[str, str]) -> None:
        masked = [name for name in wanted if systemd.is_masked(name)]  # by its owner
        self._wanted = {name: text for name, text in wanted.items() if name not in masked}
        self._before = {name: systemd.text(systemd.UNITS / name) for name in self._wanted}
        self.new = [name for name, text in self._before.items() if text is None]
        former = [name for name in self._wanted if name not in self.new]
        self.ran = [name for name in former if systemd.state(name) in _RUNS]

    def changes(self) -> Iterator[change_set.PathChange]:
        """Yield what makes the units' files those of this release."""
        for name, text in self._wanted.items():
            path = systemd.UNITS / name
            yield change_set.PathChange(path, change_set.content(path), text.encode(), is_ours=True)

    def start(self) -> None:
        """Enable and start new units, restart those that run. Raises UnitFailed.

        What its owner stopped is left alone; a socket too, unless its text is another one.
        """
        systemd.do("daemon-reload")
        if self.new:
            systemd.do("enable", "--now", *self.new)
        restarted = [name for name in self.ran if not name.endswith(".socket")
                     or self._before[name] != self._wanted[name]]  # fmt: skip
        if restarted:
            systemd.do("restart", *restarted)
        for name in (*self.new, *restarted):
            if (found := systemd.state(name)) != systemd.ACTIVE:
                raise systemd.UnitFailed(f"{name} is {found}; `journalctl -u {name}` says why")


def remove(names: Iterable[str]) -> None:
    """Stop, disable and remove units. Raises UnitFailed and OSError."""
    there = [name for name in names if (systemd.UNITS / name).exists()]
    if there and systemd.is_booted():
        systemd.do("disable", "--now", *there)
    for name in there:
        systemd.unlink(systemd.UNITS / name)
    if there and systemd.is_booted():
        systemd.do("daemon-reload")


def installed(prefix: Path) -> Iterator[str]:
    """Yield the units that are there and are this installation's."""
    for name in _UNITS:
        if (text := systemd.text(systemd.UNITS / name)) is not None and _is_of(text, prefix):
            yield name
