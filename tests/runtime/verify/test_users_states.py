"""Any user may write states and a ledger: they are shown separately, and do not affect root's."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.attackers import run_directory
from harness.containers.bundles import Bundle
from harness.host.hung_files import deaf_directory
from harness.host.namespaces import MountNamespace, private_mounts
from harness.host.processes import run, wait_until
from harness.node import install
from harness.node.requirements import requires
from tests.runtime.conftest import Lab

OWN = f"/run/user/{run_directory.UID}"
USER = ["setpriv", f"--reuid={run_directory.UID}", f"--regid={run_directory.UID}", "--clear-groups"]
PYTHON = "/usr/bin/python3"  # one that every user can run
SECONDS = 60  # far above what it takes on a busy machine, far below what waits for ever


@pytest.fixture
def space(tmp_path: Path) -> Iterator[MountNamespace]:
    """A mount namespace with an empty /run, but for the user's own directory."""
    requires("setpriv", "nsenter", "unshare", root=True)
    with private_mounts(tmp_path, {}) as made:
        run([*made.prefix, "mkdir", "-p", "/run/user"])
        run([*made.prefix, "install", "-d", "-m", "700", "-o", str(run_directory.UID), OWN])
        yield made


class Victim:
    def __init__(self, node: install.Installed, bundle: Bundle, pid: int) -> None:
        self.node, self.bundle, self.pid = node, bundle, pid

    def control(self, space: MountNamespace, *words: str) -> subprocess.CompletedProcess[str]:
        argv = [*space.prefix, str(self.node.ctl), *words]
        return subprocess.run(argv, capture_output=True, text=True, timeout=SECONDS, check=False)

    def verify(self, space: MountNamespace, *flags: str) -> tuple[int, Any]:
        done = self.control(space, "verify", "--json", *flags)
        return done.returncode, json.loads(done.stdout)


@pytest.fixture
def victim(runc: Lab, tmp_path: Path) -> Victim:
    """A node with one correct container of root's."""
    own = install.copy_of(runc.installed, tmp_path / "prefix")
    bundle = runc.bundle()
    config = bundle.read()
    config["process"]["user"] = {"uid": 65534, "gid": 65534}
    config["process"]["args"] = ["/bin/sh", "-c", "sleep 1000 & wait"]
    bundle.config.write_text(json.dumps(config))
    return Victim(own, bundle, bundle.create(own.wrapper))


def attack(space: MountNamespace, victim: int) -> None:
    run([*space.prefix, *USER, PYTHON, placed(space), OWN, str(victim)], seconds=120)


def placed(space: MountNamespace) -> str:
    """Put the user's program where that user can read it, wherever this checkout is."""
    place = "/run/users.py"
    run([*space.prefix, "install", "-m", "644", run_directory.__file__, place])
    return place


def child_of(pid: int) -> int:
    told = Path(f"/proc/{pid}/task/{pid}/children")
    wait_until(lambda: bool(told.read_text()), "the container's second process")
    return int(told.read_text().split()[0])


@pytest.mark.parametrize("flags", [(), ("--deep",)], ids=str)
def test_a_users_invalid_and_forged_states_do_not_decide_the_nodes_verify(
    space: MountNamespace, victim: Victim, flags: tuple[str, ...]
) -> None:
    attack(space, child_of(victim.pid))
    code, found = victim.verify(space, *flags)
    assert (code, found["checked"], found["disagreeing"]) == (0, 1, [])
    said = victim.control(space, "verify", *flags)
    assert (said.returncode, said.stdout.splitlines()[-1]) == (0, "1 container checked, 0 disagree")
    assert len(said.stderr) + len(said.stdout) < 20_000
    assert f"of uid {run_directory.UID} are not shown" in said.stderr
    (apart,) = found["users"]
    assert apart["uid"] == run_directory.UID
    assert apart["more"] > run_directory.DIRECTORIES // 2


def test_a_users_states_do_not_clutter_status_and_show_their_owner(
    space: MountNamespace, victim: Victim
) -> None:
    attack(space, child_of(victim.pid))
    done = victim.control(space, "status", "--json")
    rows = json.loads(done.stdout)
    assert done.returncode == 0
    assert len(rows) < 150
    assert [row["id"] for row in rows if row["owner"] == 0] == [victim.bundle.name]
    assert {row["owner"] for row in rows} == {0, run_directory.UID}
    forged = [row for row in rows if row["id"] == "!victims"]
    assert [(row["pid"], row["processes"]) for row in forged] == [(child_of(victim.pid), 0)]
    shown = victim.control(space, "status")
    assert run_directory.FORGED not in shown.stdout
    assert f"uid {run_directory.UID}: !victims" in shown.stdout
    assert f"of uid {run_directory.UID} are not shown" in shown.stderr


def test_a_users_forged_state_hides_no_process_of_roots_container(
    space: MountNamespace, victim: Victim
) -> None:
    """A state whose process has its parent in the container: the namespace is not its own then."""
    intruder = subprocess.Popen(
        ["nsenter", "--target", str(victim.pid), "--pid", "/bin/sleep", "1000"],
        start_new_session=True,
    )
    try:
        attack(space, child_of(victim.pid))
        deadline = time.monotonic() + SECONDS
        while victim.verify(space)[0] != 1:
            assert time.monotonic() < deadline
        _, found = victim.verify(space)
        assert [one["id"] for one in found["disagreeing"]] == [victim.bundle.name]
    finally:
        os.killpg(intruder.pid, signal.SIGKILL)
        intruder.wait(10)


def test_a_users_file_system_that_never_answers_keeps_no_command_waiting(
    space: MountNamespace, victim: Victim
) -> None:
    run([*space.prefix, *USER, "mkdir", f"{OWN}/runc"])
    with deaf_directory(f"{OWN}/runc", space.prefix, run_directory.UID):
        begun = time.monotonic()
        code, found = victim.verify(space)
        assert time.monotonic() - begun < SECONDS / 2
        assert (code, found["checked"]) == (0, 1)
        (apart,) = found["users"]
        assert "took longer" in apart["unreadable"][0]
        for command in ("status", "doctor"):
            victim.control(space, command)


def test_a_users_own_good_container_is_shown_and_compared_separately(
    space: MountNamespace, victim: Victim
) -> None:
    """A user's own process, with one filter fewer than the user's ledger says."""
    program = [*space.prefix, *USER, "/bin/sleep", "1000"]
    with subprocess.Popen(program) as process:
        try:
            script = (
                "import sys\nfrom pathlib import Path\nsys.path.insert(0, sys.argv[3])\n"
                "import users\nroot = Path(sys.argv[1]) / 'runc'\nroot.mkdir()\n"
                "users.forge(root, 'mine', int(sys.argv[2]))\n"
                "ledger = root.parent / 'runc-wrap/ledger'\nledger.mkdir(parents=True)\n"
                "import json\nline = {'id': 'mine', 'root': str(root), 'action': 'inject'}\n"
                "(ledger / 'ledger.jsonl').write_text(json.dumps(line) + '\\n')\n"
            )
            place = os.path.dirname(placed(space))  # noqa: PTH120 - a name
            words = [PYTHON, "-c", script, OWN, str(process.pid), place]
            run([*space.prefix, *USER, *words])
            code, found = victim.verify(space)
            assert (code, found["checked"], found["disagreeing"]) == (0, 1, [])
            (apart,) = found["users"]
            assert [one["id"] for one in apart["disagreeing"]] == ["mine"]
            rows = json.loads(victim.control(space, "status", "--json").stdout)
            assert [row["agrees"] for row in rows if row["owner"] == run_directory.UID] == [False]
        finally:
            process.kill()
