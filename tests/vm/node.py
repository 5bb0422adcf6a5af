"""runc-wrap on a virtual machine, and the engines there."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.node import archive
from harness.node.guest import PATIENCE
from tests.vm.guest_choice import IN_A_BOX
from tests.vm.image import SUITE

if TYPE_CHECKING:
    from harness.host.processes import Run
    from harness.node.guest import Guest

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
# What is said in a box, which has no cgroup controllers and is not the first pid namespace.
_OF_SOME_BOXES = "Failed to read pids.max"
_OF_A_BOX = (
    "runc-wrap observe: the agent receives none of the audit records",
    "runc-wrap observe: the agent receives no news of processes",
    "runc-wrap observe: audit records may not come",
)
_OURS = re.compile("runc.wrap", re.IGNORECASE)
_CONTROL = "runc-wrap: a warning of the tests"  # without it, nothing would be known of others
_JOURNAL = """
journalctl --sync
journalctl --no-pager ${1:+"--after-cursor=$1"}"""
# systemd 252 knows no such setting, and does without it.
_OF_OLD_SYSTEMD = "Unknown key 'FileDescriptorStorePreserve' in section [Service], ignoring."


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

    def journals_end(self) -> str:
        """Return the cursor of the journal's last line (journalctl(1)), which no clock moves."""
        last = "journalctl --no-pager --lines 1 --show-cursor | tail -n 1"
        return self.machine.sh(last).strip().removeprefix("-- cursor: ")

    def said(self, service: str, since: str) -> str:
        """Return what runc-wrap-SERVICE said after the cursor `since`."""
        return self.machine.sh(f'{_JOURNAL} -o cat -u "runc-wrap-$2"', since, service)

    def warnings(self, since: str = "") -> list[str]:
        """Return the journal's lines about us that are warnings or worse, after a cursor if given.

        Lines that every guest of this kind and suite has are left out.
        """
        self.machine.sh('logger --priority user.warning "$1"', _CONTROL)
        told = self.machine.sh(f"{_JOURNAL} --priority warning", since).splitlines()
        ours = [line for line in told if _OURS.search(line)]
        lines = [line for line in ours if not line.endswith(_CONTROL)]
        assert len(lines) < len(ours)
        return _without_the_guests(lines, is_whole=not since)

    def ledger(self) -> list[Any]:
        """Return its lines, the oldest first."""
        text = self.machine.sh(f"cat {PREFIX}/var/ledger/*.jsonl")
        return [json.loads(line) for line in text.splitlines()]


def _without_the_guests(lines: list[str], *, is_whole: bool) -> list[str]:
    """Leave out what every guest of this kind says; the whole journal must have each."""
    said = (*(_OF_A_BOX if IN_A_BOX else ()), *([_OF_OLD_SYSTEMD] if SUITE == "bookworm" else []))
    if is_whole:
        assert [one for one in said if not any(one in line for line in lines)] == []
    possible = (*said, *([_OF_SOME_BOXES] if IN_A_BOX else []))
    return [line for line in lines if not any(one in line for one in possible)]


def release_for(architecture: str, variable: str, place: Path) -> Path:
    """Return the archive that a variable of the environment names, or one built into `place`."""
    if given := os.environ.get(variable):
        return Path(given).absolute()
    return archive.build(place, architecture)[architecture]


def installed(machine: Guest, release: Path) -> Node:
    """Install the archive, which is all that comes to the machine but a container image."""
    machine.sh(_ENGINES)
    node = installed_alone(machine, release)
    machine.sh(_REGISTER)
    return node


def installed_alone(machine: Guest, release: Path, seconds: float = PATIENCE) -> Node:
    """Install the archive, and register nothing; `seconds` is for install.sh."""
    machine.copy_in([release], "/root")
    before = machine.sh(LISTING)
    machine.sh(_UNPACK, f"/root/{release.name}")
    return Node(machine, before, machine.sh("/root/archive/install.sh 2>&1", seconds=seconds))
