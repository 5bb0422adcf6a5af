"""A rootless Podman: a user, subordinate ids and /run for one test, in a mount namespace.

Everything that the user starts is in one cgroup of the namespace, so that it ends with it,
including Podman's own process that keeps the user namespace.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.engines.podman import configuration
from harness.host.namespaces import MountNamespace, private_mounts
from harness.host.processes import Argv, Run, attempt, run
from harness.node.requirements import SEARCH, requires

UID = 14242
SUBORDINATE = "tester:1100000000:65536\n"
OWN = Path(f"/run/user/{UID}")
_IN_CGROUP = 'echo $$ >"$0"/cgroup.procs; exec "$@"'


@dataclass(frozen=True)
class Rootless:
    """A user with a Podman; root sees the user's files and processes in `space`."""

    directory: Path
    space: MountNamespace

    @property
    def cgroup(self) -> Path:
        return Path(f"/sys/fs/cgroup/pids{self.space.cgroup}/user")

    def user(self, *words: str | Path) -> Run:
        """Run a program as the user; a failure is returned."""
        own = [f"HOME={self.directory}/home", f"XDG_RUNTIME_DIR={OWN}", f"PATH={SEARCH}"]
        conf = f"CONTAINERS_CONF={self.directory}/containers.conf"
        become = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups"]
        into: Argv = ["sh", "-c", _IN_CGROUP, self.cgroup, "env", "-i", *own, conf]
        quiet = "PODMAN_IGNORE_CGROUPSV1_WARNING=1"
        return attempt([*self.space.prefix, *into, quiet, *become, *words], seconds=120)

    def root(self, *words: str | Path) -> Run:
        """Run a program as root in the user's mount namespace; a failure is returned."""
        return attempt([*self.space.prefix, *words])

    def podman(self, *words: str | Path) -> str:
        """Run the user's podman and insist on success; return what it printed."""
        done = self.user("podman", "--storage-driver", "vfs", *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()


@contextlib.contextmanager
def rootless(directory: Path, image: Path, runtimes: Mapping[str, Path]) -> Iterator[Rootless]:
    """Yield a user's Podman with these runtimes; the user must be able to enter the directory."""
    requires("podman", "conmon", "newuidmap", "setpriv", "nsenter", root=True)
    (directory / "home").mkdir()
    os.chown(directory / "home", UID, UID)
    (directory / "containers.conf").write_text(configuration(directory / "home", runtimes, ()))
    with private_mounts(directory, {}) as space:
        made = Rootless(directory, space)
        _know_the_user(directory, space)
        made.cgroup.mkdir(parents=True)
        run([*space.prefix, "mkdir", "-p", OWN.parent])
        run([*space.prefix, "install", "-d", "-m", "700", "-o", str(UID), "-g", str(UID), OWN])
        made.podman("load", "--input", image)
        try:
            yield made
        finally:
            with contextlib.suppress(AssertionError):
                made.podman("rm", "--all", "--force", "--time", "0")
                made.podman("system", "migrate")  # ends the process that holds its namespaces


def _know_the_user(directory: Path, space: MountNamespace) -> None:
    """Add the user and the user's subordinate ids to the namespace's /etc files."""
    lines = {
        "passwd": f"tester:x:{UID}:{UID}::{directory}/home:/bin/sh\n",
        "group": f"tester:x:{UID}:\n",
        "subuid": SUBORDINATE,
        "subgid": SUBORDINATE,
    }
    for name, line in lines.items():
        real = Path("/etc") / name
        more = real.read_text() if name in ("passwd", "group") else ""
        (directory / name).write_text(more + line)
        run([*space.prefix, "mount", "--bind", directory / name, real])
