"""Settings: what each takes, and what is said of what it does not take."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.policy import schema

anything: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


def test_every_default_is_a_value_that_its_setting_takes() -> None:
    assert [schema.problem(name, value) for name, value in schema.defaults().items()] == [
        None for _ in schema.SETTINGS
    ]


def test_every_choice_stands_in_what_the_setting_says_it_takes() -> None:
    for setting in schema.SETTINGS:
        assert all(choice in setting.takes for choice in setting.choices)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("runtime", "runc", "runtime is 'runc'; it takes a list"),
        ("runtime", [], "runtime is []; it takes a list"),
        ("runtime", ["runc", 1], "it takes a list"),
        ("runtime", [""], "it takes a list"),
        ("on_error", "ignore", "on_error is 'ignore'; it takes refuse or run-unmodified"),
        ("on_error", True, "on_error is True; it takes refuse"),
        pytest.param("on_error", 1 << 99_999, "on_error is a huge number; it takes", id="huge"),
        ("default.profile", "", "default.profile is ''; it takes"),
        ("default.profile", "a\nb", "it takes runtime-default"),
        ("runtime_default.engine", "kata", "it takes auto or one of containerd, docker"),
        ("runtime_default.containers_common", 5, "of containers/common (0.62.3; it is not Podman"),
    ],
)
def test_a_value_that_a_setting_does_not_take_is_shown_with_what_it_takes(
    name: str, value: Any, said: str
) -> None:
    assert said in str(schema.problem(name, value))


@given(st.text(), anything)
def test_an_unknown_name_is_refused_with_all_that_there_are(name: str, value: object) -> None:
    said = schema.problem(f"x{name}", value)
    assert said is not None
    assert said.startswith(f"x{name}"[:80])
    assert all(known in said for known in schema.BY_NAME)


@given(st.sampled_from(sorted(schema.BY_NAME)), anything)
def test_whatever_is_written_is_taken_or_told_shortly(name: str, value: object) -> None:
    said = schema.problem(name, value)
    assert said is None or len(said) < len(name) + 240
