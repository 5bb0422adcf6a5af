from typing import Any

import pytest

from runc_wrap.report.merge.merged_workload import MergedWorkload
from runc_wrap.report.suggestion import policy_snippets
from tests.unit.evidence import samples
from tests.unit.report.test_verdict import Case

APP = {"namespace": "shop", "pod": "web-7d9c8b5f6-x2k4p", "container": "app", "image": "web:1"}


def _one(**names: Any) -> MergedWorkload:
    """Return the workload of a container that made a call."""
    case = Case("not known")
    case.container("c0", **names)
    case.evidence.add(("/run/test", "c0"), samples.sighting())
    (found,) = case.workloads()
    return found


def test_a_rule_selects_the_workload_or_an_annotation_where_names_do_not_count() -> None:
    assert policy_snippets.policy_rule(_one(**APP)) == (
        '[[rule]]\nname = "shop/web/app: what it was seen to need"\nnamespace = ["shop"]\n'
        'pod = ["web-*"]\ncontainer = ["app"]\nprofile = "localhost/shop_web_app.json"\n'
        'mode = "enforce"\n'
    )
    alone = _one()
    assert policy_snippets.policy_rule(alone) == ""
    assert policy_snippets.annotation(alone) == "runc-wrap/seccomp: localhost/c0.json"


@pytest.mark.parametrize(("length", "is_offered"), [(55, True), (56, False)])
def test_no_annotation_is_offered_with_too_long_a_key(length: int, *, is_offered: bool) -> None:
    found = policy_snippets.annotation(_one(**{**APP, "container": "a" * length}))
    assert found.startswith(f"runc-wrap/seccomp.{'a' * length}: ") is is_offered  # no sidecar's


PAIRS = [
    (("team", "a-b", "app"), ("team-a", "b", "app")),
    (("x" * 60, "y" * 60, "app"), ("x" * 60, "y" * 60, "sidecar")),
    ((None, None, "a_b_c"), ("a", "b", "c")),
    ((None, None, "App"), (None, None, "app")),
    (("a", None, "b"), ("a", "b", None)),
    (("a", "b.c", "d"), ("a", "b-c", "d")),
]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_two_workloads_never_have_one_file(
    one: tuple[str | None, ...], other: tuple[str | None, ...]
) -> None:
    named = ({"namespace": of[0], "pod": of[1], "container": of[2]} for of in (one, other))
    names = [policy_snippets.file_name(_one(**each)) for each in named]
    assert len(set(names)) == 2
    assert all(len(name) < 120 for name in names)


@pytest.mark.parametrize("name", ["../../passwd", "", "\x1b[31m", "\xfc" * 300, '"; x', "\ud800"])
def test_no_name_leads_to_a_file_elsewhere(name: str) -> None:
    found = policy_snippets.file_name(_one(container=name, image="i"))
    assert found.endswith(".json")
    plain, _, told = found.removesuffix(".json").partition(".")
    assert plain.replace("-", "").isalnum()
    assert told.isalnum()
    assert len(found) < 120
