"""Installing and removing a package, as users of dpkg and rpm expect it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.node.packages import CTL, PREFIX, WRAPPER

if TYPE_CHECKING:
    from pathlib import Path

    from harness.node.packages import Node

REMOVE = {"deb": ["dpkg", "-r", "runc-wrap"], "rpm": ["rpm", "-e", "runc-wrap"]}
INSTALL = {"deb": ["dpkg", "-i"], "rpm": ["rpm", "-U", "--nodeps"]}
CONFIG = "/etc/runc-wrap/config.toml"
MINE = 'on_error = "run-unmodified"\n'
ENABLED = "/etc/systemd/system/*.wants/runc-wrap-*"


@pytest.fixture(params=["deb", "rpm"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def installed(node: Node, first: dict[str, Path], kind: str) -> Node:
    node.run(*INSTALL[kind], node.put(first[kind]))
    return node


def _ours(node: Node) -> set[str]:
    """Return all paths of ours, but the package files that the test brought."""
    told = node.run("find", "/", "-xdev", "-path", "*runc-wrap*", "-not", "-path", "/var/cache/*")
    return set(told.stdout.split("\n")) - {""}


def test_its_policy_is_in_force_and_its_commands_are_found(installed: Node) -> None:
    bundle = installed.bundle()
    assert installed.seccomp(bundle, "/usr/sbin/runc") == 0
    assert installed.seccomp(bundle, WRAPPER) == 2
    assert "In force" in installed.run(CTL, "apply").stdout


def test_it_is_no_other_users_to_change(installed: Node) -> None:
    told = installed.attempt(CTL, "doctor").stdout
    assert "can be written by" not in told
    assert "belongs to uid" not in told


def test_dpkg_finds_all_its_files_as_it_left_them(node: Node, first: dict[str, Path]) -> None:
    node.run(*INSTALL["deb"], node.put(first["deb"]))
    node.seccomp(node.bundle())
    node.run(CTL, "apply")
    changed = node.run("dpkg", "--verify", "runc-wrap").stdout.splitlines()
    # the node was made without documents
    assert [line for line in changed if "/usr/share/doc" not in line] == []


def test_rpm_finds_all_its_files_as_it_left_them(node: Node, first: dict[str, Path]) -> None:
    node.run(*INSTALL["rpm"], node.put(first["rpm"]))
    node.seccomp(node.bundle())
    node.run(CTL, "apply")
    assert node.run("rpm", "-V", "--nodeps", "runc-wrap").stdout == ""


def test_debian_enables_the_services_and_keeps_what_the_owner_disabled(
    node: Node, first: dict[str, Path], second: dict[str, Path]
) -> None:
    node.run(*INSTALL["deb"], node.put(first["deb"]))
    enabled = sorted(node.inside("/").glob(ENABLED[1:]))
    assert enabled
    for link in enabled:
        link.unlink()  # as `systemctl disable` does
    node.run(*INSTALL["deb"], node.put(second["deb"]))
    assert not sorted(node.inside("/").glob(ENABLED[1:]))


def test_an_upgrade_keeps_the_owners_configuration(
    installed: Node, second: dict[str, Path], kind: str
) -> None:
    installed.inside(CONFIG).write_text(MINE)
    installed.inside("/etc/runc-wrap/conf.d/mine.toml").write_text("")
    installed.run(*INSTALL[kind], installed.put(second[kind]))
    assert installed.inside(CONFIG).read_text() == MINE
    assert installed.inside("/etc/runc-wrap/conf.d/mine.toml").exists()
    assert installed.run("grep", "-c", "run-unmodified", "-r", f"{PREFIX}/var/policy.2/current/")


def test_removed_it_leaves_the_owners_configuration_and_what_was_recorded(
    installed: Node, kind: str
) -> None:
    installed.inside(CONFIG).write_text(MINE)
    installed.seccomp(installed.bundle())
    installed.run(*REMOVE[kind])
    saved = CONFIG if kind == "deb" else f"{CONFIG}.rpmsave"
    assert installed.inside(saved).read_text() == MINE
    assert {path for path in _ours(installed) if path.startswith("/usr")} == set()
    assert installed.inside("/var/lib/runc-wrap/ledger/ledger.jsonl").exists()


def test_purged_nothing_is_left(node: Node, first: dict[str, Path]) -> None:
    before = _ours(node)
    node.run(*INSTALL["deb"], node.put(first["deb"]))
    node.inside("/etc/runc-wrap/conf.d/mine.toml").write_text("")
    node.seccomp(node.bundle())
    node.run("dpkg", "--purge", "runc-wrap")
    assert _ours(node) == before


NAMES_US = f'[plugins."io.containerd.cri.v1.runtime"]\nBinaryName = "{PREFIX}/bin/runc-wrap"\n'


def test_removed_while_an_engine_names_it_it_leaves_the_real_runtime_at_its_path(
    installed: Node, kind: str
) -> None:
    engine = installed.inside("/etc/containerd/config.toml")
    engine.parent.mkdir()
    engine.write_text(NAMES_US)
    done = installed.run(*REMOVE[kind])
    assert "/etc/containerd/config.toml" in done.stderr
    assert "stays, as a link to /usr/sbin/runc" in done.stderr
    assert installed.seccomp(installed.bundle(), f"{PREFIX}/bin/runc-wrap") == 0
    assert _ours(installed) & {f"{PREFIX}/lib", f"{PREFIX}/bin/runc-wrapctl"} == set()


def test_a_purge_leaves_the_link_while_it_is_needed_and_takes_it_away_later(
    node: Node, first: dict[str, Path]
) -> None:
    engine = node.inside("/etc/containerd/config.toml")
    engine.parent.mkdir()
    engine.write_text(NAMES_US)
    node.run(*INSTALL["deb"], node.put(first["deb"]))
    node.run("dpkg", "-r", "runc-wrap")
    assert node.inside(f"{PREFIX}/bin/runc-wrap").is_symlink()
    engine.unlink()
    node.run("dpkg", "--purge", "runc-wrap")
    assert not node.inside(PREFIX).exists()


def test_again_installed_it_is_in_force_at_the_path_that_was_left(
    installed: Node, first: dict[str, Path], kind: str
) -> None:
    engine = installed.inside("/etc/containerd/config.toml")
    engine.parent.mkdir()
    engine.write_text(NAMES_US)
    installed.run(*REMOVE[kind])
    installed.run(*INSTALL[kind], installed.put(first[kind]))
    assert not installed.inside(f"{PREFIX}/bin/runc-wrap").is_symlink()
    assert installed.seccomp(installed.bundle(), f"{PREFIX}/bin/runc-wrap") == 2

