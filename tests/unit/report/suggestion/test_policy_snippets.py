from typing import Any

import pytest

from runc_wrap.report.merge.merged_workload import MergedWorkload
from runc_wrap.report.suggestion import policy_snippets
from tests.unit.evidence import samples
from tests.unit.report.test_verdict import Case

APP = {"namespace": "shop", "pod": "web-7d9c8b5f6-x2k4p", "container": "app", "image": "web:1"}


def _judged(*containers: dict[str, Any]) -> list[MergedWorkload]:
    """Return workloads of containers that made calls, in their order."""
    case = Case("not known")
    for place, names in enumerate(containers):
        case.container(f"c{place}", **names)
        case.evidence.add(("/run/test", f"c{place}"), samples.sighting())
    return sorted(case.workloads(), key=lambda one: one.ids[0])


def _one(**names: Any) -> MergedWorkload:
    (found,) = _judged(names)
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
def test_no_annotation_is_offered_if_kubernetes_refuses_its_key(
    length: int, *, is_offered: bool
) -> None:
    found = policy_snippets.annotation(_one(**{**APP, "container": "a" * length}))
    assert found.startswith(f"runc-wrap/seccomp.{'a' * length}: ") is is_offered  # no sidecar's


def test_a_rule_that_also_matches_another_workload_is_detected() -> None:
    admin = {**APP, "pod": "web-admin-7d9c8b5f6-x2k4p"}
    elsewhere = {**admin, "namespace": "other"}
    sidecar = {**admin, "container": "sidecar"}
    everyone = _judged(APP, admin, elsewhere, sidecar, {"container": "web-1"})
    web, narrow, *_, alone = everyone
    assert policy_snippets.also_matched(web, everyone) == ["shop/web-admin/app"]
    assert policy_snippets.also_matched(narrow, everyone) == []
    assert policy_snippets.also_matched(alone, everyone) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("team", "a-b", "app"), ("team-a", "b", "app")),
        (("x" * 60, "y" * 60, "app"), ("x" * 60, "y" * 60, "sidecar")),
        ((None, None, "a_b_c"), ("a", "b", "c")),
        ((None, None, "App"), (None, None, "app")),
        (("a", None, "b"), ("a", "b", None)),
        (("a", "b.c", "d"), ("a", "b-c", "d")),
    ],
)
def test_two_workloads_never_have_one_file(
    one: tuple[str | None, ...], other: tuple[str | None, ...]
) -> None:
    keys = ("namespace", "pod", "container")
    names = [
        policy_snippets.file_name(_one(**dict(zip(keys, whose, strict=True))))
        for whose in (one, other)
    ]
    assert len(set(names)) == 2
    assert all(len(name) < 120 for name in names)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "", "\x1b[31m", "\xfc" * 300, '"; x', "\ud800"]
)
def test_no_name_leads_to_a_file_elsewhere(name: str) -> None:
    found = policy_snippets.file_name(_one(container=name, image="i"))
    assert found.endswith(".json")
    plain, _, told = found.removesuffix(".json").partition(".")
    assert plain.replace("-", "").isalnum()
    assert told.isalnum()
    assert len(found) < 120
