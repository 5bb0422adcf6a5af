"""Running a program of the node with a bound on its time and its output, and few variables."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import IO

from runc_wrap.node import installed_programs

_LARGEST = 1 << 20  # bytes of output that are looked at
_KEPT = ("HOME", "LANG", "XDG_RUNTIME_DIR")
_MOST_SAID = 600  # characters of a failure
_MISSING = 127


@dataclass(frozen=True)
class Ended:
    """How a program ended; `said` is one line: its stderr, or its stdout without one."""

    status: int
    printed: str
    said: str

    @property
    def is_well(self) -> bool:
        """Whether it succeeded."""
        return self.status == 0


def run(name: str, *words: str, seconds: float, stdin: bytes = b"") -> Ended:
    """Run a program of the fixed path to its end; a missing one has failed, as a hanging one."""
    path = installed_programs.locate(name)
    if path is None:
        return Ended(_MISSING, "", f"{name} is not installed")
    with _memory() as out, _memory() as err:
        try:
            done = subprocess.run(
                [path, *words], input=stdin, stdout=out, stderr=err, timeout=seconds, check=False,
                env=_environment(),
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return Ended(-1, "", f"`{name} {words[0]}` did not end within {seconds:g} s")
        except OSError as error:
            return Ended(-1, "", f"{path}: {error.strerror}")
        printed, complaint = _text(out), _text(err)
    said = " ".join((complaint or printed).split())[-_MOST_SAID:]
    return Ended(done.returncode, printed, said or f"it ended with status {done.returncode}")


def _memory() -> IO[bytes]:
    """Return a file in memory: a revert must be able to restart an engine on a full disk."""
    return os.fdopen(os.memfd_create("output"), "w+b")


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return kept | {"PATH": ":".join(installed_programs.FIXED_PATH), "LC_ALL": "C.UTF-8"}


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(_LARGEST).decode(errors="replace")
