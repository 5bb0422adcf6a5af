"""A registered handler: its name and path; and the errors of this package."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from runc_wrap.failure import Failure

Facts = dict[str, Any]  # what an engine's files depend on; see Engine.facts
DEFAULT_NAME = "runc-wrap"
RESERVED = frozenset({"runc", "crun"})
ANNOTATIONS = (
    "runc-wrap/*",
    "seccomp.security.alpha.kubernetes.io/*",
    "container.seccomp.security.alpha.kubernetes.io/*",
)
_LONGEST_TEXT = 1000  # characters of an engine's words in our message
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class EngineError(Failure):
    """The command failed and changed nothing: what was found, and what to try."""


class CallFailed(Failure):
    """The engine refused, or did not answer in time; `code` is gRPC's, None without one."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message[:_LONGEST_TEXT])
        self.code = code


@dataclass(frozen=True)
class Handler:
    """One registration. `path` is absolute; `default`: the engine uses it if none is named."""

    name: str
    path: str
    default: bool = False


@dataclass(frozen=True)
class HandedOver(Handler):
    """A removed handler whose name leads to the real runtime and is the owner's from now on.

    `was_default`: it was the engine's default, and is none any more.
    """

    was_default: bool = False


def check_name(name: str) -> str:
    """Return `name` if it is a label (RFC 1123), as RuntimeClass requires. Raises EngineError."""
    if name in RESERVED:
        raise EngineError(f'"{name}" is the real runtime\'s name; try: --handler {DEFAULT_NAME}')
    if not _LABEL.fullmatch(name):
        raise EngineError(
            f"handler name {name!r}, wanted a DNS label: 1 to 63 of a-z, 0-9 and -, beginning and "
            f"ending with a letter or digit; try: --handler {DEFAULT_NAME}"
        )
    return name


def refuse_taken(where: str, handlers: Iterable[Handler], *runtimes: Collection[str]) -> None:
    """Raise EngineError if somebody else has defined a runtime of such a name in a file."""
    for name in (each.name for each in handlers):
        if any(name in each for each in runtimes):
            raise EngineError(
                f'{where}: a runtime "{name}" of which runc-wrapctl has no record; try: another '
                "--handler, or remove that runtime first"
            )
