"""`profile record` runs a command as it would run without, and writes what it called."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.node.requirements import requires

if TYPE_CHECKING:
    from harness.node.install import Installed


def words(installed: Installed, file: Path, *command: str) -> list[str]:
    return [str(installed.ctl), "profile", "record", "-o", str(file), "--", *command]


def recorded(file: Path) -> dict[str, Any]:
    found = json.loads(file.read_text())
    assert found["defaultAction"] == "SCMP_ACT_ERRNO"
    return {
        name: rule
        for rule in found["syscalls"]
        if rule["action"] == "SCMP_ACT_ALLOW"
        for name in rule["names"]
    }


def test_status_output_and_childrens_calls_are_passed_on_and_recorded(
    installed: Installed, tmp_path: Path
) -> None:
    requires(root=True)
    file = tmp_path / "p.json"
    socket = "import socket, os; socket.socket(); os.mkdir('made')"
    script = f'{sys.executable} -c "{socket}"; (sleep 0.5; ln -s a late) & echo out; exit 7'
    done = subprocess.run(
        words(installed, file, "sh", "-c", script),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert (done.returncode, done.stdout) == (7, "out\n"), done.stderr
    assert ", which ended with status 7, written to" in done.stderr
    found = recorded(file)
    assert {"mkdir", "socket"} <= found.keys()
    assert "symlink" in found or "symlinkat" in found  # by a child, after the command's own end
    assert found["socket"]["args"][0]["valueTwo"] == 2
    assert not found.keys() & {"mount", "ptrace", "keyctl", "chroot"}
    assert "What did not happen meanwhile may be denied" in done.stderr


def test_with_a_dash_the_profile_comes_on_stdout_after_what_the_command_wrote(
    installed: Installed, tmp_path: Path
) -> None:
    requires(root=True)
    line = words(installed, Path("-"), "sh", "-c", "mkdir made; echo out")
    done = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path, check=True)
    out, found = done.stdout.split("\n", 1)
    assert out == "out"
    assert json.loads(found)["defaultAction"] == "SCMP_ACT_ERRNO"
    assert [one.name for one in tmp_path.iterdir()] == ["made"]
    assert "written to stdout" in done.stderr


def test_signals_reach_the_command_and_its_end_by_one_is_its_status(
    installed: Installed, tmp_path: Path
) -> None:
    requires(root=True)
    file, ready = tmp_path / "p.json", tmp_path / "ready"
    script = f"trap 'exit 5' TERM; : > {ready}; while :; do sleep 0.1; done"
    process = subprocess.Popen(words(installed, file, "sh", "-c", script))
    while not ready.exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 5
    done = subprocess.run(
        words(installed, file, "sh", "-c", "kill -KILL $$"), stderr=subprocess.PIPE, check=False
    )
    assert done.returncode == 128 + signal.SIGKILL
    assert b"Children were left" not in done.stderr


def test_a_signal_ends_the_waiting_for_children_and_it_is_said(
    installed: Installed, tmp_path: Path
) -> None:
    requires(root=True)
    file = tmp_path / "p.json"
    argv = words(installed, file, "sh", "-c", "(sleep 1; kill -TERM $PPID; sleep 15) & exit 3")
    done = subprocess.run(argv, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 3
    assert b"Children were left" in done.stderr


def test_who_may_load_no_filter_gets_no_new_privs_and_what_cannot_run_writes_nothing(
    installed: Installed, tmp_path: Path
) -> None:
    requires(root=True)
    file = tmp_path / "p.json"
    lesser = ["setpriv", "--bounding-set=-sys_admin"]
    argv = words(installed, file, "grep", "NoNewPrivs", "/proc/self/status")
    done = subprocess.run([*lesser, *argv], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["NoNewPrivs:", "1"]
    file.unlink()
    for command, said in (("no-such-program", "No such file"), ("podman", "not the container")):
        done = subprocess.run(
            words(installed, file, command), capture_output=True, text=True, check=False
        )
        assert (done.returncode, file.exists()) == (2, False)
        assert said in done.stderr
