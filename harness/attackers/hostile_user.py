"""Any local user of the node: no capability, no group, uid 4242.

The user locks files, or tries to forge others' evidence (forger.c).
"""

import contextlib
import os
import signal
import stat
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.host.processes import attempt, environment, run, wait_until
from harness.node.requirements import program

UID = 4242
AS_USER = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--inh-caps=-all"]

# Locks every file that the user can open beneath DIR, prints their number, and holds the locks.
_LOCK = """
import fcntl, os, sys, time
held = []
def take(path):
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held.append(fd)
    except OSError:
        pass
for where, directories, names in os.walk(sys.argv[1]):
    if where.endswith("/lib/releases"):
        directories.clear()
    for path in (where, *(os.path.join(where, name) for name in names)):
        take(path)
print(len(held), flush=True)
time.sleep(1000)
"""


@contextlib.contextmanager
def locking_all_he_can(directory: Path) -> Iterator[int]:
    """Hold a lock on every file beneath a directory that the user can open; yield their number."""
    python = os.path.realpath("/usr/bin/python3")
    argv = [*AS_USER, python, "-I", "-c", _LOCK, str(directory)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


def own(*paths: Path) -> None:
    """Give these to the user."""
    for path in paths:
        os.chown(path, UID, UID, follow_symlinks=False)


LOGGED = {321, 175, 246}  # bpf, init_module, kexec_load: made by forger.c, logged by the kernel
_APART = ["unshare", "--user", "--map-root-user", "--mount"]
_MMAP = "9 "  # how /proc/PID/syscall begins in mmap, on x86_64
_CGROUPS = Path("/sys/fs/cgroup")
_FILES = ("cgroup.procs", "tasks", "cgroup.threads")


def library(directory: Path) -> Path:
    """Compile the preloaded library to a place where every user may read it."""
    source = Path(__file__).parents[1] / "programs/forger.c"
    made = directory / "forger.so"
    words = ["-std=gnu11", "-O1", "-shared", "-fPIC", "-DPRELOADED", "-Wall", "-Wextra", "-Werror"]
    run([program("cc"), *words, "-o", made, source])
    made.chmod(0o755)
    return made


@contextlib.contextmanager
def holding_its_lock(forger: Path, runtime: str, place: Path, number: int) -> Iterator[list[int]]:
    """Run real runtimes that hold their own mmap locks: their command lines are unreadable."""
    device, files = place / "fuse", [place / f"held{at}" for at in range(number)]
    os.mknod(device, stat.S_IFCHR | 0o666, os.stat("/dev/fuse").st_rdev)  # noqa: PTH116 - of a device
    device.chmod(0o666)
    held = []
    try:
        for file in files:
            file.touch()
            forge = {"FORGE": "lock", "FORGE_FILE": str(file), "FORGE_DEVICE": str(device)}
            words = [*_preloaded(forger, forge), runtime, "exec", "x", "y"]
            held.append(subprocess.Popen(words, env=environment(), start_new_session=True))
        for one in held:
            wait_until(lambda pid=one.pid: _is_held(pid), "a lock to be held")  # type: ignore[misc]
        yield [one.pid for one in held]
    finally:
        for one in held:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(one.pid, signal.SIGKILL)
            one.wait(30)
        device.unlink(missing_ok=True)


def _is_held(pid: int) -> bool:
    assert Path(f"/proc/{pid}/stat").exists(), "the attacker has ended"
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/syscall").read_text().startswith(_MMAP) and _is_stuck(pid)
    return False


def _is_stuck(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "DS"


def _preloaded(forger: Path, forge: dict[str, str]) -> list[str]:
    settings = [f"{name}={value}" for name, value in forge.items()]
    return [*AS_USER, *_APART, "env", f"LD_PRELOAD={forger}", *settings]


def joins_in_words(forger: Path, runtime: str, root: Path, name: str) -> None:
    """Have the real runtime claim to join a container, and make calls that are logged."""
    words = [runtime, "--root", str(root), "exec", name, "true"]
    attempt([*_preloaded(forger, {"FORGE": "calls"}), *words])  # there is none for it


def hierarchies() -> list[Path]:
    """Return the mount points of some cgroup hierarchies, of both versions if there are both."""
    places = [_CGROUPS, *(_CGROUPS / name for name in ("pids", "systemd", "unified"))]
    return [one for one in places if (one / "cgroup.procs").exists()]


@contextlib.contextmanager
def delegated(hierarchy: Path) -> Iterator[Path]:
    """Give the user a cgroup, as a system's manager does for each session."""
    place = hierarchy / f"runc-wrap-test-{uuid.uuid4()}"
    place.mkdir()
    os.chown(place, UID, UID)
    for name in _FILES:
        if (place / name).exists():
            os.chown(place / name, UID, UID)
    try:
        yield place
    finally:
        for directory in [*sorted(place.rglob("*/"), reverse=True), place]:
            with contextlib.suppress(OSError):
                directory.rmdir()


def as_user(words: Sequence[str | Path]) -> subprocess.Popen[bytes]:
    """Run a program as this user."""
    return subprocess.Popen([*AS_USER, *map(str, words)], env=environment())


def inside(place: Path, name: str, words: Sequence[str | Path]) -> subprocess.Popen[bytes]:
    """Run a program as this user in a cgroup of this name that it creates beneath its own."""
    script = 'mkdir -p "$0" && echo $$ > "$0/cgroup.procs" && exec "$@"'
    moving = f'echo $$ > {place}/cgroup.procs; exec "$@"'
    user = [*AS_USER, "sh", "-c", script, str(place / name), *map(str, words)]
    return subprocess.Popen(["sh", "-c", moving, "sh", *user], env=environment())
