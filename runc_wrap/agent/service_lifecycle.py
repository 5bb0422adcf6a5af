"""The life of both services: how they begin, and become the installed release."""

from __future__ import annotations

import posix
import sys

from runc_wrap.agent import signals, sockets, start_command, systemd_protocol
from runc_wrap.agent.service_log import say, warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from runc_wrap.agent.systemd_protocol import NamedDescriptor


def begin(prefix: str, role: str, names: Sequence[str]) -> list[NamedDescriptor]:
    """Return the descriptors that were handed over and those of all sockets of these names.

    Exits with 2 if the service cannot start.
    """
    posix.umask(0o077)
    try:
        return sockets.take(prefix, role, names, systemd_protocol.received(posix.environ))
    except sockets.UnusableSocket as error:
        warn(str(error))
        sys.exit(2)


class Release:
    """The release that this process belongs to."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._own = start_command.own_release(prefix)

    def is_installed(self) -> bool:
        """Return whether it is the installed release, which alone knows its policy's form."""
        return start_command.release(self._prefix) == self._own


def begin_anew(prefix: str, role: str, held: Sequence[NamedDescriptor]) -> NoReturn:
    """Become the installed release's service, with these descriptors."""
    words = start_command.command_anew(prefix, role)
    say("another release is installed; it takes over.")
    signals.hold()
    try:
        systemd_protocol.become(words, held, posix.environ)
    except OSError as error:
        warn(f"{words[0]}: {error.strerror}; the supervisor starts it again.")
        sys.exit(1)
