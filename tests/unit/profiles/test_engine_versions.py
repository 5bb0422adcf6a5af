"""Ranges of versions, as the tables of the engines' profiles use them."""

import pytest

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
