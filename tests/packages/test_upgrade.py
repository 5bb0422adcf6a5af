"""Containers start, confined, at each moment of an upgrade: dpkg replaces file by file."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.host.processes import CommandError, repeating, run
from harness.node.packages import PREFIX, Node
from harness.node.requirements import program, requires

CONFINED, BARE = 2, 0
INSTALL = ("dpkg", "-i")


@contextlib.contextmanager
def creating(node: Node) -> Iterator[list[int]]:
    """Start containers all the time, two at once; yields what the kernel said of each."""
    seen: list[int] = []
    one, other = node.bundle(), node.bundle()
    with (
        repeating(lambda: seen.append(node.seccomp(one))),
        repeating(lambda: seen.append(node.seccomp(other))),
    ):
        yield seen


def _install(node: Node, package: Path) -> None:
    node.run(*INSTALL, node.put(package))


def test_containers_start_confined_all_through_an_upgrade(
    node: Node, first: Path, second: Path
) -> None:
    _install(node, first)
    bundle = node.bundle()
    assert node.seccomp(bundle, "/usr/sbin/runc") == BARE
    with creating(node) as seen:
        _install(node, second)
        during = len(seen)
        assert node.release() == "0.2.1"
    assert during > 5
    assert set(seen) == {CONFINED}


# In which call of its kind strace kills dpkg, as a share of the package's files: each is renamed
# twice, and of the old release removed once.
MOMENTS = [
    ("rename", 0.004),  # it has begun to unpack
    ("rename", 1.2),  # files get their names
    ("rename", 1.9),
    ("unlink", 0.012),  # the old release's files go
    ("unlink", 0.88),
]


def _kill(node: Node, package: Path, call: str, share: float) -> None:
    """Have a package installed, and kill what does so in its call of that number."""
    listed = run(["dpkg-deb", "--contents", package]).stdout.splitlines()
    number = int(share * sum(not line.startswith("d") for line in listed))
    killer = [program("strace"), "-o", "/dev/null", "-e", f"trace={call}"]
    killer += ["-e", f"inject={call}:signal=SIGKILL:when={number}"]
    done = node.attempt(*INSTALL, node.put(package), before=tuple(killer))
    assert done.returncode == -9, done.stdout + done.stderr


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: "-".join(map(str, moment)))
def test_after_a_killed_upgrade_containers_start_confined_and_it_can_be_repeated(
    node: Node, first: Path, second: Path, moment: tuple[str, float]
) -> None:
    requires("strace")
    _install(node, first)
    bundle = node.bundle()
    _kill(node, second, *moment)
    assert node.release() == "0.2.0.kept"
    assert node.seccomp(bundle) == CONFINED
    node.run(*INSTALL, node.put(second))
    assert node.release() == "0.2.1"
    assert node.seccomp(bundle) == CONFINED


def test_without_keeping_the_release_a_killed_dpkg_would_leave_none(
    node: Node, first: Path, second: Path, tmp_path: Path
) -> None:
    """So it is the package that keeps them starting."""
    _install(node, first)
    bundle = node.bundle()
    run(["dpkg-deb", "-R", second, tmp_path / "other"])
    (tmp_path / "other" / "DEBIAN" / "preinst").unlink()
    other = tmp_path / "other.deb"
    run(["dpkg-deb", "-Znone", "-b", tmp_path / "other", other])
    _kill(node, other, "unlink", 0.88)
    with pytest.raises(CommandError):
        node.seccomp(bundle)


def test_a_policy_that_cannot_be_compiled_leaves_the_old_release_and_policy_in_force(
    node: Node, first: Path, second: Path
) -> None:
    _install(node, first)
    config = node.inside("/etc/runc-wrap/config.toml")
    config.write_text('runtime = ["nonsense"\n')
    done = node.run(*INSTALL, node.put(second))  # the package is installed for all that
    assert "stays in force with its policy. Mend that, then run" in done.stderr
    assert node.release() == "0.2.0.kept"
    assert node.seccomp(node.bundle()) == CONFINED
    assert "install ok installed" in node.run("dpkg-query", "-s", "runc-wrap").stdout
    config.write_text('on_error = "refuse"\n')
    node.run(f"{PREFIX}/lib/switch-release")
    assert node.release() == "0.2.1"
    assert node.seccomp(node.bundle()) == CONFINED
