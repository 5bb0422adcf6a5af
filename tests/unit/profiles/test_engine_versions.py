"""Ranges of versions, as tables use them, and the calls that a release of libseccomp knows."""

from __future__ import annotations

import pytest

from runc_wrap.host import program
from runc_wrap.node import seccomp_features
from runc_wrap.profiles import engine_versions, libseccomp_releases, syscall_names
from runc_wrap.profiles.engine_versions import Version, listed, parse, reached, within
from runc_wrap.profiles.source_profile import ProfileError

BACKPORTED = "1.7.32 2.0.9 2.2.4 2.3.1"


def test_a_change_applies_to_the_named_series_and_all_later_ones() -> None:
    without = "1.6.39 1.7.31 2.0.8 2.1.9 2.2.3 2.3.0".split()
    carrying = "1.7.32 1.7.33 2.0.9 2.2.4 2.3.1 2.4.0 3.0.0".split()
    found = {each for each in without + carrying if reached(parse(each), BACKPORTED)}
    assert found == {*carrying}


@pytest.mark.parametrize(
    ("since", "until", "inside"),
    [
        ("", "", True),
        ("1.7.0", "", True),
        ("1.8.0", "", False),
        ("", "1.7.0", False),
        ("", "1.8.0", True),
        ("1.6.5", "2.0.0", True),
    ],
)
def test_an_empty_bound_is_no_bound(since: str, until: str, inside: bool) -> None:
    assert within(Version(1, 7, 5), since, until) is inside


@pytest.mark.parametrize("text", ["", "v", "1.", "1.2.3.4", "1,2", "a.b", "1.7.24 beta", "-1.2"])
def test_an_invalid_version_is_refused(text: str) -> None:
    with pytest.raises(ProfileError, match="is not a version; write it like"):
        parse(text)


def test_left_out_parts_come_from_the_newest_release_that_fits() -> None:
    releases = listed("1.6.39 1.7.34 2.0.11")
    assert parse("1", releases) == Version(1, 7, 34)
    assert parse("2.0", releases) == Version(2, 0, 11)
    assert parse("2.1", releases) == Version(2, 1, 0)
    assert parse("1.6.3", releases) == Version(1, 6, 3)


EVERY = libseccomp_releases.dated()


def _lacking(version: str) -> frozenset[str]:
    return libseccomp_releases.lacking(engine_versions.parse(version))


def test_the_table_agrees_with_the_installed_library() -> None:
    known = syscall_names.known_to_libseccomp(EVERY)
    runtime = next(filter(None, map(program.locate, ("runc", "crun"))), None)
    if known is None or runtime is None:
        pytest.skip("needs libseccomp, and runc or crun, which say which version it is")
    shown = seccomp_features.printed(runtime).annotations.libseccomp
    assert _lacking(shown) == EVERY - known


KNOWN = "2.4.3:clone3 2.4.4:faccessat2 2.5.0:faccessat2 2.5.6:mseal 2.6.0:mseal 2.6.1:uprobe"
LACKED = "2.4.1:clone3 2.5.4-1+deb12u1:cachestat 2.5.5:mseal 2.6.0:uprobe"


def test_a_call_is_known_from_its_release_on() -> None:
    for text, is_known in ((f"{KNOWN} 2.7.0:uprobe 2.5.6:no_such_call", True), (LACKED, False)):
        for version, name in (each.split(":") for each in text.split()):
            assert (name not in _lacking(version)) is is_known, (version, name)
