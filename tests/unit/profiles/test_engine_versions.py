"""Ranges of versions, as the tables of the engines' profiles use them."""

import pytest

from runc_wrap.profiles.engine_versions import Version, listed, parse, reached, within
from runc_wrap.profiles.source_profile import ProfileError

BACKPORTED = "1.7.32 2.0.9 2.2.4 2.3.1"


@pytest.mark.parametrize(
    ("version", "carries"),
    [
        ("1.6.39", False),
        ("1.7.31", False),
        ("1.7.32", True),
        ("1.7.33", True),
        ("2.0.8", False),
        ("2.0.9", True),
        ("2.1.9", False),
        ("2.2.3", False),
        ("2.2.4", True),
        ("2.3.0", False),
        ("2.3.1", True),
        ("2.4.0", True),
        ("3.0.0", True),
    ],
)
def test_a_change_applies_to_the_named_series_and_all_later_ones(
    version: str, carries: bool
) -> None:
    assert reached(parse(version), BACKPORTED) is carries


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


def test_left_out_parts_come_from_the_newest_release_that_fits() -> None:
    releases = listed("1.6.39 1.7.34 2.0.11")
    assert parse("1", releases) == Version(1, 7, 34)
    assert parse("2.0", releases) == Version(2, 0, 11)
    assert parse("2.1", releases) == Version(2, 1, 0)
    assert parse("1.6.3", releases) == Version(1, 6, 3)


@pytest.mark.parametrize("text", ["", "v", "1.", "1.2.3.4", "1,2", "a.b", "1.7.24 beta", "-1.2"])
def test_an_invalid_version_is_refused(text: str) -> None:
    with pytest.raises(ProfileError, match="is not a version; write it like"):
        parse(text)
