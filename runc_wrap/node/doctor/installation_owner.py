"""Whether any user except root can change or replace programs that run as root."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.host import ownership
from runc_wrap.node.doctor.check_finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.node.paths import Places

NAME = "ownership"


def find(places: Places) -> Iterator[Finding]:
    """Find what others can change in the installation, or in the directories above it."""
    try:
        for path, how in ownership.installation(str(places.prefix)):
            yield Finding(
                NAME,
                "error",
                f"{path} {how}, which lets others run programs as the engine",
                f"let only root own and write it (chown root, chmod go-w, setfacl -b {path}), or "
                "install beneath a directory of which that is true",
            )
    except OSError as error:
        sentence = f"{error.filename}: {error.strerror}"
        yield Finding(NAME, "note", sentence, "run doctor as root")
