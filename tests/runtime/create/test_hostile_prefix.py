"""A prefix that users other than root can change is refused, and doctor reports it."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest

from harness.attackers import hostile_user
from harness.host.processes import attempt, short_directory
from harness.node import install
from harness.node.requirements import requires

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def place() -> Iterator[Path]:
    requires("runc", "setpriv", root=True)
    with short_directory("prefix") as made:
        made.chmod(0o755)
        yield made


def _his(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)
    hostile_user.own(path)


def _everybodys(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o777)


def _through_his_link(path: Path) -> None:
    """In a sticky directory like /tmp: the user cannot rename root's files, but owns the link."""
    path.parent.chmod(0o1777)
    (path.parent / "elsewhere").mkdir()
    path.symlink_to("elsewhere")
    hostile_user.own(path)


WAYS: dict[str, Callable[[Path], None]] = {
    "his own": _his,
    "writable by all": _everybodys,
    "a link of his": _through_his_link,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("where", ["above", "itself"])
def test_an_unsafe_prefix_is_refused_before_anything_is_written(
    place: Path, way: str, where: str
) -> None:
    WAYS[way](place / "a")
    prefix = place / "a" / "p" if where == "above" else place / "a"
    before = sorted(place.rglob("*"))
    done = install.attempted(prefix)
    assert done.returncode == 1
    assert f"{place}/a " in done.stderr
    assert "chown" in done.stderr
    assert sorted(place.rglob("*")) == before


def test_a_part_that_a_user_took_over_stops_an_upgrade_and_is_an_error_of_doctor(
    installed: install.Installed, place: Path
) -> None:
    node = install.copy_of(installed, place / "p")
    assert _ownership(node.control("doctor", "--json", ok=False).stdout) == []
    hostile_user.own(node.prefix / "etc" / "conf.d")
    done = install.attempted(node.prefix)
    assert (done.returncode, f"{node.prefix}/etc/conf.d belongs to" in done.stderr) == (1, True)
    checked = node.control("doctor", "--json", ok=False)
    (found,) = _ownership(checked.stdout)
    assert checked.returncode == 1
    assert found["severity"] == "error"
    assert f"{node.prefix}/etc/conf.d belongs to uid {hostile_user.UID}" in found["sentence"]


def _ownership(document: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(document)["findings"]
    return [each for each in found if each["check"] == "ownership"]


def test_a_users_interpreter_is_refused(place: Path) -> None:
    python = place / "python3"
    shutil.copy(os.path.realpath("/usr/bin/python3"), python)
    hostile_user.own(python)
    done = install.attempted(place / "p", str(python))
    assert done.returncode == 1
    assert f"others may replace {python}, which root would execute" in done.stderr
    assert not (place / "p").exists()


def test_a_user_can_install_for_themselves(place: Path) -> None:
    """All but the final containers, which runc does not start for a user without namespaces."""
    _his(place / "home")
    prefix = place / "home" / "p"
    done = install.attempted(prefix, before=tuple(hostile_user.AS_USER))
    assert "runc-wrap is installed in" in done.stdout, done.stdout + done.stderr
    assert "rootless container requires user namespaces" in done.stderr
    assert prefix.stat().st_uid == hostile_user.UID
    his = attempt([*hostile_user.AS_USER, prefix / "bin" / "runc-wrapctl", "doctor", "--json"])
    assert _ownership(his.stdout) == []
    roots = attempt([prefix / "bin" / "runc-wrapctl", "doctor", "--json"])
    assert _ownership(roots.stdout) != []
