"""Locks: their owner, how long a command waits, and which holder is named."""

import fcntl
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from runc_wrap.host import locks

# Takes the lock, reports it, and holds it until its stdin ends; argv[2] is its process name.
_HOLD = """
import fcntl, sys
with open("/proc/self/comm", "w") as file:
    file.write(sys.argv[2])
with open(sys.argv[1], "a") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    print(flush=True)
    sys.stdin.read()
"""


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_only_its_owner_can_open_a_lock_and_its_directory(tmp_path: Path) -> None:
    """Also if others could before."""
    lock = tmp_path / "var" / "lock" / "policy"
    before = os.umask(0)
    try:
        with locks.locked(tmp_path / "var", "policy"):
            assert (_mode(lock.parent), _mode(lock)) == (0o700, 0o600)
    finally:
        os.umask(before)
    lock.parent.chmod(0o777)
    lock.chmod(0o666)
    with locks.locked(tmp_path / "var", "policy"):
        assert (_mode(lock.parent), _mode(lock)) == (0o700, 0o600)


@pytest.mark.parametrize("link", ["lock", "lock/policy"])
def test_a_symbolic_link_is_not_a_lock(tmp_path: Path, link: str) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / link).parent.mkdir(exist_ok=True)
    (tmp_path / link).symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="/lock"), locks.locked(tmp_path, "policy"):
        pass
    assert not list((tmp_path / "precious").iterdir())


HOLDERS = [("apply", '"apply"'), ('\x1b[2J\n"', r'"\x1b[2J\n\""')]


@pytest.mark.parametrize(("name", "shown"), HOLDERS)
def test_a_process_that_holds_the_lock_too_long_is_named_safely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, shown: str
) -> None:
    monkeypatch.setattr(locks, "PATIENCE", 0.1)
    with locks.locked(tmp_path, "policy"):
        pass
    argv = [sys.executable, "-I", "-c", _HOLD, str(tmp_path / "lock" / "policy"), name]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(locks.LockHeldError) as raised, locks.locked(tmp_path, "policy"):
            pass
        process.communicate()
    assert f"{shown} (pid {process.pid}) has held this lock" in str(raised.value)
    assert str(tmp_path / "lock" / "policy") in str(raised.value)
    with locks.locked(tmp_path, "policy"):
        pass


def test_a_lock_inherited_by_a_dead_process_child_is_reported_so(tmp_path: Path) -> None:
    """flock belongs to the open file, and /proc/locks shows the pid that took it."""
    file = (tmp_path / "lock").open("w")
    child = "import fcntl, os, sys; fcntl.flock(int(sys.argv[1]), fcntl.LOCK_EX)"
    argv = [sys.executable, "-I", "-c", child, str(file.fileno())]
    subprocess.run(argv, pass_fds=[file.fileno()], check=True)
    with (tmp_path / "lock").open() as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    told = locks.holder(file.fileno())
    file.close()
    assert "which has ended" in told or "cannot be seen" in told


def test_a_lock_is_waited_for(tmp_path: Path) -> None:
    done: list[str] = []

    def second() -> None:
        with locks.locked(tmp_path, "policy"):
            done.append("second")

    with locks.locked(tmp_path, "policy"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.05)
        done.append("first")
    thread.join()
    assert done == ["first", "second"]
