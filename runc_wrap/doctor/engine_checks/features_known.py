"""Whether the engines know the features of the runtime that is in force now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.doctor.remedies import Finding
from runc_wrap.engines import features_asked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.node.paths import Places

NAME = "features"


def find(places: Places) -> Iterator[Finding]:
    """Find engines that were started before the runtime was changed."""
    for found in features_asked.stale(places):
        yield Finding(
            NAME,
            "warning",
            f"{found} asked for the runtime's features when it started, and the runtime has "
            "changed since: it may refuse pods that need newer ones",
            "restart it when it suits the node",
            found.reload_command(),
        )
