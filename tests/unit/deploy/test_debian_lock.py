"""Which Debian packages a release archive is made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.archive import debian_lock
from deploy.archive.debian_mirror import FILE, Deb, different, refuse_changed
from deploy.archive.debian_packages import RUNTIME
from deploy.archive.machines import MACHINES

LIBC = Deb("libc6", "2.41-12", "amd64", "a" * 64)
NEWER = LIBC._replace(version="2.41-13", sha256="b" * 64)
ZLIB = Deb("zlib1g", "1:1.3", "amd64", "c" * 64)


@pytest.mark.parametrize("machine", MACHINES)
def test_each_package_of_the_archive_is_locked_for_each_machine(machine: str) -> None:
    locked = debian_lock.locked(machine)
    assert [deb.name for deb in locked] == sorted(RUNTIME)
    assert all(len(deb.sha256) == 64 for deb in locked)


def test_what_is_written_is_read_as_it_was_and_sorted() -> None:
    assert debian_lock.read(debian_lock.written([ZLIB, LIBC])) == [LIBC, ZLIB]
    assert debian_lock.written(debian_lock.read(FILE.read_text())) == FILE.read_text()


def test_both_machines_have_the_same_versions() -> None:
    found = [{(deb.name, deb.version) for deb in debian_lock.locked(name)} for name in MACHINES]
    assert found[0] == found[1]


def test_what_is_locked_and_not_offered_is_named_with_what_is() -> None:
    told = different([LIBC, ZLIB], [NEWER, ZLIB], Path("/place"))
    assert told.startswith(f"{LIBC} is locked in requirements/{FILE.name}; apt has 2.41-13\n")
    assert "zlib1g" not in told


def test_a_locked_version_with_other_bytes_is_refused() -> None:
    refuse_changed([LIBC], [LIBC, NEWER, ZLIB])
    with pytest.raises(SystemExit, match="find out who did"):
        refuse_changed([LIBC], [LIBC._replace(sha256="d" * 64)])
