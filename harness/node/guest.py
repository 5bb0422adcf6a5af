"""A guest, a virtual machine (tests/vm) or a box (tests/boxes), and runc-wrap and engines on it."""

import contextlib
import json
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.engines import images
from harness.engines.cri import Ask, Cri, client
from harness.engines.images import IDLE
from harness.host.processes import CommandError, Run, wait_until
from harness.kernel.process_status import DISABLED, FILTER
from harness.node import archive

# Fixtures, for the conftest.py of both, which adds `guest`
__all__ = ["busybox", "cri", "node", "pytest_collection_modifyitems", "release"]
_FOLDERS = ("tests/boxes/", "tests/vm/")
_LIMIT = 1500  # seconds a test, for the first one builds, boots and installs; seldom over 300
PREFIX = "/opt/runc-wrap"
SERVICES = ("runc-wrap-decide", "runc-wrap-observe")
UNITS = [f"{name}.{kind}" for name in SERVICES for kind in ("socket", "service")]
IMAGE = "localhost/runc-wrap-busybox:test"
# Everything of the root file system: what each file is, and the content of those that an
# installation might change. Not what runs by itself writes (logs, caches, times).
LISTING = r"""
find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp \
    -o -path /var/log -o -path /var/lib/docker -o -path /var/lib/containerd \
    -o -path /var/lib/containers -o -path /root -o -path /home -o -path /var/tmp \) -prune \
    -o ! -type d -printf '%p %y %m %u:%g %l\n' -o -printf '%p %y %m %u:%g\n' | sort
find /etc /usr/local /opt -xdev -type f -print0 | sort -z | xargs -0 sha256sum
"""
# Loads image.tar of root's directory into each engine's store.
LOAD = """
cd /root; docker load -q -i image.tar; podman load -q -i image.tar
ctr images import image.tar; ctr -n k8s.io images import image.tar
"""
_UNPACK = 'mkdir /root/archive && tar -C /root/archive --strip-components 1 -xf "$1"'
# The engines as a node has them that does not confine: Kubernetes' own default is no profile.
CONTAINERD = r"""
sed -i '/grpc.v1.cri"\]/a sandbox_image = "localhost/runc-wrap-busybox:test"' \
    /etc/containerd/config.toml
cat >> /etc/containerd/config.toml <<'END'
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = true
END
"""
_ENGINES = rf"""
mkdir -p /etc/containers/containers.conf.d
printf '[containers]\nseccomp_profile = "unconfined"\n' \
    > /etc/containers/containers.conf.d/10-node.conf
{CONTAINERD}
"""
_REGISTER = """
runc-wrapctl engine add auto
systemctl restart containerd; systemctl reload docker
"""
_CONFIGURE = f"""
cd {PREFIX}/etc; printf %s "$1" > wanted
cmp -s wanted config.toml || {{ cp wanted config.toml; runc-wrapctl apply; }}
rm wanted
"""
_OURS = re.compile("runc.wrap", re.IGNORECASE)
_CONTROL = "runc-wrap: a warning of the tests"  # without it, nothing would be known of others
_JOURNAL = """
journalctl --sync
journalctl --no-pager ${1:+"--after-cursor=$1"}"""
PATIENCE = 300  # seconds for a command, emulated and beside other work; most take one or two
PAUSE = 1.0  # seconds between two looks: each costs an emulated CPU about as much
# systemd 252 knows no such setting, and does without it.
_OF_OLD_SYSTEMD = "Unknown key 'FileDescriptorStorePreserve' in section [Service], ignoring."


def wait(condition: Callable[[], bool], what: str) -> None:
    """Poll as `wait_until` does, but as slowly and as long as suits an emulated machine."""
    wait_until(condition, what, PATIENCE, pause=PAUSE)


class Guest(ABC):
    """A running system of a Debian suite; its own kind says how it is reached.

    `warned` is what every such system says about us once, `may_warn` what some do.
    """

    may_warn: tuple[str, ...] = ()

    def __init__(self, suite: str) -> None:
        self.suite = suite
        self.warned: tuple[str, ...] = (_OF_OLD_SYSTEMD,) if suite == "bookworm" else ()

    @abstractmethod
    def power_on(self) -> None:
        """Boot, and wait until every unit has started."""

    @abstractmethod
    def power_off(self) -> None:
        """Take its power away; one that is off stays off."""

    @abstractmethod
    def reboot(self) -> None:
        """Reboot in good order, and wait until every unit has started."""

    @abstractmethod
    def attempt(self, script: str, *words: str | Path, seconds: float = PATIENCE) -> Run:
        """Run a shell script as root; any exit status is a result. 255: it cannot be reached."""

    @abstractmethod
    def copy_in(self, files: Sequence[Path], to: str) -> None:
        """Copy files into a directory of the guest, by their own names."""

    @abstractmethod
    def forward(self, guest: str) -> Path:
        """Return a socket of this machine that leads to the guest's socket."""

    def sh(self, script: str, *words: str | Path, seconds: float = PATIENCE) -> str:
        """Run a shell script as root, with arguments; insist on success; return what it printed."""
        done = self.attempt(script, *words, seconds=seconds)
        if done.returncode:
            raise CommandError(f"{script}\nexit {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def json(self, script: str, *words: str | Path) -> Any:
        """Run a script that prints one JSON document."""
        return json.loads(self.sh(script, *words))


@dataclass(frozen=True)
class Node:
    """`machine` with runc-wrap in PREFIX."""

    machine: Guest
    before: str  # LISTING before the installation
    told: str  # by install.sh

    def ctl(self, *words: str, seconds: float = PATIENCE) -> Run:
        """Run runc-wrapctl; any exit status is a result."""
        return self.machine.attempt('runc-wrapctl "$@"', *words, seconds=seconds)

    def shown(self, *words: str) -> Any:
        """Return what runc-wrapctl prints with --json, whatever its exit status."""
        done = self.ctl(*words, "--json")
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def configure(self, text: str) -> None:
        """Write config.toml and put it in force, which takes an emulated machine ten seconds.

        Each test says so what it needs, and leaves it.
        """
        self.machine.sh(_CONFIGURE, text)

    def service(self, name: str) -> dict[str, str]:
        """Return what systemd says of runc-wrap-NAME: its state, first process and restarts."""
        properties = "ActiveState,MainPID,NRestarts,MemoryCurrent,CPUUsageNSec"
        told = self.machine.sh('systemctl show -p "$2" "runc-wrap-$1"', name, properties)
        return dict(line.split("=", 1) for line in told.splitlines())

    def active(self) -> list[str]:
        """Return what systemd says of each unit of UNITS."""
        return self.machine.attempt(f"systemctl is-active {' '.join(UNITS)}").stdout.split()

    def journals_end(self) -> str:
        """Return the cursor of the journal's last line (journalctl(1)), which no clock moves."""
        last = "journalctl --no-pager --lines 1 --show-cursor | tail -n 1"
        return self.machine.sh(last).strip().removeprefix("-- cursor: ")

    def warnings(self, since: str = "") -> list[str]:
        """Return the journal's lines about us that are warnings or worse, after a cursor if given.

        Lines that every guest of this kind and suite has are left out; the whole has each.
        """
        self.machine.sh('logger --priority user.warning "$1"', _CONTROL)
        told = self.machine.sh(f"{_JOURNAL} --priority warning", since).splitlines()
        ours = [line for line in told if _OURS.search(line)]
        lines = [line for line in ours if not line.endswith(_CONTROL)]
        assert len(lines) < len(ours)
        known = self.machine.warned
        if not since:
            assert [one for one in known if not any(one in line for line in lines)] == []
        known += self.machine.may_warn
        return [line for line in lines if not any(one in line for one in known)]

    def modes(self, options: str, handler: str) -> list[int]:
        """Return the modes of seccomp of a container by Docker, by Podman, and of a pod's.

        `options` are Docker's and Podman's; without a handler there is no pod.
        """
        run = f"run --rm --network none {options}"
        show = f"{IMAGE} grep Seccomp: /proc/self/status"
        script = f"docker {run} --security-opt seccomp=unconfined {show}; podman {run} {show}"
        told = self.machine.sh(script) + (self._pods_status(handler) if handler else "")
        return [int(line.split()[1]) for line in told.splitlines()]

    def _pods_status(self, handler: str) -> str:
        with kubelet(self.machine) as cri:
            return self.machine.sh("grep Seccomp: /proc/$1/status", str(started(cri, handler)))

    def ledger(self) -> list[Any]:
        """Return its lines, the oldest first."""
        text = self.machine.sh(f"cat {PREFIX}/var/ledger/*.jsonl")
        return [json.loads(line) for line in text.splitlines()]

    def check_reboot(self, engines: Sequence[str], handler: str = "runc-wrap") -> None:
        """See that engines start containers through us as before, also after a reboot."""
        assert self.modes("", handler and "runc") == [DISABLED] * len(engines)
        assert self.modes("--runtime runc-wrap", handler) == [FILTER] * len(engines)
        before = len(self.ledger())
        self.machine.reboot()
        assert self.modes("--runtime runc-wrap", handler) == [FILTER] * len(engines)
        assert {each["engine"] for each in self.ledger()[before:]} >= {*engines}
        assert self.machine.sh("systemctl --failed --quiet --no-legend") == ""
        assert self.active() == ["active"] * len(UNITS)


@contextlib.contextmanager
def kubelet(machine: Guest) -> Iterator[Cri]:
    """Call a guest's containerd as its kubelet, with systemd's cgroups; its pods end with that."""
    socket = machine.forward("/run/containerd/containerd.sock")
    with client(socket, "/kubepods.slice", Path("/var/log/pods-of-the-test")) as cri:
        yield cri


def started(cri: Cri, handler: str, *command: str) -> int:
    """Start a pod by a handler; return the guest's pid of its container."""
    return cri.pid(cri.run(cri.run_pod(handler), Ask(command=command or IDLE)))


def release_for(architecture: str, variable: str, place: Path) -> Path:
    """Return the archive that a variable of the environment names, or one built into `place`."""
    if given := os.environ.get(variable):
        return Path(given).absolute()
    return archive.build(place, architecture)[architecture]


def installed_alone(machine: Guest, release: Path, seconds: float = PATIENCE) -> Node:
    """Install the archive, and register nothing; `seconds` is for install.sh."""
    machine.copy_in([release], "/root")
    before = machine.sh(LISTING)
    machine.sh(_UNPACK, f"/root/{release.name}")
    return Node(machine, before, machine.sh("/root/archive/install.sh 2>&1", seconds=seconds))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each test of these folders take the time that an emulated machine may need."""
    for item in items:
        if item.nodeid.startswith(_FOLDERS):
            item.add_marker(pytest.mark.timeout(_LIMIT))


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the archive for amd64: RUNC_WRAP_ARCHIVE, or one built from this checkout."""
    return release_for("amd64", "RUNC_WRAP_ARCHIVE", tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def busybox(tmp_path_factory: pytest.TempPathFactory, built: Callable[[str], Path]) -> Path:
    """Return a docker-archive: busybox, and programs with calls that profiles deny."""
    return images.archive(tmp_path_factory.mktemp("image"), *map(built, ("calls", "repeat")))


@pytest.fixture(scope="session")
def node(guest: Guest, release: Path) -> Node:
    """Return the guest with runc-wrap, and engines that know it.

    The archive is all that comes to the guest but a container image.
    """
    guest.sh(_ENGINES)
    made = installed_alone(guest, release)
    guest.sh(_REGISTER)
    return made


@pytest.fixture(scope="module")
def cri(node: Any) -> Iterator[Cri]:
    """Return the kubelet's view of containerd on the guest of a module's `node`."""
    with kubelet(node.machine) as made:
        yield made
