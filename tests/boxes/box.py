"""A whole Debian system whose systemd is process 1 of its own, on this kernel.

It starts in two seconds where a virtual machine takes half a minute. What it has not: a kernel of
its own, hence no audit records, AppArmor or memory limits, and a power failure that loses data.
"""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.host import namespace_holder
from harness.host.processes import CommandError, Daemon, Run, attempt, run
from harness.node.guest import LOAD, PATIENCE, Guest
from harness.node.requirements import program, requires
from tests.worlds.debian import World, with_docker

SUITE = os.environ.get("RUNC_WRAP_SUITE") or "bookworm"
# containerd 2 cannot be told to do without cgroup controllers, which a box may not have.
CRI_WORKS = SUITE != "forky"
NEEDS = ("mmdebstrap", "unshare", "nsenter", "pivot_root")
BOOT = Path(__file__).with_name("boot.sh")
PATIENT = 400  # seconds to boot or to end; two are usual
# Neither Python nor a compiler: an archive must not need them.
PACKAGES = tuple(
    """systemd-sysv dbus procps iproute2 xz-utils containerd docker.io podman runc crun
    busybox-static""".split()
)
# There is no bridge and no firewall to change in here.
# What some machines lack: CAP_SYS_RESOURCE, without which crun 1.8 and a sandbox's oom_score_adj
# fail, and cgroup version 2's controllers, without which containers have no limits.
_PODMAN = '[containers]\npids_limit = 0\n[engine]\nruntime = "runc"\n'
_CRI = '"io.containerd.grpc.v1.cri"]\n'
_DOCKER = '{"bridge": "none", "ip-forward": false, "iptables": false, "ip6tables": false}\n'
FILES = {
    "etc/hostname": "box\n",
    "etc/machine-id": "b0" * 16 + "\n",
    "etc/fstab": "",
    "etc/docker/daemon.json": _DOCKER,
    "etc/containers/containers.conf.d/20-box.conf": _PODMAN,
    "var/log/journal/.kept": "",  # on disk, so that it outlives a boot
}
# What asks the machine's kernel for what is not the box's.
MASKED = (
    "systemd-journald-audit.socket apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer "
    "e2scrub_all.timer e2scrub_reap.service fstrim.timer systemd-networkd-wait-online.service"
).split()
# It has no cgroup controllers, perhaps, and is not the first pid namespace.
_WARNED = (
    "runc-wrap observe: the agent receives none of the audit records",
    "runc-wrap observe: the agent receives no news of processes",
    "runc-wrap observe: audit records may not come",
)
_STATE = "systemctl is-system-running --wait || systemctl --failed"
_ENTER = """
mkdir -p /sys/fs/cgroup/commands && echo 0 > /sys/fs/cgroup/commands/cgroup.procs && exec "$@"
"""
_CONTROLLERS = "mount -t cgroup2 none /mnt && cat /mnt/cgroup.controllers"
_REMOVE_CGROUPS = """
mount -t cgroup2 none /mnt
[ ! -e "/mnt/$1" ] || find "/mnt/$1" -depth -type d -exec rmdir {} +
"""
_ENVIRONMENT = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root")


class Box(Guest):
    """One box, off at first; `place` is its own directory, and has what its system writes."""

    may_warn = ("Failed to read pids.max",)

    def __init__(self, suite: str, place: Path) -> None:
        super().__init__(suite)
        self.warned += _WARNED
        self.lower = system(suite)
        self.place = place
        self.cgroup = place.name
        self._outside: Daemon | None = None  # waits for process 1, which ends with it
        for name in ("upper", "work", "root"):
            (place / name).mkdir()
        for name, text in FILES.items():
            file = place / "upper" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        self._restrict_containerd()
        units = place / "upper/etc/systemd/system"
        units.mkdir(parents=True)
        for unit in MASKED:
            (units / unit).symlink_to("/dev/null")

    def _restrict_containerd(self) -> None:
        debians = (self.lower / "etc/containerd/config.toml").read_text()
        assert debians.count(_CRI) == 1
        found = run(["unshare", "--mount", "sh", "-c", _CONTROLLERS]).stdout.split()
        settings = ["restrict_oom_score_adj", *([] if "cpu" in found else ["disable_cgroup"])]
        file = self.place / "upper/etc/containerd/config.toml"
        file.parent.mkdir()
        lines = "".join(f"{name} = true\n" for name in settings)
        file.write_text(debians.replace(_CRI, f"{_CRI}{lines}"))

    def power_on(self) -> None:
        words = ["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
        words += ["--ipc", "--uts", "--net"]
        # unshare waits, and takes no notice of SIGTERM
        front = ["setpriv", "--pdeathsig", "KILL", program("unshare"), *words, "/bin/sh"]
        argv = [*front, *map(str, (BOOT, self.lower, self.place, self.cgroup))]
        self._outside = Daemon(argv, self.place / "console")
        self._outside.wait_ready(self._answers, "the box", PATIENT)
        self.sh(_STATE, seconds=PATIENT)

    def power_off(self) -> None:
        if self._outside:
            with contextlib.suppress(CommandError, ProcessLookupError):
                os.kill(self.first(), signal.SIGKILL)
            self._wait_end(self._outside)

    def reboot(self) -> None:
        assert self._outside
        self.attempt("systemctl reboot")
        self._wait_end(self._outside)
        self.power_on()

    def _wait_end(self, outside: Daemon) -> None:
        """Wait until it is off, without its cgroups: one with controllers takes no process 1."""
        outside.process.wait(PATIENT)
        self._outside = None
        run(["unshare", "--mount", "sh", "-c", _REMOVE_CGROUPS, "sh", self.cgroup])

    def first(self) -> int:
        """Return the pid, here, of its process 1."""
        assert self._outside
        parents = namespace_holder.parents_of_all()
        found = [pid for pid, parent in parents.items() if parent == self._outside.pid]
        if len(found) != 1:
            raise CommandError(f"the box is off:\n{self._outside.tail()}")
        return found[0]

    def attempt(self, script: str, *words: str | Path, seconds: float = PATIENCE) -> Run:
        inner = ["timeout", "-k", "5", f"{seconds:.0f}", "sh", "-euc", script, "sh", *words]
        try:
            front = ["nsenter", "--target", str(self.first()), "--all", "env", "-i", *_ENVIRONMENT]
            argv = [*front, "/bin/sh", "-c", _ENTER, "sh", *inner]
            return attempt(argv, seconds=seconds + 30)
        except (CommandError, subprocess.TimeoutExpired) as error:
            return subprocess.CompletedProcess([], 255, "", str(error))

    def copy_in(self, files: Sequence[Path], to: str) -> None:
        target = self._inside(to)
        target.mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copy(file, target)

    def forward(self, guest: str) -> Path:
        return self._inside(guest)

    def _inside(self, path: str) -> Path:
        return Path(f"/proc/{self.first()}/root{path}")

    def _answers(self) -> bool:
        """Tell whether systemd answers; before it is there, a command would not be in the box."""
        with contextlib.suppress(CommandError, OSError):
            if Path(f"/proc/{self.first()}/comm").read_text() == "systemd\n":
                return self.attempt("systemctl show --property=Version").returncode == 0
        return False


@contextlib.contextmanager
def box(place: Path, containers: Path) -> Iterator[Box]:
    """Yield a box of the suite that is on, whose engines have the images of `containers`.

    Nothing of it is left afterwards.
    """
    requires(*NEEDS, root=True)
    made = Box(SUITE, place)
    try:
        made.power_on()
        made.copy_in([containers], "/root")
        made.sh(LOAD)
        yield made
    finally:
        made.power_off()


def system(suite: str) -> Path:
    """Return the directory of a suite's system, in which nothing is to be changed."""
    return World(suite, with_docker(suite, PACKAGES), f"{suite}-box").root()
