"""An image that contains only busybox-static: as a root directory, and as a docker-archive.

`ctr images import`, `docker load`, `podman load` and `buildah from docker-archive:` all read it.
"""

import hashlib
import io
import json
import platform
import shutil
import struct
import tarfile
from pathlib import Path
from typing import Any

from harness.host.processes import run
from harness.node.requirements import program, unmet

REFERENCE = "localhost/runc-wrap-busybox:test"
IDLE = ["/bin/sleep", "1000000"]
PASSWD = "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"  # noqa: S105
DIRECTORIES = ("bin", "dev", "etc", "proc", "run", "sys", "tmp", "var")
PT_INTERP = 3
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def busybox() -> Path:
    """Return the statically linked busybox, or skip."""
    path = Path(program("busybox"))
    if _has_interpreter(path.read_bytes()):
        unmet("needs busybox-static: this busybox is linked dynamically")
    return path


def root_directory(target: Path) -> Path:
    """Fill `target` with a root file system: busybox, a link per applet, the usual directories."""
    for name in DIRECTORIES:
        (target / name).mkdir(parents=True, exist_ok=True)
    (target / "etc/passwd").write_text(PASSWD)
    shutil.copy(busybox(), target / "bin/busybox")
    for applet in {*run([busybox(), "--list"]).stdout.split()} - {"busybox"}:
        (target / "bin" / applet).symlink_to("busybox")
    return target


def archive(directory: Path, *programs: Path) -> Path:
    """Write `directory`/image.tar, a docker-archive of one layer tagged REFERENCE.

    The programs are in its root directory, by their own names.
    """
    root = root_directory(directory / "rootfs")
    for program_file in programs:
        shutil.copy(program_file, root)
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as tar:
        tar.add(root, arcname=".", filter=_of_no_time)
    layer = memory.getvalue()
    config = _json(_config(hashlib.sha256(layer).hexdigest()))
    name = hashlib.sha256(config).hexdigest()
    manifest = [{"Config": f"{name}.json", "RepoTags": [REFERENCE], "Layers": ["layer.tar"]}]
    target = directory / "image.tar"
    with tarfile.open(target, "w") as tar:
        _add(tar, "layer.tar", layer)
        _add(tar, f"{name}.json", config)
        _add(tar, "manifest.json", _json(manifest))
    return target


def _has_interpreter(elf: bytes) -> bool:
    """Return whether a 64-bit little-endian ELF file has a PT_INTERP header (elf(5))."""
    start, size, count = (*struct.unpack_from("<Q", elf, 32), *struct.unpack_from("<HH", elf, 54))
    kinds = [struct.unpack_from("<I", elf, start + size * index)[0] for index in range(count)]
    return PT_INTERP in kinds


def _of_no_time(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Let the same files make the same image."""
    entry.mtime = 0
    return entry


def _config(layer_digest: str) -> dict[str, Any]:
    machine = MACHINES.get(platform.machine(), "amd64")
    return {
        "architecture": machine,
        "os": "linux",
        "created": "2026-01-01T00:00:00Z",
        "config": {"Env": ["PATH=/bin"], "Cmd": IDLE, "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
        "history": [{"created": "2026-01-01T00:00:00Z"}],
    }


def _json(document: object) -> bytes:
    return json.dumps(document).encode()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
