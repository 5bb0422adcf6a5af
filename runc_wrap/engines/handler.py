"""A registered handler: its name and path; and the errors of this package."""

from __future__ import annotations

import re
from dataclasses import dataclass

from runc_wrap.failure import Failure

DEFAULT_NAME = "runc-wrap"
RESERVED = frozenset({"runc", "crun"})
ANNOTATIONS = (
    "runc-wrap/*",
    "seccomp.security.alpha.kubernetes.io/*",
    "container.seccomp.security.alpha.kubernetes.io/*",
)
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class EngineError(Failure):
    """The command failed and changed nothing: what was found, what was wanted, what to try."""

    def __init__(self, found: str, wanted: str, advice: str) -> None:
        super().__init__(f"{found}; wanted {wanted}; try: {advice}")


@dataclass(frozen=True)
class Handler:
    """One registration. `path` is absolute; `default`: the engine uses it if none is named."""

    name: str
    path: str
    default: bool = False

    @property
    def is_default(self) -> bool:
        """Whether the engine's configuration must name it as the default."""
        return self.default


@dataclass(frozen=True)
class HandedOver(Handler):
    """A removed handler whose name leads to the real runtime and is the owner's from now on.

    `default`: it was the engine's default.
    """

    @property
    def is_default(self) -> bool:
        """It is not the default any more."""
        return False


def check_name(name: str) -> str:
    """Return `name` if it is a label (RFC 1123), as RuntimeClass requires. Raises EngineError."""
    if name in RESERVED:
        raise EngineError(
            f'handler name "{name}" is the real runtime\'s',
            "a different name",
            f"--handler {DEFAULT_NAME}",
        )
    if not _LABEL.fullmatch(name):
        raise EngineError(
            f"handler name {name!r}",
            "a DNS label: 1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit",
            f"--handler {DEFAULT_NAME}",
        )
    return name
