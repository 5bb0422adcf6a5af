"""What every engine's module says of it, and one installation of an engine on this node."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

Reload = Literal["restart", "reload", "none"]
ROOT = Path("/")
_UNITS = ("etc/systemd/system", "run/systemd/system", "usr/local/lib/systemd/system",
          "usr/lib/systemd/system", "lib/systemd/system")  # fmt: skip


@dataclass(frozen=True)
class Installation:
    """One engine with one configuration; a node may have several of the same engine.

    `config`: the main file, which need not exist. `unit`: the systemd unit that runs it, "" if
    none does. `socket`: where it answers. `flavour`: the distribution that brings it ("k3s",
    "rke2", "k0s", "microk8s"), "" for a package of its own.
    """

    engine: str
    config: Path
    binary: Path | None = None
    unit: str = ""
    socket: Path | None = None
    flavour: str = ""
    version: str | None = None

    def __str__(self) -> str:
        brought = f" of {self.flavour}" if self.flavour else ""
        return f"{self.engine}{brought} ({self.config})"


class Engine(Protocol):
    """What is asked of each engine. Nothing of it changes the node."""

    name: str  # in `engine add NAME` and in a registration's state

    def detect(self, root: Path = ROOT) -> list[Installation]:
        """Return its installations. Tests give a `root` below which its files are looked for."""

    def check_command(self, found: Installation) -> list[str] | None:
        """Return the engine's own check of its configuration; status 0: it would start with it.

        None if it has none, or is not installed.
        """

    def reload(self, found: Installation, *, loses_default: bool = False) -> Reload:
        """Return what makes it read its configuration again; `none`: it does so by itself."""

    def in_force(self, found: Installation) -> dict[str, str] | None:
        """Return {handler: the path of its runtime, "" for the engine's own choice}.

        That is what the engine itself shows for its configuration; None if it cannot be asked.
        """


def unit_of(names: tuple[str, ...], root: Path = ROOT) -> str:
    """Return the first of these units that has a file, otherwise the first; "" of none."""
    for name in names:
        if any((root / place / name).exists() for place in _UNITS):
            return name
    return names[0] if names else ""
