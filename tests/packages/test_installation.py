"""What is in the package, and installing and removing it as dpkg's users expect, without systemd.

With systemd: tests/boxes/test_packages.py.
"""

import contextlib
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.archive.machines import here
from deploy.archive.release import Release
from deploy.packages import debian_package
from harness.host.processes import attempt, run, wait_until
from harness.node.packages import CTL, PREFIX, Node
from harness.node.requirements import requires

REMOVE = ("dpkg", "-r", "runc-wrap")
INSTALL = ("dpkg", "-i")
CONFIG = "/etc/runc-wrap/config.toml"
MINE = 'on_error = "run-unmodified"\n'
ENABLED = "/etc/systemd/system/*.wants/runc-wrap-*"


@pytest.fixture
def installed(node: Node, first: Path) -> Node:
    node.run(*INSTALL, node.put(first))
    return node


def _ours(node: Node) -> set[str]:
    """Return all paths of ours, but the package files that the test brought."""
    told = node.run("find", "/", "-xdev", "-path", "*runc-wrap*", "-not", "-path", "/var/cache/*")
    return set(told.stdout.split("\n")) - {""}


def test_it_is_no_other_users_to_change(installed: Node) -> None:
    told = installed.attempt(CTL, "doctor").stdout
    assert "can be written by" not in told
    assert "belongs to uid" not in told


def test_dpkg_finds_all_its_files_as_it_left_them(node: Node, first: Path) -> None:
    node.run(*INSTALL, node.put(first))
    node.seccomp(node.bundle())
    node.run(CTL, "apply")
    changed = node.run("dpkg", "--verify", "runc-wrap").stdout.splitlines()
    # the node was made without documents and manual
    assert [line for line in changed if "/usr/share/" not in line] == []


def test_debian_enables_the_services_and_keeps_what_the_owner_disabled(
    node: Node, first: Path, second: Path
) -> None:
    node.run(*INSTALL, node.put(first))
    enabled = sorted(node.inside("/").glob(ENABLED[1:]))
    assert enabled
    for link in enabled:
        link.unlink()  # as `systemctl disable` does
    node.run(*INSTALL, node.put(second))
    assert not sorted(node.inside("/").glob(ENABLED[1:]))


def test_an_upgrade_keeps_the_owners_configuration(installed: Node, second: Path) -> None:
    installed.inside(CONFIG).write_text(MINE)
    installed.inside("/etc/runc-wrap/conf.d/mine.toml").write_text("")
    installed.run(*INSTALL, installed.put(second))
    assert installed.inside(CONFIG).read_text() == MINE
    assert installed.inside("/etc/runc-wrap/conf.d/mine.toml").exists()
    assert list(installed.inside("/var/lib/runc-wrap").glob("policy.*/*/run-unmodified"))


def test_removed_it_leaves_the_owners_configuration_and_what_was_recorded(installed: Node) -> None:
    installed.inside(CONFIG).write_text(MINE)
    installed.seccomp(installed.bundle())
    installed.run(*REMOVE)
    assert installed.inside(CONFIG).read_text() == MINE
    assert {path for path in _ours(installed) if path.startswith("/usr")} == set()
    assert installed.inside("/var/lib/runc-wrap/ledger/ledger.jsonl").exists()


LEFT = f"{PREFIX}/bin/runc-wrap"


@pytest.fixture
def named(installed: Node) -> Path:
    """A file of an engine that names our runtime."""
    engine = installed.inside("/etc/containerd/config.toml")
    engine.parent.mkdir()
    engine.write_text(f'BinaryName = "{LEFT}"\n')
    return engine


@pytest.mark.usefixtures("named")
def test_if_its_own_interpreter_does_not_run_the_path_is_left_too(installed: Node) -> None:
    installed.inside(f"{PREFIX}/lib/current/venv/lib/private/cpython").unlink()
    installed.run(*REMOVE)
    assert installed.inside(LEFT).is_symlink()


@contextlib.contextmanager
def _observing(node: Node) -> Iterator[None]:
    words = node.argv(CTL, "agent", "observe", "--without-descriptor-store")
    service = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        socket = node.inside("/var/lib/runc-wrap/agent/notify.sock")
        wait_until(socket.exists, "the service's socket")
        yield
    finally:
        service.terminate()
        service.wait()


def test_it_is_not_removed_while_containers_in_observe_need_its_service(installed: Node) -> None:
    installed.inside(CONFIG).write_text('[default]\nmode = "observe"\n')
    installed.run(CTL, "apply")
    with _observing(installed):
        root, place, name = _create(installed)
        refused = installed.attempt(*REMOVE)
        assert refused.returncode != 0
        assert f"not removed: 1 container in mode observe, or recorded: {name}." in refused.stderr
        assert installed.seccomp(installed.bundle(), LEFT) == 2
        installed.run(LEFT, root, place, "delete", "--force", name)
        installed.run(*REMOVE)


def _create(node: Node) -> list[str]:
    """Create a container by the path that engines call; return its state and id as words."""
    bundle, name = node.bundle(), f"runc-wrap-test-{uuid.uuid4()}"
    words = ["--root", f"{bundle}/state"]
    argv = node.argv(LEFT, *words, "--log", f"{bundle}/log", "create", "--bundle", bundle, name)
    with node.inside(f"{bundle}/output").open("w") as output:  # the container keeps it open
        subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=True)
    return [*words, name]


def test_lintian_finds_nothing(of_all_machines: list[Path]) -> None:
    requires("lintian")
    words = ["lintian", "--pedantic", "--display-info", "--allow-root", "--fail-on=pedantic"]
    for deb in of_all_machines:
        done = attempt([*words, "--tag-display-limit", "0", deb])
        assert (done.returncode, done.stdout) == (0, ""), done.stdout


def test_what_dpkg_would_replace_too_early_is_not_its_own(first: Path) -> None:
    listed = run(["dpkg-deb", "--contents", first]).stdout.splitlines()
    names = {line.split()[5] for line in listed}
    assert "./usr/lib/runc-wrap/bin/runc-wrapctl" in names
    assert "./usr/lib/runc-wrap/bin/runc-wrap" not in names
    assert "./usr/lib/runc-wrap/lib/current" not in names


def test_no_path_of_the_tarball_is_named(archives: dict[str, Release], tmp_path: Path) -> None:
    debian_package.lay(archives[here().debian], tmp_path)
    named = [*tmp_path.glob("usr/lib/systemd/system/*"), *tmp_path.rglob("hooks/*.d/*.json")]
    assert len(named) >= 4
    for path in named:
        assert debian_package.DEFAULT_PREFIX not in path.read_text(), path
        assert debian_package.PREFIX in path.read_text(), path
