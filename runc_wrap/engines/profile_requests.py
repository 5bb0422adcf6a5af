"""How each engine is asked for a container that calls our launcher, and starts nothing.

The container has an empty root filesystem, no network, and a command that does not exist. Each
engine's `request` returns what it said: its own failure is expected, as the launcher refuses.

The token of a request is in no command line, which every user can read (/proc/PID/cmdline): a
container that has it while the request waits would be recorded instead. So it is in the client's
environment or in a file, both root's, and the containers' names have digits of their own.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runc_wrap.host import program
from runc_wrap.hotpath.capture import TOKEN_LENGTH
from runc_wrap.hotpath.main import CAPTURE

if TYPE_CHECKING:
    from pathlib import Path

NAME = "runc-wrap-capture"  # of containerd's namespace, Docker's image, Buildah's container
# Of Docker's and Podman's containers, by their names: a label is also its image's author's to set.
OURS = f"name=^{NAME}-[0-9a-f]{{{TOKEN_LENGTH}}}$"
COMMAND = "/none"
VARIABLE = CAPTURE.decode().removesuffix("=")
# containerd:pkg/oci/spec.go defaultUnixCaps, the same since 1.0; what a container has unless asked
DEFAULT_CAPABILITIES = frozenset(
    f"CAP_{name}"
    for name in "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP "
    "NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE".split()
)


@dataclass(frozen=True)
class Asked:
    """What requests are made with.

    `engine`: its name. `launcher`: ours. `directory`: empty and root's, for what a request needs;
    the launcher writes the record of a request beside it, in a file of the token's name. `socket`:
    the engine's, if it is not where its own client looks. `handler`: one that leads to the
    launcher, if registered.
    """

    engine: str
    launcher: Path
    directory: Path
    socket: Path | None = None
    handler: str | None = None


class Requests(ABC):
    """How one engine is asked."""

    grants_any = False  # it names capabilities that this machine does not have

    def __init__(self, asked: Asked) -> None:
        self.name = asked.engine
        self.launcher = str(asked.launcher)
        self.directory = asked.directory
        self.root = asked.directory / "rootfs"
        self.socket = asked.socket
        self.environment = program.made_environment()

    def running(self) -> str | None:
        """Return the version of the running engine, None if it is a program that just ends."""
        return None

    def prepare(self) -> None:
        """Make what the requests need. Raises EngineError and OSError."""
        self.root.mkdir()

    @abstractmethod
    def request(self, caps: frozenset[str], token: str) -> str:
        """Have a container with this bounding set created; return what the engine said."""

    @abstractmethod
    def clean(self) -> None:
        """Remove what earlier requests left, if they were killed, and what `prepare` made."""

    def said(self, client: str, *words: str) -> str:
        """Run a client; return what it said if it failed."""
        return program.failure(client, *words, environment=self.environment)

    def asked(self, token: str, client: str, *words: str) -> str:
        """Run a client that takes the value of `--env NAME` from its own environment."""
        environment = {**self.environment, VARIABLE: token}
        return program.failure(client, *words, environment=environment)

    def printed(self, client: str, *words: str) -> str:
        """Return what a client printed."""
        printed = program.output(client, *words, environment=self.environment)
        return printed or ""


def digits() -> str:
    """Return a container's own digits."""
    return secrets.token_hex(TOKEN_LENGTH // 2)


def named() -> list[str]:
    """Return options of Docker and Podman for a name of ours."""
    return ["--name", f"{NAME}-{digits()}"]


def exactly(caps: frozenset[str]) -> list[str]:
    """Return options of Docker and Podman for exactly these capabilities."""
    return ["--cap-drop", "ALL", *(f"--cap-add={name}" for name in sorted(caps))]
