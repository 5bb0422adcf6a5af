"""containerd's default profile, asked for by its own client `ctr` in a namespace of our own."""

from __future__ import annotations

import os
import re

from runc_wrap.engines import profile_requests
from runc_wrap.engines.handler import EngineError
from runc_wrap.engines.profile_requests import (
    COMMAND,
    DEFAULT_CAPABILITIES,
    NAME,
    VARIABLE,
    Requests,
)

_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
_VERSION = re.compile(r"^\s*Version:\s*(\S{1,80})\s*$", re.MULTILINE)
_REVISION = re.compile(r"^\s*Revision:\s*(\S{1,80})\s*$", re.MULTILINE)


class ContainerdRequests(Requests):
    """See Requests.

    `ctr` and the CRI plugin have the same package's default, each linked into its program, so both
    programs must be of one build.
    """

    grants_any = True

    def running(self) -> str:
        """Return the version of the running containerd. Raises EngineError."""
        printed = self.printed("ctr", *self._where(), "version")
        versions, revisions = _VERSION.findall(printed), _REVISION.findall(printed)
        if len(versions) != 2:  # noqa: PLR2004 - the client's and the server's
            said = self.said("ctr", *self._where(), "version") or "it printed no two versions"
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
            file.write(f"{VARIABLE}={token}\n")
        words = ["run", "--rm", "--null-io", "--rootfs", "--seccomp", "--env-file", str(variables)]
        words += ["--runc-binary", self.launcher]
        words += [f"--cap-add={name}" for name in sorted(caps - DEFAULT_CAPABILITIES)]
        words += [f"--cap-drop={name}" for name in sorted(DEFAULT_CAPABILITIES - caps)]
        return self.said(
            "ctr", *self._where(), *words, str(self.root), profile_requests.digits(), COMMAND
        )

    def clean(self) -> None:
        """Remove every container that was made here."""
        for container in self.printed("ctr", *self._where(), "containers", "list", "-q").split():
            self.said("ctr", *self._where(), "containers", "delete", container)
        self.said("ctr", *self._where(), "namespaces", "remove", NAME)

    def _where(self) -> list[str]:
        address = ["--address", str(self.socket)] if self.socket else []
        return [*address, "--namespace", NAME]
