"""Whether what engines call is there and can be run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runc_wrap.node.checks.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.node.places import Places

NAME = "launcher"
_OTHERS_MAY_WRITE = 0o022


def find(places: Places) -> Iterator[Finding]:
    """Find a launcher that is gone or cannot be run, or that others than its owner can change."""
    path = places.wrapper
    if not os.access(path, os.X_OK) or not path.is_file():
        sentence = f"{path}, which engines call, is not there or is no program"
        yield Finding(NAME, "error", sentence, "run install.sh again")
        return
    for each in (path.resolve(), places.prefix, places.etc, places.var):
        if each.exists() and each.stat().st_mode & _OTHERS_MAY_WRITE:
            yield Finding(
                NAME,
                "error",
                f"{each} can be changed by others than its owner, who could then run as the engine",
                f"chmod go-w {each}",
            )
