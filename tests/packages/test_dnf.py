"""The .rpm by dnf, which resolves what it needs, on a node without systemd."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.node import dnf as of_node
from harness.node.dnf import PROVIDED, Dnf
from harness.node.packages import PREFIX
from harness.node.requirements import requires
from tests.packages.test_installation import CONFIG, MINE
from tests.packages.test_upgrade import BARE, CONFINED

if TYPE_CHECKING:
    from pathlib import Path

    from harness.node.packages import Node

CHANGED = "S.5....T.  c /etc/runc-wrap/config.toml"


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    requires("dnf", "createrepo_c", "rpmbuild")
    return of_node.repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture
def dnf(node: Node, repository: Path) -> Dnf:
    return Dnf(node, repository)


@pytest.fixture
def said(dnf: Dnf, first: dict[str, Path]) -> list[str]:
    """What was said of its installation beside dnf's own words."""
    return dnf.done("install", first["rpm"])


def _differences(node: Node) -> list[str]:
    """Return what rpm finds changed, its dependencies included."""
    return node.attempt("rpm", "-V", "runc-wrap").stdout.splitlines()


def test_it_comes_with_what_it_needs_and_a_runtime_in_silence_and_is_in_force(
    dnf: Dnf, said: list[str]
) -> None:
    assert dnf.packages() == {"runc-wrap", *PROVIDED}
    assert said == []
    bundle = dnf.node.bundle()
    assert dnf.node.seccomp(bundle, "/usr/sbin/runc") == BARE
    assert dnf.node.seccomp(bundle) == CONFINED
    assert _differences(dnf.node) == []


def test_without_what_it_needs_it_is_not_installed(dnf: Dnf, first: dict[str, Path]) -> None:
    ended = dnf("install", "--exclude=coreutils", first["rpm"])
    assert ended.returncode == 1
    assert "requires coreutils, but none of the providers" in ended.stderr
    assert not dnf.node.inside(PREFIX).exists()


@pytest.mark.usefixtures("said")
def test_an_upgrade_a_downgrade_and_a_repetition_keep_the_owners_configuration(
    dnf: Dnf, first: dict[str, Path], second: dict[str, Path]
) -> None:
    node = dnf.node
    node.inside(CONFIG).write_text(MINE)
    bundle = node.bundle()
    steps = [
        ("upgrade", second, "0.2.1"),
        ("downgrade", first, "0.2.0"),
        ("reinstall", first, "0.2.0"),
    ]
    for command, packages, release in steps:
        assert dnf.done(command, packages["rpm"]) == [], command
        assert (node.release(), node.seccomp(bundle)) == (release, CONFINED)
        assert node.inside(CONFIG).read_text() == MINE
        assert _differences(node) == [CHANGED]


@pytest.mark.usefixtures("said")
def test_removed_it_leaves_the_owners_configuration_and_what_was_recorded(dnf: Dnf) -> None:
    node = dnf.node
    node.inside(CONFIG).write_text(MINE)
    node.seccomp(node.bundle())
    told = dnf.done("remove", "runc-wrap")
    assert told == [f"warning: {CONFIG} saved as {CONFIG}.rpmsave"]
    assert dnf.packages() == set()  # with what had come for its sake only
    assert node.inside(f"{CONFIG}.rpmsave").read_text() == MINE
    assert not node.inside(PREFIX).exists()
    assert node.inside("/var/lib/runc-wrap/ledger/ledger.jsonl").exists()


@pytest.mark.usefixtures("said")
def test_the_runtime_that_came_with_it_stays_if_dnf_is_told_so(dnf: Dnf) -> None:
    """Else dnf removes it as unused, and what led to it (leave-path) leads nowhere."""
    dnf.done("remove", "--noautoremove", "runc-wrap")
    assert dnf.packages() == {*PROVIDED}
