"""Settings: valid values, and the messages about invalid ones."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.policy.settings import schema

anything: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


def test_every_default_is_valid_for_its_setting() -> None:
    for setting in schema.SETTINGS:
        if setting.default is not None:  # else it can be left out
            assert schema.problem(setting.name, setting.default) is None


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("runtime", "runc", "runtime is 'runc'; it takes a list"),
        ("runtime", [], "runtime is []; it takes a list"),
        ("runtime", ["runc", 1], "it takes a list"),
        ("runtime", [""], "it takes a list"),
        ("on_error", "ignore", "on_error is 'ignore'; it takes refuse or run-unmodified"),
        ("on_error", True, "on_error is True; it takes refuse"),
        ("on_error", "refsue", "it takes refuse or run-unmodified (did you mean refuse?)"),
        ("default.mode", "obsreve", "audit, observe or off (did you mean observe?)"),
        ("rule.percent", True, "it takes a whole number from 0 to 100"),
        ("rule.percent", 101, "it takes a whole number"),
        ("rule.until", "2027-01-31", "it takes a day (2027-01-31) or a time with its offset"),
        ("rule.until", dt.datetime(2027, 1, 31), "2027-01-31T00:00:00; a time needs its offset"),  # noqa: DTZ001
        ("rule.until", dt.date(9999, 12, 31), "the last year has no end"),
        ("rule.namespace", ["Batch-*"], "matches nothing: no namespace has 'B'"),
        ("rule.namespace", ["a[bc]"], "no namespace has '['"),
        ("rule.handler", ["a/b"], "no handler has '/'"),
        ("rule.engine", ["dokcer"], "there is no engine 'dokcer'"),
        ("rule.engine", ["dokcer"], "(did you mean docker?)"),
        ("rule.image", ["a", "a"], "'a' is listed twice"),
        ("overlay.deny", ["io uring"], "it takes a list of system calls"),
        ("overlay.deny_sockets", ["AF_ALGG"], "not a socket family (did you mean AF_ALG?)"),
        ("overlay.deny_sockets", ["AF_ALG", 38], "38 is listed twice"),
        ("overlay.deny_sockets", [46], "46 is not a socket family"),
        ("overlay.existing", 1, "it takes true or false"),
        pytest.param("on_error", 1 << 99_999, "on_error is a huge number; it takes", id="huge"),
        ("default.profile", "", "default.profile is ''; it takes"),
        ("default.profile", "a\nb", "it takes runtime-default"),
        ("runtime_default.engine", "kata", "takes auto, containerd, docker, crio, podman or"),
        ("runtime_default.containers_common", 5, "of containers/common (0.62.3; not Podman"),
    ],
)
def test_an_invalid_value_is_shown_with_the_valid_ones(name: str, value: Any, said: str) -> None:
    assert said in str(schema.problem(name, value))


@given(st.text(), anything)
def test_an_unknown_name_is_refused_with_the_known_ones(name: str, value: object) -> None:
    said = schema.problem(f"x{name}", value)
    assert said is not None
    assert said.startswith(f"x{name}"[:80])
    assert all(known in said for known in schema.BY_NAME)


@given(st.sampled_from(sorted(schema.BY_NAME)), anything)
def test_any_value_is_accepted_or_reported_briefly(name: str, value: object) -> None:
    said = schema.problem(name, value)
    assert said is None or len(said) < len(name) + 300
