"""Whether what engines call is there and can be run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runc_wrap.node.doctor.check_finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runc_wrap.node.paths import Places

NAME = "launcher"
_SHELL_SCRIPT = (
    b"# What the engine executes where launcher.c could not be compiled"  # launcher.sh, line 1
)
_BEGINNING = 16 * 1024  # bytes, in which that line lies however long the prefix is
_FEW = 200  # characters of a sentence


def find(places: Places) -> Iterator[Finding]:
    """Find a launcher that cannot be run, or that is the shell script."""
    path = places.wrapper
    if not os.access(path, os.X_OK) or not path.is_file():
        sentence = f"{path}, which engines call, is not there or is no program"
        yield Finding(NAME, "error", sentence, "run install.sh again")
        return
    if _is_shell_script(path):
        yield _shell_script(places.prefix / "lib" / "current" / "not-built")


def _shell_script(reason: Path) -> Finding:
    """Return what it costs, and why it is there: the reason, then the compiler's words."""
    try:
        with reason.open(errors="replace") as file:
            why = file.readline(_FEW).rstrip("\n")
            words = file.read(1)
    except OSError:
        why, words = "it could not be compiled", ""
    remedy = "install a C compiler (gcc and musl-tools) and run install.sh again"
    return Finding(
        NAME,
        "note",
        f"the launcher is a shell script, as {why}: it adds 1.6 ms to each call of the runtime, "
        "exec probes too, where the compiled one adds 0.4 ms, and with musl 0.1 ms (medians of "
        "1000 calls); and it never asks the agent",
        f"see the compiler's own words in {reason}, then run install.sh again" if words else remedy,
    )


def _is_shell_script(path: Path) -> bool:
    with path.open("rb") as file:
        return _SHELL_SCRIPT in file.read(_BEGINNING)
