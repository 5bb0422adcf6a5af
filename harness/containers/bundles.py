"""Bundles for runc and crun directly: a rootfs of busybox, and a config with a container's usual.

crun refuses the hybrid cgroup hierarchy, so it runs in a separate mount namespace without it.
"""

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.engines import images
from harness.host.namespaces import UNIFIED
from harness.host.processes import environment, is_not_sealed
from harness.kernel import process_status

Json = dict[str, Any]
Run = subprocess.CompletedProcess[str]

_WITHOUT_UNIFIED = f'umount {UNIFIED} 2>/dev/null; exec "$@"'
_PREFIX = {
    "runc": [],
    "crun": ["unshare", "--mount", "--propagation", "private", "sh", "-c", _WITHOUT_UNIFIED, "sh"],
}


@dataclass(frozen=True)
class Bundle:
    """A directory with config.json and rootfs, for the runtime `kind`."""

    path: Path
    kind: str
    name: str = field(default_factory=lambda: f"runc-wrap-test-{uuid.uuid4()}")

    @property
    def config(self) -> Path:
        return self.path / "config.json"

    @property
    def log(self) -> Path:
        return self.path / "log.json"

    def read(self) -> Json:
        """Return the config as it is now."""
        config: Json = json.loads(self.config.read_text())
        return config

    @contextmanager
    def edited(self) -> Iterator[Json]:
        """Write the config again with what the body changes in it."""
        config = self.read()
        yield config
        self.config.write_text(json.dumps(config))

    def running(
        self, program: Path, *words: object, name: str = "", mounts: Sequence[Path] = ()
    ) -> "Bundle":
        """Put a program into the rootfs, and have the container execute it; `mounts` are bound."""
        name = name or program.name
        shutil.copy(program, self.path / "rootfs" / name)
        with self.edited() as config:
            config["process"]["args"] = [f"/{name}", *map(str, words)]
            for path in mounts:
                bound = {"type": "bind", "source": str(path), "options": ["bind"]}
                config["mounts"].append({"destination": f"/{path.name}", **bound})
        return self

    def executing(self, *words: str) -> "Bundle":
        """Have the container execute these words."""
        with self.edited() as config:
            config["process"]["args"] = [*words]
        return self

    @property
    def key(self) -> tuple[str, str]:
        """The container's key in the evidence."""
        return str(self.path / "state"), self.name

    def argv(self, runtime: Path | str, command: str, *flags: str) -> list[str]:
        """Return the arguments of one call, as an engine writes them."""
        place = ["--root", str(self.path / "state"), "--log", str(self.log), "--log-format", "json"]
        bundle = ["--bundle", str(self.path)] if command in ("create", "run", "restore") else []
        return [*_PREFIX[self.kind], str(runtime), *place, command, *bundle, *flags, self.name]

    def call(
        self,
        runtime: Path | str,
        command: str,
        *flags: str,
        after: tuple[str, ...] = (),
        before: Sequence[str] = (),
        seconds: float = 60,
    ) -> Run:
        """Make one call; return its result, even a failure. `before` are words in front of it."""
        words = [*before, *self.argv(runtime, command, *flags), *after]
        return self._called(words, self.path / "output", seconds)

    def config_now(self) -> bytes | None:
        return self.config.read_bytes() if self.config.is_file() else None

    def was_not_sealed(self, done: Run, config: bytes | None) -> bool:
        """Return whether runc did not even start; then everything is as before its call."""
        logged = self.log.read_text(errors="replace") if self.log.is_file() else ""
        if not done.returncode or not is_not_sealed(done.stdout + logged):
            return False
        if config is not None:
            self.config.write_bytes(config)
        self.log.unlink(missing_ok=True)
        return True

    def _called(self, words: list[str], output: Path, seconds: float) -> Run:
        """Make a call whose output is a file: a pipe would stay open in the container."""

        def once() -> Run:
            with output.open("w") as file:
                done = subprocess.run(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                    timeout=seconds,
                    check=False,
                    env=environment(),
                )
            return Run(words, done.returncode, output.read_text(), "")

        config = self.config_now()
        done = once()
        return once() if self.was_not_sealed(done, config) else done

    def create(self, runtime: Path | str, command: str = "create", *flags: str) -> int:
        """Create and start, with /dev/null for the container's stdio; return the init's pid."""
        done = self.only_create(runtime, command, *flags)
        assert done.returncode == 0, self.log.read_text()
        if command == "create":
            started = self.call(runtime, "start")
            assert started.returncode == 0, started.stdout
        return self.pid

    def only_create(self, runtime: Path | str, command: str = "create", *flags: str) -> Run:
        """Create likewise and return the result, even a failure."""
        argv = self.argv(runtime, command, "--pid-file", str(self.path / "pid"), *flags)
        return self._called(argv, Path(os.devnull), 120)

    def seccomp(self, runtime: Path | str, command: str = "create", *flags: str) -> int:
        """Create and start likewise; return the Seccomp value of the init."""
        return process_status.seccomp(self.create(runtime, command, *flags))

    @property
    def pid(self) -> int:
        """The created container's init pid."""
        return int((self.path / "pid").read_text())

    def delete(self, runtime: Path | str) -> None:
        """Remove the container if there is one."""
        self.call(runtime, "delete", "--force")


def make(path: Path, kind: str, annotations: Json | None = None, **linux: Any) -> Bundle:
    """Make a bundle whose container sleeps."""
    images.root_directory(path / "rootfs")
    bundle = Bundle(path, kind)
    bundle.config.write_text(json.dumps(config(bundle.name, annotations, **linux), indent=1))
    return bundle


def config(name: str, annotations: Json | None = None, **linux: Any) -> Json:
    """Return a config without seccomp, of a container that sleeps."""
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["/bin/sleep", "1000"],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": {kind: ["CAP_KILL"] for kind in ("bounding", "effective", "permitted")},
        },
        "root": {"path": "rootfs"},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "annotations": annotations or {},
        "linux": {
            "cgroupsPath": f"/{name}",
            "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")],
            "maskedPaths": ["/proc/kcore"],
            **linux,
        },
    }


def seccomp_of_exec(bundle: Bundle, runtime: Path | str) -> int:
    """Return the status that a process exec'd into the container prints about itself."""
    done = bundle.call(runtime, "exec", after=("/bin/cat", "/proc/self/status"))
    assert done.returncode == 0, done.stdout
    return process_status.seccomp_in(done.stdout)
