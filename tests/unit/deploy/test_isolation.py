"""The paths of the node in the archive's loader and C library."""

from __future__ import annotations

import pytest

from deploy.archive.isolation import closed


@pytest.mark.parametrize(
    ("paths", "nowhere"),
    [
        ("/etc/ld.so.preload", "/proc/0/so.preload"),
        ("/usr/lib/locale", "/proc/0//locale"),
        ("/lib/a-linux-gnu/\0/lib/\0/usr/lib/", "/proc/0/inux-gnu/\0/sys/\0/proc/0//"),
    ],
)
def test_each_place_of_a_path_is_overwritten_by_one_of_the_same_length(
    paths: str, nowhere: str
) -> None:
    there = f"\x7fELF{paths}\0 and \0{paths}\0, not {paths}.d\0".encode()
    made = f"\x7fELF{nowhere}\0 and \0{nowhere}\0, not {paths}.d\0".encode()
    assert closed(there, paths) == made
    assert len(made) == len(there)


def test_a_path_that_is_not_there_any_more_stops_the_build() -> None:
    with pytest.raises(SystemExit, match=r"ld\.so\.preload' is not in Debian's libc6 any more"):
        closed(b"/etc/ld.so.cache\0", "/etc/ld.so.preload")
