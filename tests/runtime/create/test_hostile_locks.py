"""A local user who locks every file they can open blocks no command."""

from __future__ import annotations

import fcntl
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from harness.attackers import hostile_user
from harness.host.processes import short_directory
from harness.node import install
from harness.node.requirements import requires

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def node(installed: install.Installed) -> Iterator[install.Installed]:
    """An installation that every user can read."""
    requires("setpriv", "flock", root=True)
    with short_directory("locks") as place:
        place.chmod(0o755)
        yield install.copy_of(installed, place / "p")


def _without_waiting(node: install.Installed, *words: str | Path) -> str:
    argv: list[str | Path] = [node.ctl, *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_users_locks_do_not_block_apply_metrics_or_engine_add(
    node: install.Installed, tmp_path: Path
) -> None:
    engine = tmp_path / "daemon.json"
    with_state: list[str | Path] = ["engine", "add", "docker", "--config", engine]
    node.control(*with_state)
    node.control("engine", "remove", "docker", "--config", engine)
    node.control("metrics")
    with hostile_user.locking_all_he_can(node.prefix) as held:
        assert held > 10  # he does reach what everybody may read
        assert "In force" in _without_waiting(node, "apply")
        _without_waiting(node, "metrics")
        _without_waiting(node, *with_state)
        _without_waiting(node, "engine", "remove", "docker", "--config", engine)


def test_a_users_locks_do_not_block_an_upgrade() -> None:
    requires("setpriv", "flock", "runc", root=True)
    with short_directory("upgrade") as place:
        place.chmod(0o755)
        installed = install.install(place / "p")
        with hostile_user.locking_all_he_can(installed.prefix) as held:
            assert held > 10
            install.install(installed.prefix)


def test_an_install_that_finds_another_ends_and_names_it(node: install.Installed) -> None:
    lock = node.prefix / "var" / "lock" / "install"
    lock.touch(0o600)
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done = install.attempted(node.prefix)
    assert done.returncode == 1
    assert f"pid {os.getpid()}" in done.stderr


def test_a_link_that_replaces_the_old_lock_is_not_followed(tmp_path: Path) -> None:
    """`exec 9> .install.lock` emptied whatever a symbolic link of that name led to."""
    requires("runc", root=True)
    precious = tmp_path / "precious"
    precious.write_text("precious\n")
    prefix = tmp_path / "prefix"
    (prefix / "var" / "lock").mkdir(parents=True)
    for name in (".install.lock", "var/lock/install", "var/lock/policy"):
        (prefix / name).symlink_to(precious)
    install.attempted(prefix)
    assert precious.read_text() == "precious\n"
