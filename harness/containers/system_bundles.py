"""Bundles in which this machine's own Debian programs run: /usr read-only, everything else its own.

Nothing is mounted on the host and no image is needed: the runtime mounts, in the container's
namespace. The few files of /etc that programs ask for are written, or mounted one by one.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.containers import bundles
from harness.containers.bundles import Bundle, Json
from harness.kernel import kernel_log

# The defaults of containerd and Docker for a container
CAPABILITIES = [
    f"CAP_{name}"
    for name in """
    CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE
    SYS_CHROOT KILL AUDIT_WRITE
    """.split()
]
NOBODY = 65534
_MERGED = ("bin", "lib", "lib64", "sbin")
_PLACES = "proc dev sys tmp run var etc usr root work".split()
_PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/tmp:/bin/sh\n"  # noqa: S105
_ETC = {
    "passwd": _PASSWD,
    "group": "root:x:0:\nnogroup:x:65534:\n",
    "hosts": "127.0.0.1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}
_FROM_HOST = ("ld.so.cache", "ld.so.conf", "alternatives", "nginx", "ssl")
_FROM_HOST_GLOBS = ("java-*-openjdk",)
_SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class System(Bundle):
    """A bundle whose processes have a unique login uid (see kernel_log)."""

    auid: int = 0

    def argv(self, runtime: Path | str, command: str, *flags: str) -> list[str]:
        """Return the arguments of one call, with the workload's login uid."""
        return [*kernel_log.as_workload(self.auid), *super().argv(runtime, command, *flags)]

    @property
    def work(self) -> Path:
        """The host's path of the container's /work."""
        return self.path / "work"


def make(path: Path, kind: str, args: Sequence[str], **changes: Any) -> System:
    """Make a bundle that runs `args`; `changes` are uid, capabilities (none by default), files."""
    bundle = System(path, kind, auid=kernel_log.new_auid())
    _root_directory(path / "rootfs")
    bundle.work.mkdir()
    bundle.work.chmod(0o755)
    for name, text in changes.get("files", {}).items():
        (bundle.work / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        (bundle.work / name).chmod(0o755)
    bundle.config.write_text(json.dumps(_config(bundle, args, **changes), indent=1))
    return bundle


def _root_directory(root: Path) -> None:
    for name in _PLACES:
        (root / name).mkdir(parents=True)
    for name in _MERGED:
        if Path(f"/usr/{name}").exists():
            (root / name).symlink_to(f"usr/{name}")
    for name, text in _ETC.items():
        (root / "etc" / name).write_text(text)
    for source in _of_etc():
        if source.is_dir():
            (root / "etc" / source.name).mkdir()
        else:
            (root / "etc" / source.name).touch()


def _of_etc() -> list[Path]:
    etc = Path("/etc")
    named = [etc / name for name in _FROM_HOST if (etc / name).exists()]
    return named + sorted(found for pattern in _FROM_HOST_GLOBS for found in etc.glob(pattern))


def _config(
    bundle: System,
    args: Sequence[str],
    *,
    uid: int = 0,
    capabilities: Sequence[str] = (),
    **_: object,
) -> Json:
    held = [*CAPABILITIES, *capabilities]
    kinds = ("bounding", "effective", "permitted") if uid == 0 else ("bounding",)
    config = bundles.config(bundle.name)
    config["process"] |= {
        "user": {"uid": uid, "gid": uid},
        "args": list(args),
        "env": [f"PATH={_SEARCH}", "HOME=/tmp", "LC_ALL=C.UTF-8"],
        "cwd": "/tmp",
        "capabilities": dict.fromkeys(kinds, held),
    }
    config["root"]["readonly"] = True
    config["mounts"] = _mounts(bundle)
    config["linux"]["namespaces"].append({"type": "network"})
    return config


def _mounts(bundle: System) -> list[Json]:
    host = [("/usr", "/usr"), *((str(path), str(path)) for path in _of_etc())]
    return [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        _tmpfs("/dev", "nosuid", "mode=755"),
        _tmpfs("/dev/shm", "nosuid", "nodev", "mode=1777"),
        *(_tmpfs(place, "mode=1777") for place in ("/tmp", "/run", "/var")),
        *(_bind(source, target, "ro") for source, target in host),
        _bind(str(bundle.work), "/work", "ro"),
    ]


def _tmpfs(place: str, *options: str) -> Json:
    return {"destination": place, "type": "tmpfs", "source": "tmpfs", "options": list(options)}


def _bind(source: str, target: str, *options: str) -> Json:
    source = os.path.realpath(source)
    return {
        "destination": target,
        "type": "bind",
        "source": source,
        "options": ["rbind", "rprivate", *options],
    }
