"""The measured config.json: what containerd's CRI plugin writes for a plain container.

Without a seccomp profile, as for a pod that requests none (containerd pkg/cri/server
container_create_linux.go; its defaults are in oci/spec.go). Network, IPC and UTS namespaces are
the pod's sandbox's: a container makes none. That matters here, as the kernel takes a network
namespace down long after its container was deleted, and makes the next create wait for it.
"""

import json
from pathlib import Path
from typing import Any

from runc_wrap.hotpath import splice

Json = dict[str, Any]
_CAPABILITIES = [
    f"CAP_{name}"
    for name in """CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP
    NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE""".split()
]
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


def plain(name: str, rootfs: str, args: list[str]) -> bytes:
    """Return a config as compact JSON."""
    config: Json = {
        "ociVersion": "1.0.2",
        "process": _process(args),
        "root": {"path": rootfs},
        "mounts": [
            {"destination": place, "type": kind, "source": source, "options": options}
            for place, kind, source, options in _MOUNTS
        ],
        "annotations": {"io.kubernetes.cri.container-type": "container"},
        "linux": _linux(name),
    }
    return json.dumps(config, separators=(",", ":")).encode()  # as Go's encoder writes it


def with_block(text: bytes, block: Json) -> bytes:
    """Return the config that the wrapper makes from `text`, for a runtime without wrapper."""
    return splice.with_seccomp(text, json.loads(text), block) if block else text


def _process(args: list[str]) -> Json:
    return {
        "user": {"uid": 0, "gid": 0, "additionalGids": [0]},
        "args": args,
        "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        "cwd": "/",
        "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), _CAPABILITIES),
        "noNewPrivileges": True,
        "oomScoreAdj": 1000,
    }


def _linux(name: str) -> Json:
    return {
        "resources": {"devices": [{"allow": False, "access": "rwm"}], "cpu": {"shares": 2}},
        "cgroupsPath": f"/{name}",
        "namespaces": [{"type": kind} for kind in ("pid", "mount")],
        "maskedPaths": [f"/proc/{entry}" for entry in _MASKED],
        "readonlyPaths": [f"/proc/{entry}" for entry in _READ_ONLY],
    }


def block_of(path: Path) -> Json:
    """Return a config file's linux.seccomp, {} for none."""
    block: Json = json.loads(path.read_bytes())["linux"].get("seccomp", {})
    return block
