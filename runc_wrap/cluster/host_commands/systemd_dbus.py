"""The host's systemd, by its private socket: transient units, and what became of them.

The socket speaks D-Bus without a bus (org.freedesktop.systemd1(5)), to root only. Its directory is
mounted into the pod, since systemd makes the socket anew when it is executed again.
"""

import itertools
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jeepney import DBusAddress, HeaderFields, Message, MessageType, Parser, new_method_call
from jeepney.auth import BEGIN, AuthenticationError, Authenticator

from runc_wrap import safe_text
from runc_wrap.failure import Failure

_NAME = "org.freedesktop.systemd1"
_MANAGER = DBusAddress("/org/freedesktop/systemd1", _NAME, f"{_NAME}.Manager")
_PROPERTIES = "org.freedesktop.DBus.Properties"
_UNKNOWN, _EXISTS = f"{_NAME}.NoSuchUnit", f"{_NAME}.UnitExists"
_SECONDS = 25.0  # for one call; systemd may be reloading
_PAUSE = 0.05  # seconds
RUNNING, DONE, FAILED, GONE = "running", "done", "failed", "gone"
# All others run: one is inactive that has not begun yet, as what is over and inactive is unloaded.
_OVER = {"active": DONE, "failed": FAILED}  # active: a oneshot that remains after its exit


class SystemdError(Failure):
    """systemd does not answer, or refuses; the message is a sentence."""


class _CallError(SystemdError):
    """An answer that is an error: its name."""

    def __init__(self, name: str, said: str) -> None:
        super().__init__(f"systemd refuses: {said or name}")
        self.name = name


@dataclass(frozen=True)
class UnitEnd:
    """What became of a unit: one of the states above, its exit status, and why it failed.

    `result` is systemd's word (systemd.service(5), SERVICE_RESULT): "timeout", "exit-code", …
    """

    state: str
    status: int = 0
    result: str = ""


@dataclass(frozen=True)
class Manager:
    """systemd behind the socket at `path`. Each of its methods connects anew.

    A connection is expensive for systemd, which makes all its interfaces known on it.
    """

    path: Path

    def start(  # noqa: PLR0913 - what a unit is made of
        self, unit: str, argv: Sequence[str], out: Path, err: Path, *, seconds: float, stays: bool
    ) -> None:
        """Start a command as a unit; one that `stays` does until `forget`. Raises SystemdError.

        `out` and `err` are the host's paths. A unit of that name that exists is left as it is.
        """
        words = [one.replace("$", "$$") for one in argv]  # in which systemd replaces variables
        properties = [
            ("Description", ("s", f"runc-wrap: {unit}")),
            ("Type", ("s", "oneshot")),
            ("RemainAfterExit", ("b", stays)),
            ("CollectMode", ("s", "inactive" if stays else "inactive-or-failed")),
            ("ExecStart", ("a(sasb)", [(argv[0], words, False)])),
            ("StandardOutputFileToTruncate", ("s", str(out))),
            ("StandardErrorFileToTruncate", ("s", str(err))),
            ("TimeoutStartUSec", ("t", int(seconds * 1e6))),
            ("WorkingDirectory", ("s", "/")),
        ]
        body: tuple[Any, ...] = (unit, "fail", properties, [])
        try:
            self._call(_MANAGER, "StartTransientUnit", "ssa(sv)a(sa(sv))", body)
        except _CallError as error:
            if error.name != _EXISTS:
                raise

    def end(self, unit: str) -> UnitEnd:
        """Return what became of a unit. Raises SystemdError."""
        with self._line() as line:
            try:
                (path,) = line.call(_MANAGER, "GetUnit", "s", (unit,))
            except _CallError as error:
                if error.name == _UNKNOWN:
                    return UnitEnd(GONE)
                raise
            state = _OVER.get(line.property(path, "Unit", "ActiveState"), RUNNING)
            status = line.property(path, "Service", "ExecMainStatus")
            result = line.property(path, "Service", "Result") if state == FAILED else ""
        return UnitEnd(state, status if isinstance(status, int) else 0, str(result))

    def names(self, pattern: str) -> list[str]:
        """Return the names of loaded units that match a pattern. Raises SystemdError."""
        (found,) = self._call(_MANAGER, "ListUnitsByPatterns", "asas", ([], [pattern]))
        return [str(one[0]) for one in found]

    def forget(self, unit: str) -> None:
        """Remove a unit that is over, and wait until it is gone. Raises SystemdError."""
        until = time.monotonic() + _SECONDS
        while self.end(unit).state != GONE:
            if time.monotonic() > until:
                raise SystemdError(f"the host's systemd does not forget {unit}")
            self._stop(unit)
            time.sleep(_PAUSE)

    def _stop(self, unit: str) -> None:
        for method, *words in (("StopUnit", unit, "replace"), ("ResetFailedUnit", unit)):
            try:
                self._call(_MANAGER, method, "s" * len(words), tuple(words))
            except _CallError as error:
                if error.name != _UNKNOWN:
                    raise

    def _call(
        self, address: DBusAddress, method: str, signature: str, body: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        """Call one method and return its answer. Raises SystemdError."""
        with self._line() as line:
            return line.call(address, method, signature, body)

    @contextmanager
    def _line(self) -> "Iterator[_Line]":
        """Give a connection. Raises SystemdError, as each call through it does."""
        try:
            with _connected(self.path) as connection:
                yield _Line(connection)
        except (OSError, ValueError, EOFError, AuthenticationError) as error:
            said = safe_text.name(str(error) or type(error).__name__)
            why = f"the host's systemd does not answer at {self.path}: {said}"
            raise SystemdError(why) from error


class _Line:
    """A connection on which one call follows the other."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._parser = Parser()
        self._serials = itertools.count(1)

    def call(
        self, address: DBusAddress, method: str, signature: str, body: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        """Call a method and return its answer. Raises _CallError, and what a socket raises."""
        serial = next(self._serials)
        message = new_method_call(address, method, signature, body)
        self._connection.sendall(message.serialise(serial=serial))
        answer = self._answer(serial)
        if answer.header.message_type is MessageType.error:
            name = str(answer.header.fields.get(HeaderFields.error_name, ""))
            raise _CallError(name, safe_text.name(answer.body[0]) if answer.body else "")
        found: tuple[Any, ...] = answer.body
        return found

    def property(self, path: str, interface: str, name: str) -> Any:  # noqa: ANN401 - a variant
        address = DBusAddress(path, _NAME, _PROPERTIES)
        ((_, value),) = self.call(address, "Get", "ss", (f"{_NAME}.{interface}", name))
        return value

    def _answer(self, serial: int) -> Message:
        """Return the answer to a call; signals before it are left out."""
        until = time.monotonic() + _SECONDS
        while time.monotonic() < until:
            while (message := self._parser.get_next_message()) is not None:
                if message.header.fields.get(HeaderFields.reply_serial) == serial:
                    return message
            self._parser.add_data(_received(self._connection))
        raise TimeoutError("no answer")


def _connected(path: Path) -> socket.socket:
    """Return an authenticated connection. Raises OSError and AuthenticationError.

    BEGIN is sent before the answer is read, as systemctl does: if it came in one piece with our
    call, systemd would let the call lie until more comes. The answer is read byte by byte, since
    signals may follow it in one piece.
    """
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(_SECONDS)
        connection.connect(str(path))
        said = Authenticator()
        for line in said:
            connection.sendall(line + BEGIN)
            while not (said.authenticated or said.error):
                said.feed(_received(connection, 1))
    except BaseException:
        connection.close()
        raise
    return connection


def _received(connection: socket.socket, most: int = 4096) -> bytes:
    data = connection.recv(most)
    if not data:
        raise ConnectionResetError("it closed the connection")
    return data
