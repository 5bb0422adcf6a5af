"""How each engine is asked for a container that calls our launcher, and starts nothing.

The container has an empty root filesystem, no network, and a command that does not exist. Each
engine's `request` returns what it said: its own failure is expected, as the launcher refuses.

The token of a request is in no command line, which every user can read (/proc/PID/cmdline): a
container that has it while the request waits would be recorded instead. So it is in the client's
environment or in a file, both root's, and the containers' names have digits of their own.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import tarfile
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from runc_wrap.engines.handler import EngineError
from runc_wrap.host import program
from runc_wrap.hotpath.capture import TOKEN_LENGTH
from runc_wrap.hotpath.main import CAPTURE
from runc_wrap.hotpath.privileged import CAPABILITIES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runc_wrap.node.paths import Places

NAME = "runc-wrap-capture"  # of containerd's namespace, Docker's image, Buildah's container
# Of Docker's and Podman's containers, by their names: a label is also its image's author's to set.
_OURS = f"name=^{NAME}-[0-9a-f]{{{TOKEN_LENGTH}}}$"
COMMAND = "/none"
_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
_VARIABLE = CAPTURE.decode().removesuffix("=")
_OWN_DEFAULT = '[containers]\nseccomp_profile = ""\n'  # whatever the owner's containers.conf says
# containerd:pkg/oci/spec.go defaultUnixCaps, the same since 1.0; what a container has unless asked
DEFAULT_CAPABILITIES = frozenset(
    f"CAP_{name}"
    for name in "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP "
    "NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE".split()
)
_VERSION = re.compile(r"^\s*Version:\s*(\S{1,80})\s*$", re.MULTILINE)
_REVISION = re.compile(r"^\s*Revision:\s*(\S{1,80})\s*$", re.MULTILINE)


class Engine(ABC):
    """One engine. `directory` is empty and root's own, for what the request needs.

    `socket` is the engine's, if it is not where its own client looks.
    """

    name: str
    grants_any = False  # it names capabilities that this machine does not have

    def __init__(self, places: Places, directory: Path, socket: Path | None = None) -> None:
        self.launcher = str(places.wrapper)
        self.directory = directory
        self.root = directory / "rootfs"
        self.socket = socket
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

    def _said(self, client: str, *words: str) -> str:
        return program.failure(client, *words, environment=self.environment)

    def _asked(self, token: str, client: str, *words: str) -> str:
        """Run a client that takes the value of `--env NAME` from its own environment."""
        environment = {**self.environment, _VARIABLE: token}
        return program.failure(client, *words, environment=environment)

    def _printed(self, client: str, *words: str) -> str:
        printed = program.output(client, *words, environment=self.environment)
        return printed or ""


def _digits() -> str:
    return secrets.token_hex(TOKEN_LENGTH // 2)


def _named() -> list[str]:
    return ["--name", f"{NAME}-{_digits()}"]


def _exactly(caps: frozenset[str]) -> list[str]:
    """Return options of Docker and Podman for exactly these capabilities."""
    return ["--cap-drop", "ALL", *(f"--cap-add={name}" for name in sorted(caps))]


class Containerd(Engine):
    """containerd, asked by its own client ctr, in a namespace of our own.

    `ctr` and the CRI plugin have the same package's default, each linked into its program, so both
    programs must be of one build.
    """

    name = "containerd"
    grants_any = True

    def running(self) -> str:
        """Return the version of the running containerd. Raises EngineError."""
        printed = self._printed("ctr", *self._where(), "version")
        versions, revisions = _VERSION.findall(printed), _REVISION.findall(printed)
        if len(versions) != 2:  # noqa: PLR2004 - the client's and the server's
            said = self._said("ctr", *self._where(), "version") or "it printed no two versions"
            raise EngineError(
                f"ctr reaches no containerd: {said}", "a running one", "--socket, if it is not at "
                "/run/containerd/containerd.sock",
            )  # fmt: skip
        if len({*versions}) > 1 or len({*revisions}) > 1:
            raise EngineError(
                f"ctr is of containerd {versions[0]}, and containerd {versions[1]} runs",
                "both of one build",
                "restart containerd if it was upgraded, install its own ctr, or name the "
                "containerd of a distribution by --config",
            )
        return str(versions[1])

    def request(self, caps: frozenset[str], token: str) -> str:
        """Ask as the class says."""
        variables = self.directory / "variables"
        with os.fdopen(os.open(variables, _NEW, 0o600), "w") as file:
            file.write(f"{_VARIABLE}={token}\n")
        words = ["run", "--rm", "--null-io", "--rootfs", "--seccomp", "--env-file", str(variables)]
        words += ["--runc-binary", self.launcher]
        words += [f"--cap-add={name}" for name in sorted(caps - DEFAULT_CAPABILITIES)]
        words += [f"--cap-drop={name}" for name in sorted(DEFAULT_CAPABILITIES - caps)]
        return self._said("ctr", *self._where(), *words, str(self.root), _digits(), COMMAND)

    def clean(self) -> None:
        """Remove every container that was made here."""
        for container in self._printed("ctr", *self._where(), "containers", "list", "-q").split():
            self._said("ctr", *self._where(), "containers", "delete", container)
        self._said("ctr", *self._where(), "namespaces", "remove", NAME)

    def _where(self) -> list[str]:
        address = ["--address", str(self.socket)] if self.socket else []
        return [*address, "--namespace", NAME]


class Docker(Engine):
    """Docker, asked by its own client, through the runtime that leads to our launcher."""

    name = "docker"

    def __init__(self, places: Places, directory: Path, socket: Path | None = None) -> None:
        super().__init__(places, directory, socket)
        if socket:
            self.environment["DOCKER_HOST"] = f"unix://{socket}"

    def running(self) -> str:
        """Return the version of the running dockerd. Raises EngineError."""
        words = ("version", "--format", "{{.Server.Version}}")
        printed = self._printed("docker", *words).strip()
        if not printed:
            said = self._said("docker", *words) or "it printed no version"
            raise EngineError(
                f"docker reaches no daemon: {said}", "a running one", "--socket, if it is not at "
                "/var/run/docker.sock",
            )  # fmt: skip
        return printed

    def prepare(self) -> None:
        """Make the root filesystem, and what this engine needs besides."""
        super().prepare()
        self._runtime = self._our_runtime()
        archive = self.directory / "root.tar"
        with tarfile.open(archive, "w") as tar:
            tar.add(self.root, arcname="none.d")
        said = self._said("docker", "import", str(archive), NAME)
        if said:
            raise EngineError(f"docker import: {said}", "an empty image", "run it by hand")

    def request(self, caps: frozenset[str], token: str) -> str:
        """Ask as the class says."""
        words = ["run", "--rm", "--pull", "never", "--network", "none", *_named()]
        words += ["--runtime", self._runtime, "--security-opt", "seccomp=builtin"]
        words += ["--env", _VARIABLE, *_exactly(caps), "--entrypoint", COMMAND]
        return self._asked(token, "docker", *words, NAME)

    def clean(self) -> None:
        """Remove every container that was made here."""
        only = ("--filter", _OURS)
        for container in self._printed("docker", "ps", "--all", "--quiet", *only).split():
            self._said("docker", "rm", "--force", container)
        if self._printed("docker", "images", "--quiet", f"{NAME}:latest").strip():
            self._said("docker", "image", "rm", f"{NAME}:latest")

    def _our_runtime(self) -> str:
        """Return the name of a runtime that leads to our launcher. Raises EngineError."""
        each = '{{range $name, $one := .Runtimes}}{{json $name}} {{json $one.Path}}{{"\\n"}}{{end}}'
        for name, path in _pairs(self._printed("docker", "info", "--format", each)):
            if path == self.launcher:
                return name
        raise EngineError(
            f"none of Docker's runtimes is {self.launcher}",
            "one, as Docker takes no runtime by its path",
            "runc-wrapctl engine add docker, then systemctl reload docker",
        )


def _pairs(printed: str) -> Iterator[tuple[str, str]]:
    for line in printed.splitlines():
        name, _, path = line.partition(" ")
        try:
            yield str(json.loads(name)), str(json.loads(path))
        except ValueError:
            continue


class _Containers(Engine):
    """Podman and Buildah: their own default, whatever this node's containers.conf chooses."""

    def prepare(self) -> None:
        """Make the root filesystem, and what this engine needs besides."""
        super().prepare()
        override = self.directory / "default.conf"
        override.write_text(_OWN_DEFAULT)
        self.environment["CONTAINERS_CONF_OVERRIDE"] = str(override)


class Podman(_Containers):
    """Podman, which takes a runtime by its path."""

    name = "podman"

    def request(self, caps: frozenset[str], token: str) -> str:
        """Ask as the class says."""
        words = ["--runtime", self.launcher, "run", "--rm", "--network", "none", "--rootfs"]
        words += ["--log-driver", "none", *_named(), "--env", _VARIABLE]
        return self._asked(token, "podman", *words, *_exactly(caps), str(self.root), COMMAND)

    def clean(self) -> None:
        """Remove every container that was made here."""
        only = ("--filter", _OURS)
        for container in self._printed("podman", "ps", "--all", "--quiet", *only).split():
            self._said("podman", "rm", "--force", "--time", "0", container)


class Buildah(_Containers):
    """Buildah, which takes a runtime by its path; it adds capabilities first, then drops."""

    name = "buildah"

    def prepare(self) -> None:
        """Make the root filesystem, and what this engine needs besides."""
        super().prepare()
        if said := self._said("buildah", "from", "--name", NAME, "scratch"):
            raise EngineError(f"buildah from scratch: {said}", "a container", "run it by hand")

    def request(self, caps: frozenset[str], token: str) -> str:
        """Ask as the class says."""
        words = ["run", "--isolation", "oci", "--network", "none", "--runtime", self.launcher]
        words += [f"--cap-add={name}" for name in sorted(caps)]
        words += [f"--cap-drop={name}" for name in sorted({*CAPABILITIES} - caps)]
        return self._asked(token, "buildah", *words, "--env", _VARIABLE, NAME, "--", COMMAND)

    def clean(self) -> None:
        """Remove every container that was made here."""
        listed = self._printed("buildah", "containers", "--format", "{{.ContainerName}}")
        if NAME in listed.split():
            self._said("buildah", "rm", NAME)


BY_COMMAND: dict[str, type[Engine]] = {
    each.name: each for each in (Containerd, Docker, Podman, Buildah)
}
