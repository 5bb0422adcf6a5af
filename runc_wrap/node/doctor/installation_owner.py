"""Whether anybody but root can change what runs as root, or put something else in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.host import ownership
from runc_wrap.node.doctor.check_finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.node.paths import Places

NAME = "ownership"


def find(places: Places) -> Iterator[Finding]:
    """Find what others can change in the installation, and on the way to it."""
    try:
        for path, how in ownership.installation(str(places.prefix)):
            yield Finding(
                NAME,
                "error",
                f"{path} {how}, who could then run programs as the engine",
                f"make it root's alone (chown root, chmod go-w, setfacl -b {path}), or install "
                "beneath a directory that is",
            )
    except OSError as error:
        sentence = f"{error.filename}: {error.strerror}"
        yield Finding(NAME, "note", sentence, "run doctor as root")
