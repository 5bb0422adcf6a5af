"""What is measured: one runtime, bare or wrapped, with its own bundle and state directory.

Preparation and cleanup are not timed, and use the bare runtime.

config.json is what containerd's CRI plugin writes for a plain container without a seccomp profile,
as for a pod that requests none (containerd pkg/cri/server container_create_linux.go; its defaults
are in oci/spec.go). Network, IPC and UTS namespaces are the pod's sandbox's: a container makes
none. That matters here, as the kernel takes a network namespace down long after its container was
deleted, and makes the next create wait for it.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.containers.system_bundles import CAPABILITIES
from harness.measurement import FailedError, seconds_of, timed
from runc_wrap.hotpath import splice

SLEEP = ["/bin/sleep", "1000000"]
Json = dict[str, Any]
_USUAL = ["nosuid", "noexec", "nodev"]
_MOUNTS = [
    ("/proc", "proc", "proc", _USUAL),
    ("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
    ("/dev/pts", "devpts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666"]),
    ("/dev/shm", "tmpfs", "shm", [*_USUAL, "mode=1777", "size=65536k"]),  # noqa: S108
    ("/dev/mqueue", "mqueue", "mqueue", _USUAL),
    ("/sys", "sysfs", "sysfs", [*_USUAL, "ro"]),
]
_MASKED = "acpi asound kcore keys latency_stats timer_list timer_stats sched_debug scsi".split()
_READ_ONLY = "bus fs irq sys sysrq-trigger".split()


@dataclass
class Subject:
    """A variant: `program` is executed, `bare` is the real runtime behind it.

    `block` is the linux.seccomp that config.json has before the call: the final one for a bare
    runtime, none if the wrapper injects it.
    """

    name: str
    program: str
    bare: str
    directory: Path
    rootfs: Path
    block: Json
    running: str = ""
    root: Path = field(init=False)
    texts: dict[tuple[str, ...], bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.bundle.mkdir(parents=True)
        self.root = self.directory / "state"

    @property
    def bundle(self) -> Path:
        """Return the directory of config.json."""
        return self.directory / "bundle"

    @property
    def log(self) -> str:
        """Return the file for the runtime's log and output."""
        return str(self.directory / "log")

    def words(self, program: str, *command: str) -> list[str]:
        """Return an argv as containerd's shim writes it."""
        return [
            *(program, "--root", str(self.root)),
            *("--log", self.log, "--log-format", "json", *command),
        ]

    def write_config(self, identity: str, args: list[str]) -> None:
        """Rewrite config.json, as an engine does before each create."""
        key = (identity, *args)
        if key not in self.texts:
            text = plain(identity, str(self.rootfs), args)
            self.texts[key] = with_block(text, self.block)
        (self.bundle / "config.json").write_bytes(self.texts[key])

    def create(self) -> float:
        """Create a container, and delete it after the clock has stopped."""
        identity = f"bench-{self.name}"
        self.write_config(identity, SLEEP)
        try:
            return seconds_of(self._create_words(self.program, identity), self.log)
        finally:
            self.delete(identity)

    def numbered(self, number: int) -> str:
        """Return the id of one of several containers."""
        return f"bench-{self.name}-{number}"

    def prepared_create(self, number: int) -> list[str]:
        """Write the config of one of several; return the argv that creates it."""
        self.write_config(self.numbered(number), SLEEP)
        return self._create_words(self.program, self.numbered(number))

    def state(self, identity: str = "") -> float:
        """Ask for the state of a container, or of the one that `start` started."""
        return seconds_of(self.words(self.program, "state", identity or self.running), self.log)

    def execute(self) -> float:
        """Execute /bin/true in it, as a probe does."""
        return seconds_of(self.words(self.program, "exec", self.running, "/bin/true"), self.log)

    def start(self) -> None:
        """Start the container that `state` and `execute` need."""
        self.running = f"bench-{self.name}-running"
        self.write_config(self.running, SLEEP)
        seconds_of(self._create_words(self.program, self.running), self.log)
        seconds_of(self.words(self.bare, "start", self.running), self.log)

    def stop(self) -> None:
        """Delete it."""
        if self.running:
            self.delete(self.running)
            self.running = ""

    def delete(self, identity: str) -> None:
        """Delete a container that may be there."""
        timed(self.words(self.bare, "delete", "--force", identity), self.log)

    def final_block(self) -> Json:
        """Return the linux.seccomp that a create through `program` leaves in config.json."""
        self.create()
        block: Json = json.loads((self.bundle / "config.json").read_bytes())["linux"].get(
            "seccomp", {}
        )
        return block

    def _create_words(self, program: str, identity: str) -> list[str]:
        files = ("--bundle", str(self.bundle), "--pid-file", str(self.directory / "pid"))
        return self.words(program, "create", *files, identity)


def checked(subject: Subject) -> Subject:
    """Return a subject whose create works and ends with a profile. Raises FailedError."""
    if not subject.final_block():
        raise FailedError(f"{subject.name} leaves no seccomp profile in config.json")
    return subject


def plain(name: str, rootfs: str, args: list[str]) -> bytes:
    """Return a config as compact JSON."""
    config: Json = {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0, "additionalGids": [0]},
            "args": args,
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "cwd": "/",
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), CAPABILITIES),
            "noNewPrivileges": True,
            "oomScoreAdj": 1000,
        },
        "root": {"path": rootfs},
        "mounts": [
            {"destination": place, "type": kind, "source": source, "options": options}
            for place, kind, source, options in _MOUNTS
        ],
        "annotations": {"io.kubernetes.cri.container-type": "container"},
        "linux": {
            "resources": {"devices": [{"allow": False, "access": "rwm"}], "cpu": {"shares": 2}},
            "cgroupsPath": f"/{name}",
            "namespaces": [{"type": kind} for kind in ("pid", "mount")],
            "maskedPaths": [f"/proc/{entry}" for entry in _MASKED],
            "readonlyPaths": [f"/proc/{entry}" for entry in _READ_ONLY],
        },
    }
    return json.dumps(config, separators=(",", ":")).encode()  # as Go's encoder writes it


def with_block(text: bytes, block: Json) -> bytes:
    """Return the config that the wrapper makes from `text`, for a runtime without wrapper."""
    return splice.with_seccomp(text, json.loads(text), block) if block else text
