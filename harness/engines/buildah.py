"""Buildah with a storage and a mount namespace for one test, isolation `oci`.

Buildah passes its own resource limits to the runtime; a machine without CAP_SYS_RESOURCE can only
lower them, so they are given.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.host.namespaces import MountNamespace, private_mounts
from harness.host.processes import Run, attempt, environment, run
from harness.node.requirements import program, requires

LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")


@dataclass(frozen=True)
class Buildah:
    """One storage; `buildah(...)` works on it."""

    directory: Path
    space: MountNamespace

    def buildah(self, *words: str | Path) -> Run:
        """Run buildah and insist on success."""
        return run(self._argv(words), env=self._environment())

    def try_buildah(self, *words: str | Path) -> Run:
        """Run buildah; a failure is returned."""
        return attempt(self._argv(words), env=self._environment())

    def container(self, archive: Path, *options: str) -> str:
        """Make a working container of a docker-archive; return its name."""
        words = [*LIMITS, "--isolation", "oci", *options, f"docker-archive:{archive}"]
        return self.buildah("from", *words).stdout.strip()

    def run_in(self, container: str, runtime: Path | str, *command: str) -> Run:
        """`buildah run` with this runtime; a failure is returned."""
        options = ["--isolation", "oci", "--network", "host", "--runtime", str(runtime)]
        return self.try_buildah("run", *options, container, "--", *command)

    def _argv(self, words: tuple[str | Path, ...]) -> list[str | Path]:
        at = self.directory
        where = ["--root", str(at / "root"), "--runroot", str(at / "run")]
        return [*self.space.prefix, program("buildah"), *where, *words]

    def _environment(self) -> dict[str, str]:
        settings = str(self.directory / "containers.conf")
        return environment(CONTAINERS_CONF=settings, TMPDIR=str(self.directory))


@contextlib.contextmanager
def buildah(directory: Path) -> Iterator[Buildah]:
    """Yield a Buildah; its working containers are removed with it."""
    requires("buildah", "runc", root=True)
    text = '[containers]\nseccomp_profile = "unconfined"\ndefault_sysctls = []\n'
    (directory / "containers.conf").write_text(
        f'{text}[engine]\ncgroup_manager = "cgroupfs"\ntmp_dir = "{directory}/tmp"\n'
    )
    with private_mounts(directory, {}) as space:
        engine = Buildah(directory, space)
        try:
            yield engine
        finally:
            engine.try_buildah("rm", "--all")
