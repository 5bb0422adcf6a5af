"""Podman with a storage, a configuration and a mount namespace for one test.

CONTAINERS_CONF names the whole configuration, so the machine's own is not read;
CONTAINERS_CONF_OVERRIDE may add to it. Podman passes --log to the runtime only when the runtime's
base name is in `runtime_supports_json`, so a test chooses that. A rootless one has a user,
subordinate ids and /run of its own.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.engines.containers import Containers
from harness.engines.images import REFERENCE
from harness.host.namespaces import MountNamespace, private_mounts
from harness.host.processes import Argv, Run, attempt, environment, run
from harness.node.requirements import SEARCH, program, requires

SMALL = "48m"  # of the storage, where bundles are
SPEAKS_JSON = ("crun", "runc")
# Of a rootless Podman: the user, the subordinate ids, and XDG_RUNTIME_DIR.
UID = 14242
SUBORDINATE = "tester:1100000000:65536\n"
OWN = Path(f"/run/user/{UID}")
_IN_CGROUP = 'echo $$ >"$0"/cgroup.procs; exec "$@"'


@dataclass(frozen=True)
class Podman(Containers):
    """One storage; `podman(...)` works on it."""

    directory: Path
    space: MountNamespace

    def podman(self, *words: str | Path, override: Path | None = None) -> Run:
        """Run podman and insist on success."""
        environment = self._environment(override)
        return run(self._argv(words), env=environment, again=lambda: self._again(words))

    def try_podman(self, *words: str | Path, override: Path | None = None) -> Run:
        """Run podman; a failure is returned."""
        environment = self._environment(override)
        return attempt(self._argv(words), env=environment, again=lambda: self._again(words))

    def start(
        self,
        runtime: str,
        *options: str,
        command: Sequence[str] = (),
        hooks: Path | None = None,
        override: Path | None = None,
    ) -> str:
        """Start a container of the test's image in the background; return its id."""
        front = ["--hooks-dir", str(hooks)] if hooks else []
        words = [*front, "--runtime", runtime, "run", "--detach", *options, REFERENCE, *command]
        return self.podman(*words, override=override).stdout.strip()

    def inspected(self, container: str, field: str) -> str:
        return self.podman("inspect", "--format", f"{{{{.{field}}}}}", container).stdout.strip()

    def bundle(self, container: str) -> Path:
        """Return the host's path of a container's bundle."""
        return self.space.inside(Path(self.inspected(container, "OCIConfigPath")).parent)

    def override(self, name: str, text: str) -> Path:
        """Write a file for CONTAINERS_CONF_OVERRIDE, the strongest of containers.conf files."""
        target = self.directory / f"{name}.conf"
        target.write_text(text)
        return target

    def remove_all(self) -> None:
        """Remove every container."""
        self.podman("rm", "--all", "--force", "--time", "0")

    def _again(self, words: tuple[str | Path, ...]) -> list[str | Path]:
        """Remove the container that runc could not start, and run the same again."""
        again = list(words)
        if "run" in again and any(str(word).startswith("--name") for word in again):
            again.insert(again.index("run") + 1, "--replace")
        return self._argv(tuple(again))

    def _argv(self, words: tuple[str | Path, ...]) -> list[str | Path]:
        at = self.directory
        where = ["--root", str(at / "root"), "--runroot", str(at / "run")]
        return [*self.space.prefix, program("podman"), *where, *words]

    def _environment(self, override: Path | None) -> dict[str, str]:
        extra = {"CONTAINERS_CONF_OVERRIDE": str(override)} if override else {}
        return environment(
            CONTAINERS_CONF=str(self.directory / "containers.conf"),
            PODMAN_IGNORE_CGROUPSV1_WARNING="1",
            **extra,
        )


def configuration(
    directory: Path, runtimes: Mapping[str, Path | str], speak_json: Sequence[str]
) -> str:
    """Return containers.conf without a default seccomp profile, so that the wrapper injects one."""
    lines = [f"{json.dumps(name)} = [{json.dumps(str(path))}]" for name, path in runtimes.items()]
    return f"""[containers]
seccomp_profile = "unconfined"
netns = "host"
default_sysctls = []
log_driver = "k8s-file"
[engine]
runtime = "runc"
runtime_supports_json = {json.dumps([*SPEAKS_JSON, *speak_json])}
cgroup_manager = "cgroupfs"
events_logger = "file"
events_logfile_path = "{directory}/events.log"
tmp_dir = "{directory}/tmp"
[engine.runtimes]
{chr(10).join(lines)}
"""


@contextlib.contextmanager
def podman(
    directory: Path, runtimes: Mapping[str, Path | str], speak_json: Sequence[str] = ()
) -> Iterator[Podman]:
    """Give a Podman with these runtimes, name to path; `speak_json` are base names, not names."""
    requires("podman", "conmon", "runc", root=True)
    (directory / "containers.conf").write_text(configuration(directory, runtimes, speak_json))
    with private_mounts(directory, {directory / "root": SMALL}) as space:
        engine = Podman(directory, space)
        try:
            yield engine
        finally:
            with contextlib.suppress(AssertionError):
                engine.remove_all()


@dataclass(frozen=True)
class OwnPodman:
    """Podman with a copy of /etc/containers, which `engine add podman` may write into."""

    space: MountNamespace

    def podman(self, *words: str | Path) -> Run:
        """Run podman; a failure is returned."""
        return attempt([*self.space.prefix, program("podman"), *words])


@contextlib.contextmanager
def own_podman(directory: Path, image: Path) -> Iterator[OwnPodman]:
    """Give a Podman with this image whose default seccomp profile is `unconfined`."""
    requires("podman", "conmon", "runc", root=True)
    etc = directory / "etc"
    shutil.copytree("/etc/containers", etc, symlinks=True)
    shutil.rmtree(etc / "containers.conf.d", ignore_errors=True)
    (etc / "containers.conf").write_text(configuration(directory, {}, ()))
    (etc / "storage.conf").write_text(
        f'[storage]\ndriver = "vfs"\ngraphroot = "{directory}/root"\nrunroot = "{directory}/run"\n'
    )
    with private_mounts(directory, {}) as space:
        run([*space.prefix, "mount", "--bind", etc, "/etc/containers"])
        engine = OwnPodman(space)
        assert engine.podman("load", "--input", image).returncode == 0
        try:
            yield engine
        finally:
            engine.podman("rm", "--all", "--force", "--time", "0")


@dataclass(frozen=True)
class Rootless:
    """A user with a Podman; root sees the user's files and processes in `space`.

    Everything that the user starts is in one cgroup of the namespace, so that it ends with it,
    including Podman's own process that keeps the user namespace.
    """

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
    """Yield a user's Podman with this image and these runtimes, in a directory of root's."""
    requires("podman", "conmon", "newuidmap", "setpriv", "nsenter", root=True)
    directory.chmod(0o755)  # the user must be able to enter it
    seen = Path(shutil.copyfile(image, directory / "image.tar"))
    (directory / "home").mkdir()
    os.chown(directory / "home", UID, UID)
    (directory / "containers.conf").write_text(configuration(directory / "home", runtimes, ()))
    with private_mounts(directory, {}) as space:
        made = Rootless(directory, space)
        _know_the_user(directory, space)
        made.cgroup.mkdir(parents=True)
        run([*space.prefix, "mkdir", "-p", OWN.parent])
        run([*space.prefix, "install", "-d", "-m", "700", "-o", str(UID), "-g", str(UID), OWN])
        made.podman("load", "--input", seen)
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
