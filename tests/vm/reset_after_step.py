"""Runs runc-wrapctl of an installation; the machine is reset right after a step was written down.

Run on a guest, by the installation's own Python. RESETS has the steps, one a line: each run takes
the first one away, and is the plain command if there is none.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runc_wrap.cli import entry_point
from runc_wrap.node.engines.canary import canary_proof
from runc_wrap.node.engines.transaction import file_snapshot, journal

if TYPE_CHECKING:
    from collections.abc import Callable

RESETS = Path("/root/resets")
PUT_BACK = "put back"  # no step of the journal: every file is the former one, the engine is not


def main() -> None:
    """Run the command that the arguments name."""
    step = _next()
    if step == journal.REVERTING:
        _replace(canary_proof, "check", _proves_nothing)
    _reset_after(journal, "write", lambda _path, entry: entry.step == step)
    _reset_after(file_snapshot, "put_back", lambda _snapshot: step == PUT_BACK)
    entry_point.start()


def _next() -> str:
    """Take the first step away, for good."""
    step, *more = RESETS.read_text().splitlines() or [""]
    RESETS.write_text("".join(f"{one}\n" for one in more))
    os.sync()
    return step


def _proves_nothing(*_words: object) -> str:
    raise canary_proof.NotProved("of the test")


def _reset_after(module: object, name: str, is_here: Callable[..., bool]) -> None:
    function = getattr(module, name)

    def wrapped(*words: Any) -> None:
        function(*words)
        if is_here(*words):
            Path("/proc/sysrq-trigger").write_text("b")  # at once, and nothing is synced
            time.sleep(600)

    _replace(module, name, wrapped)


def _replace(module: object, name: str, function: Callable[..., object]) -> None:
    assert callable(getattr(module, name))
    setattr(module, name, function)


if __name__ == "__main__":
    main()
