"""Any user may write states and a ledger: they are shown separately, and do not affect root's."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.attackers import run_directory
from harness.containers.bundles import Bundle
from harness.host.hung_files import deaf_directory
from harness.host.namespaces import MountNamespace, private_mounts
from harness.host.processes import Run, attempt, run, wait_until
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


@dataclass(frozen=True)
class Victim:
    """A node with one correct container of root's, in a mount namespace that a user has, too."""

    space: MountNamespace
    node: install.Installed
    bundle: Bundle
    pid: int

    def control(self, *words: str) -> Run:
        return attempt([*self.space.prefix, self.node.ctl, *words], seconds=SECONDS)

    def verify(self, *flags: str) -> tuple[int, Any]:
        done = self.control("verify", "--json", *flags)
        return done.returncode, json.loads(done.stdout)

    def child(self) -> int:
        """Return the pid of the container's second process."""
        told = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        wait_until(lambda: bool(told.read_text()), "the container's second process")
        return int(told.read_text().split()[0])

    def placed(self) -> str:
        """Put the user's program where that user can read it, wherever this checkout is."""
        place = "/run/users.py"
        run([*self.space.prefix, "install", "-m", "644", run_directory.__file__, place])
        return place

    def attack(self) -> None:
        words = [PYTHON, self.placed(), OWN, str(self.child())]
        run([*self.space.prefix, *USER, *words], seconds=120)


@pytest.fixture
def victim(space: MountNamespace, runc: Lab, tmp_path: Path) -> Victim:
    own = install.copy_of(runc.installed, tmp_path / "prefix")
    bundle = runc.bundle().executing("/bin/sh", "-c", "sleep 1000 & wait")
    with bundle.edited() as config:
        config["process"]["user"] = {"uid": 65534, "gid": 65534}
    return Victim(space, own, bundle, bundle.create(own.wrapper))


@pytest.mark.parametrize("flags", [(), ("--deep",)], ids=str)
def test_a_users_invalid_and_forged_states_do_not_decide_the_nodes_verify(
    victim: Victim, flags: tuple[str, ...]
) -> None:
    victim.attack()
    code, found = victim.verify(*flags)
    assert (code, found["checked"], found["disagreeing"]) == (0, 1, [])
    said = victim.control("verify", *flags)
    assert (said.returncode, said.stdout.splitlines()[-1]) == (0, "1 container checked, 0 disagree")
    assert len(said.stderr) + len(said.stdout) < 20_000
    assert f"of uid {run_directory.UID} are not shown" in said.stderr
    (apart,) = found["users"]
    assert apart["uid"] == run_directory.UID
    assert apart["more"] > run_directory.DIRECTORIES // 2


def test_a_users_states_do_not_clutter_status_and_show_their_owner(victim: Victim) -> None:
    victim.attack()
    done = victim.control("status", "--json")
    rows = json.loads(done.stdout)
    assert done.returncode == 0
    assert len(rows) < 150
    assert [row["id"] for row in rows if row["owner"] == 0] == [victim.bundle.name]
    assert {row["owner"] for row in rows} == {0, run_directory.UID}
    forged = [row for row in rows if row["id"] == "!victims"]
    assert [(row["pid"], row["processes"]) for row in forged] == [(victim.child(), 0)]
    shown = victim.control("status")
    assert run_directory.FORGED not in shown.stdout
    assert f"uid {run_directory.UID}: !victims" in shown.stdout
    assert f"of uid {run_directory.UID} are not shown" in shown.stderr


def test_a_users_forged_state_hides_no_process_of_roots_container(victim: Victim) -> None:
    """A state whose process has its parent in the container: the namespace is not its own then."""
    intruder = subprocess.Popen(
        ["nsenter", "--target", str(victim.pid), "--pid", "/bin/sleep", "1000"],
        start_new_session=True,
    )
    try:
        victim.attack()
        deadline = time.monotonic() + SECONDS
        while victim.verify()[0] != 1:
            assert time.monotonic() < deadline
        _, found = victim.verify()
        assert [one["id"] for one in found["disagreeing"]] == [victim.bundle.name]
    finally:
        os.killpg(intruder.pid, signal.SIGKILL)
        intruder.wait(10)


def test_a_users_file_system_that_never_answers_keeps_no_command_waiting(victim: Victim) -> None:
    run([*victim.space.prefix, *USER, "mkdir", f"{OWN}/runc"])
    with deaf_directory(f"{OWN}/runc", victim.space.prefix, run_directory.UID):
        begun = time.monotonic()
        code, found = victim.verify()
        assert time.monotonic() - begun < SECONDS / 2
        assert (code, found["checked"]) == (0, 1)
        (apart,) = found["users"]
        assert "took longer" in apart["unreadable"][0]
        for command in ("status", "doctor"):
            victim.control(command)


def test_a_users_own_good_container_is_shown_and_compared_separately(victim: Victim) -> None:
    """A user's own process, with one filter fewer than the user's ledger says."""
    program = [*victim.space.prefix, *USER, "/bin/sleep", "1000"]
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
            place = os.path.dirname(victim.placed())  # noqa: PTH120 - a name
            words = [PYTHON, "-c", script, OWN, str(process.pid), place]
            run([*victim.space.prefix, *USER, *words])
            code, found = victim.verify()
            assert (code, found["checked"], found["disagreeing"]) == (0, 1, [])
            (apart,) = found["users"]
            assert [one["id"] for one in apart["disagreeing"]] == ["mine"]
            rows = json.loads(victim.control("status", "--json").stdout)
            assert [row["agrees"] for row in rows if row["owner"] == run_directory.UID] == [False]
        finally:
            process.kill()
