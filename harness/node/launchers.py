"""The launcher built by a test, and an agent that gives it the test's answers."""

import os
import runpy
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, suppress
from pathlib import Path

from harness.host.processes import run
from harness.node.install import SOURCE, Installed
from harness.node.requirements import program
from runc_wrap.launcher import shared_words

VERSION = b"runc-wrap/1"
DIRECTORY = SOURCE / "runc_wrap" / "launcher"
STRICT = ["-std=gnu11", "-Wall", "-Wextra", "-Werror"]
SANITIZED = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def compiled(
    target: Path, *flags: str, sources: list[Path] | None = None, compiler: str = "cc"
) -> Path:
    """Compile C sources, by default the launcher's; return `target`."""
    chosen = sorted(DIRECTORY.glob("*.c")) if sources is None else sources
    with tempfile.TemporaryDirectory() as made:
        (Path(made) / "shared_words.h").write_text(shared_words.header())
        headers = ["-I", str(DIRECTORY), "-I", made]
        run([program(compiler), *STRICT, *flags, *headers, "-o", target, *chosen])
    return target


def as_released(target: Path, compiler: str, sources: list[Path] | None = None) -> Path:
    """Compile C sources as setup.py compiles a static launcher."""
    setup = runpy.run_path(str(SOURCE / "setup.py"))
    flags = [*setup["FLAGS"], *setup["HARDENED"], *setup["STATIC"]]
    return compiled(target, *flags, sources=sources, compiler=compiler)


def message(*fields: str | bytes | int | Path) -> bytes:
    """Return the fields as one message, each terminated by NUL."""
    return b"".join(
        os.fsencode(str(one) if isinstance(one, int) else one) + b"\0" for one in fields
    )


def identity(path: Path) -> tuple[int, int]:
    """Return (device, inode) of a file."""
    found = path.stat()
    return found.st_dev, found.st_ino


class Agent:
    """Answers each request with the messages that `answer` returns, and remembers the requests.

    `hold` keeps a connection open after that until the launcher closes it.
    """

    def __init__(self, answer: Callable[[list[bytes]], list[bytes]], *, hold: bool) -> None:
        self.requests: list[list[bytes]] = []
        self._answer = answer
        self._hold = hold

    def serve(self, listener: socket.socket) -> None:
        """Serve one connection after another until the listener is shut down."""
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                self._one(connection)

    def _one(self, connection: socket.socket) -> None:
        request = connection.recv(1 << 17)
        if not request:
            return
        self.requests.append(request.split(b"\0")[:-1])
        with suppress(BrokenPipeError):  # the launcher has already closed it
            for each in self._answer(self.requests[-1]):
                connection.send(each)
        if self._hold:
            connection.recv(1)


@contextmanager
def exec_socket(installed: Installed) -> Iterator[socket.socket]:
    """Yield the socket to which launchers report each exec."""
    path = installed.prefix / "var" / "agent" / "exec.sock"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(path))
        told.settimeout(10)
        yield told


def listening(installed: Installed, backlog: int = 5) -> socket.socket:
    """Return a listening socket at the path where the launcher expects the agent."""
    path = installed.prefix / "var" / "agent" / "decide.sock"
    path.parent.mkdir(mode=0o700)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with chdir(path.parent):  # for paths that are too long to bind to
        listener.bind(path.name)
    listener.listen(backlog)
    return listener


@contextmanager
def agent(
    installed: Installed, answer: Callable[[list[bytes]], list[bytes]], *, hold: bool = False
) -> Iterator[Agent]:
    """Run an agent during the block."""
    served = Agent(answer, hold=hold)
    with listening(installed) as listener:
        thread = threading.Thread(target=served.serve, args=(listener,))
        thread.start()
        try:
            yield served
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
