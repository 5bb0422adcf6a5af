"""Docker's default profile, asked for by its own client."""

from __future__ import annotations

import json
import tarfile
from typing import TYPE_CHECKING

from runc_wrap.engines import profile_requests
from runc_wrap.engines.handler import EngineError
from runc_wrap.engines.profile_requests import COMMAND, NAME, OURS, VARIABLE, Requests

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.engines.profile_requests import Asked


class DockerRequests(Requests):
    """Docker, asked by its own client, through the runtime that leads to our launcher."""

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        if asked.socket:
            self.environment["DOCKER_HOST"] = f"unix://{asked.socket}"

    def running(self) -> str:
        """Return the version of the running dockerd. Raises EngineError."""
        words = ("version", "--format", "{{.Server.Version}}")
        printed = self.printed("docker", *words).strip()
        if not printed:
            said = self.said("docker", *words) or "it printed no version"
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
        said = self.said("docker", "import", str(archive), NAME)
        if said:
            raise EngineError(f"docker import: {said}", "an empty image", "run it by hand")

    def request(self, caps: frozenset[str], token: str) -> str:
        """Ask as the class says."""
        words = ["run", "--rm", "--pull", "never", "--network", "none", *profile_requests.named()]
        words += ["--runtime", self._runtime, "--security-opt", "seccomp=builtin"]
        words += ["--env", VARIABLE, *profile_requests.exactly(caps), "--entrypoint", COMMAND]
        return self.asked(token, "docker", *words, NAME)

    def clean(self) -> None:
        """Remove every container that was made here."""
        only = ("--filter", OURS)
        for container in self.printed("docker", "ps", "--all", "--quiet", *only).split():
            self.said("docker", "rm", "--force", container)
        if self.printed("docker", "images", "--quiet", f"{NAME}:latest").strip():
            self.said("docker", "image", "rm", f"{NAME}:latest")

    def _our_runtime(self) -> str:
        """Return the name of a runtime that leads to our launcher. Raises EngineError."""
        each = '{{range $name, $one := .Runtimes}}{{json $name}} {{json $one.Path}}{{"\\n"}}{{end}}'
        for name, path in _pairs(self.printed("docker", "info", "--format", each)):
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
