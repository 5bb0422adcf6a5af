"""Runs runc-wrapctl of an installation; the machine is reset right after a step was done.

Run on a guest, by the installation's own Python. RESETS has the steps, one a line: each run takes
the first one away, and is the plain command if there is none.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runc_wrap.cli import entry_point
from runc_wrap.engines.transaction import canary_proof, transaction_run
from runc_wrap.host import change_set

RESETS = Path("/root/resets")
# What has just been done, in the order of a transaction.
WRITTEN, CHECKED, RESTARTED, PROVED = "written", "checked", "restarted", "proved"
PUT_BACK, CLOSED = "put back", "closed"
UNFINISHED = (WRITTEN, CHECKED, RESTARTED, PROVED, PUT_BACK)
_AFTER: dict[str, tuple[object, str]] = {
    WRITTEN: (change_set, "begin"),
    CHECKED: (transaction_run, "_checked"),
    RESTARTED: (transaction_run, "_restarted"),
    PROVED: (transaction_run, "_canary"),
    PUT_BACK: (change_set, "restore"),
    CLOSED: (change_set, "close"),
}


def main() -> None:
    """Run the command that the arguments name."""
    if (step := _next()) in _AFTER:
        _reset_after(*_AFTER[step])
    if step == PUT_BACK:
        _replace(canary_proof, "check", _proves_nothing)
    entry_point.start()


def _next() -> str:
    """Take the first step away, for good."""
    step, *more = RESETS.read_text().splitlines() or [""]
    RESETS.write_text("".join(f"{one}\n" for one in more))
    os.sync()
    return step


def _proves_nothing(*_words: object) -> str:
    raise canary_proof.NotProved("of the test")


def _reset_after(module: object, name: str) -> None:
    function = getattr(module, name)

    def wrapped(*words: Any, **named: Any) -> None:
        function(*words, **named)
        Path("/proc/sysrq-trigger").write_text("b")  # at once, and nothing is synced
        time.sleep(600)

    _replace(module, name, wrapped)


def _replace(module: object, name: str, function: Callable[..., object]) -> None:
    assert callable(getattr(module, name))
    setattr(module, name, function)


if __name__ == "__main__":
    main()
