"""Podman's and Buildah's default profile, asked for by themselves."""

from __future__ import annotations

from runc_wrap.engines import profile_requests
from runc_wrap.engines.handler import EngineError
from runc_wrap.engines.profile_requests import COMMAND, NAME, OURS, VARIABLE, Requests
from runc_wrap.hotpath.privileged import CAPABILITIES

_OWN_DEFAULT = '[containers]\nseccomp_profile = ""\n'  # whatever the owner's containers.conf says


class _Containers(Requests):
    """Podman and Buildah: their own default, whatever this node's containers.conf chooses."""

    def prepare(self) -> None:
        """Make the root filesystem, and what this engine needs besides."""
        super().prepare()
        override = self.directory / "default.conf"
        override.write_text(_OWN_DEFAULT)
        self.environment["CONTAINERS_CONF_OVERRIDE"] = str(override)


class PodmanRequests(_Containers):
    """Podman, which takes a runtime by its path."""

    def request(self, caps: frozenset[str], token: str) -> str:
        """Ask as the class says."""
        words = ["--runtime", self.launcher, "run", "--rm", "--network", "none", "--rootfs"]
        words += ["--log-driver", "none", *profile_requests.named(), "--env", VARIABLE]
        return self.asked(
            token, "podman", *words, *profile_requests.exactly(caps), str(self.root), COMMAND
        )

    def clean(self) -> None:
        """Remove every container that was made here."""
        only = ("--filter", OURS)
        for container in self.printed("podman", "ps", "--all", "--quiet", *only).split():
            self.said("podman", "rm", "--force", "--time", "0", container)


class BuildahRequests(_Containers):
    """Buildah, which takes a runtime by its path; it adds capabilities first, then drops."""

    def prepare(self) -> None:
        """Make the root filesystem, and what this engine needs besides."""
        super().prepare()
        if said := self.said("buildah", "from", "--name", NAME, "scratch"):
            raise EngineError(f"buildah from scratch: {said}", "a container", "run it by hand")

    def request(self, caps: frozenset[str], token: str) -> str:
        """Ask as the class says."""
        words = ["run", "--isolation", "oci", "--network", "none", "--runtime", self.launcher]
        words += [f"--cap-add={name}" for name in sorted(caps)]
        words += [f"--cap-drop={name}" for name in sorted({*CAPABILITIES} - caps)]
        return self.asked(token, "buildah", *words, "--env", VARIABLE, NAME, "--", COMMAND)

    def clean(self) -> None:
        """Remove every container that was made here."""
        listed = self.printed("buildah", "containers", "--format", "{{.ContainerName}}")
        if NAME in listed.split():
            self.said("buildah", "rm", NAME)
