"""Running a real container, with a rootfs made for it, to find out how the kernel confines it."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runc_wrap.failure import Failure
from runc_wrap.host import program
from runc_wrap.hotpath import main
from runc_wrap.hotpath.argv import Invocation
from runc_wrap.hotpath.compiled_policy import CompiledPolicy
from runc_wrap.hotpath.create_facts import Call
from runc_wrap.ledger.decision_record import SELFTEST

_SECONDS = 60
# runc 1.1 copies itself to a memfd and seals the copy; Linux refuses that as long as anything else
# holds one of its pages (linux:mm/memfd.c). Then no container was started, and a retry is safe.
_NOT_SEALED = "could not ensure we are a cloned binary: Device or resource busy"
_ID = SELFTEST  # one in each root
_HOST_DIRECTORIES = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
_NAMESPACES = ("pid", "ipc", "uts", "mount")


class TrialFailed(Failure):
    """The container did not run; the message is the runtime's."""


def run(runtime: Path, var: Path, annotations: dict[str, str] | None = None) -> int:
    """Run `cat /proc/self/status` in a container by this runtime; return `Seccomp:` of it.

    That is 0 (none) or 2 (filter). Raises TrialFailed.
    Its bundle is in `var`, the installation's: a caller's TMPDIR may be another user's.
    """
    ended = _run(runtime, var, annotations or {})
    if _NOT_SEALED in ended.complaint:
        ended = _run(runtime, var, annotations or {})
    if not ended.is_well:
        raise TrialFailed(ended.complaint.strip() or f"{runtime}: {ended.said}")
    return _parsed(ended.printed)


def decided(policy: CompiledPolicy, wrapper: Path, annotations: dict[str, str]) -> main.Outcome:
    """Return what this policy makes of such a container. Raises Refusal."""
    config = json.dumps(_config([], annotations, _ID)).encode()
    invocation = Invocation("run", {"bundle": f"/{_ID}"}, _ID)
    call = Call(invocation, policy["runtime"]["kind"], str(wrapper), main.own_capabilities)
    return main.consider(config, call, policy)


def _run(runtime: Path, var: Path, annotations: dict[str, str]) -> program.Ended:
    try:
        with _bundle(var, annotations) as bundle:
            words = ["--root", f"{bundle}/state", "run", "--bundle", str(bundle), _ID]
            return program.run(str(runtime), *words, seconds=_SECONDS)
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        raise TrialFailed(f"{what}; run it as root, with room and rights in {var}") from None


def _parsed(status: str) -> int:
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    try:
        return int(fields["Seccomp"])
    except (KeyError, ValueError):
        raise TrialFailed(f"the container printed no Seccomp line: {status[:80]!r}") from None


@contextmanager
def _bundle(var: Path, annotations: dict[str, str]) -> Iterator[Path]:
    """Make a bundle whose rootfs shows the host's programs, read-only."""
    with tempfile.TemporaryDirectory(prefix=f"{_ID}-", dir=var) as name:
        bundle = Path(name)
        mounts = list(_host_mounts(bundle / "rootfs"))
        config = _config(mounts, annotations, bundle.name)
        (bundle / "config.json").write_text(json.dumps(config))
        yield bundle


def _host_mounts(rootfs: Path) -> Iterator[dict[str, Any]]:
    for name in ("proc", "dev"):  # crun makes no directories in a read-only rootfs
        (rootfs / name).mkdir(parents=True)
    for name in _HOST_DIRECTORIES:
        host = Path("/") / name
        if host.is_symlink():
            (rootfs / name).symlink_to(host.readlink())
        elif host.is_dir():
            (rootfs / name).mkdir()
            options = ["rbind", "ro", "nosuid", "nodev"]
            at = str(host)
            yield {"destination": at, "type": "bind", "source": at, "options": options}


def _config(mounts: list[dict[str, Any]], annotations: dict[str, str], name: str) -> dict[str, Any]:
    cat = shutil.which("cat", path="/usr/bin:/bin") or "/bin/cat"
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": [cat, "/proc/self/status"],
            "env": ["PATH=/usr/bin:/bin"],
            "cwd": "/",
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid"]},
            *mounts,
        ],
        "annotations": annotations,
        "linux": {
            "cgroupsPath": f"/{name}",
            "namespaces": [{"type": kind} for kind in _NAMESPACES],
            "maskedPaths": ["/proc/kcore"],
        },
    }
