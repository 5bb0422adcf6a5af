"""A guest: a whole system to install on, a virtual machine (tests/vm) or a box (tests/boxes)."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from harness.host.processes import CommandError, Run, wait_until

PATIENCE = 300  # seconds for a command, emulated and beside other work; most take one or two
PAUSE = 1.0  # seconds between two looks: each costs an emulated CPU about as much
# systemd 252 knows no such setting, and does without it.
_OF_OLD_SYSTEMD = "Unknown key 'FileDescriptorStorePreserve' in section [Service], ignoring."


def wait(condition: Callable[[], bool], what: str) -> None:
    """Poll as `wait_until` does, but as slowly and as long as suits an emulated machine."""
    wait_until(condition, what, PATIENCE, pause=PAUSE)


class Guest(ABC):
    """A running system of a Debian suite; its own kind says how it is reached.

    `warned` is what every such system says about us once, `may_warn` what some do.
    """

    may_warn: tuple[str, ...] = ()

    def __init__(self, suite: str) -> None:
        self.suite = suite
        self.warned: tuple[str, ...] = (_OF_OLD_SYSTEMD,) if suite == "bookworm" else ()

    @abstractmethod
    def power_on(self) -> None:
        """Boot, and wait until every unit has started."""

    @abstractmethod
    def power_off(self) -> None:
        """Take its power away; one that is off stays off."""

    @abstractmethod
    def reboot(self) -> None:
        """Reboot in good order, and wait until every unit has started."""

    @abstractmethod
    def attempt(self, script: str, *words: str | Path, seconds: float = PATIENCE) -> Run:
        """Run a shell script as root; any exit status is a result. 255: it cannot be reached."""

    @abstractmethod
    def copy_in(self, files: Sequence[Path], to: str) -> None:
        """Copy files into a directory of the guest, by their own names."""

    @abstractmethod
    def forward(self, guest: str) -> Path:
        """Return a socket of this machine that leads to the guest's socket."""

    def sh(self, script: str, *words: str | Path, seconds: float = PATIENCE) -> str:
        """Run a shell script as root, with arguments; insist on success; return what it printed."""
        done = self.attempt(script, *words, seconds=seconds)
        if done.returncode:
            raise CommandError(f"{script}\nexit {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def json(self, script: str, *words: str | Path) -> Any:
        """Run a script that prints one JSON document."""
        return json.loads(self.sh(script, *words))
