"""Which Debian packages a release archive is made of, and what is changed of them."""

from pathlib import Path

import pytest

from deploy.archive.debian_mirror import FILE, Deb, different, refuse_changed
from deploy.archive.debian_packages import lock_text, locked, read_lock
from deploy.archive.interpreter import closed
from deploy.archive.machines import MACHINES

LIBC = Deb("libc6", "2.41-12", "amd64", "a" * 64)
NEWER = LIBC._replace(version="2.41-13", sha256="b" * 64)
ZLIB = Deb("zlib1g", "1:1.3", "amd64", "c" * 64)


def test_what_is_written_is_read_as_it_was_and_sorted() -> None:
    assert read_lock(lock_text([ZLIB, LIBC])) == [LIBC, ZLIB]
    assert lock_text(read_lock(FILE.read_text())) == FILE.read_text()


def test_both_machines_have_the_same_versions() -> None:
    found = [{(deb.name, deb.version) for deb in locked(name)} for name in MACHINES]
    assert found[0] == found[1]


def test_what_is_locked_and_not_offered_is_named_with_what_is() -> None:
    told = different([LIBC, ZLIB], [NEWER, ZLIB], Path("/place"))
    assert told.startswith(f"{LIBC} is locked in requirements/{FILE.name}; apt has 2.41-13\n")
    assert "zlib1g" not in told


def test_a_locked_version_with_other_bytes_is_refused() -> None:
    refuse_changed([LIBC], [LIBC, NEWER, ZLIB])
    with pytest.raises(SystemExit, match="find out who did"):
        refuse_changed([LIBC], [LIBC._replace(sha256="d" * 64)])


PLACES = [
    ("/etc/ld.so.preload", "/proc/0/so.preload"),
    ("/usr/lib/locale", "/proc/0//locale"),
    ("/lib/a-linux-gnu/\0/lib/\0/usr/lib/", "/proc/0/inux-gnu/\0/sys/\0/proc/0//"),
]


@pytest.mark.parametrize(("paths", "nowhere"), PLACES)
def test_each_place_of_a_path_is_overwritten_at_the_same_length(paths: str, nowhere: str) -> None:
    there = f"\x7fELF{paths}\0 and \0{paths}\0, not {paths}.d\0".encode()
    made = f"\x7fELF{nowhere}\0 and \0{nowhere}\0, not {paths}.d\0".encode()
    assert closed(there, paths) == made
    assert len(made) == len(there)


def test_a_path_that_is_not_there_any_more_stops_the_build() -> None:
    with pytest.raises(SystemExit, match=r"ld\.so\.preload' is not in Debian's libc6 any more"):
        closed(b"/etc/ld.so.cache\0", "/etc/ld.so.preload")
