from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from runc_wrap.evidence import ledger as ledgers
from runc_wrap.evidence import outcomes, suggest
from runc_wrap.evidence.model import AUDIT
from runc_wrap.evidence.seen import Evidence
from runc_wrap.evidence.suggest import Suggestion
from runc_wrap.evidence.tallies import Call
from runc_wrap.evidence.verdict import Judging
from runc_wrap.node.would import Enforced
from runc_wrap.profiles import formats
from runc_wrap.profiles.loading import Loader
from tests.unit.evidence import making
from tests.unit.evidence.making import (
    CLONE,
    CLONE3,
    NEWUSER,
    SOCKET,
    UNSHARE,
    X86,
    observed,
    sighting,
)

if TYPE_CHECKING:
    from runc_wrap.evidence.judged import Judged

KEY = ("/run/test", "c1")
LOADER = Loader.of("runc", "1.3.0")
VSOCK, ALG, NETLINK, AUDIT_PROTOCOL = 40, 38, 16, 9


def _judged(*seen: Any, profile: str = "containerd", **changes: Any) -> Judged:
    evidence = Evidence()
    evidence.add_watched(AUDIT, 0, making.START + 100)
    for one in seen:
        evidence.add(KEY, one)
    decided = ledgers.Ledger({KEY: making.record(**changes)})
    filter_ = making.enforced(profile)
    judging = Judging(lambda _: filter_, lambda _: True, making.START + 100)
    (found,) = judging.judge(decided, evidence)
    return found


def _suggested(judged: Judged, **options: bool) -> Suggestion:
    assert isinstance(judged.filter, Enforced)
    return suggest.suggest(
        judged.filter.block, judged, lambda block: Enforced(dict(block), LOADER), **options
    )


def _gets(found: Suggestion, number: int, *args: int, arch: int = making.X86_64) -> str | None:
    six = (*args, 0, 0, 0, 0, 0, 0)[:6]
    outcome = outcomes.of(Call(arch, number, 0, six, "", ""), Enforced(found.profile, LOADER))
    return outcome.errno


def test_an_addition_allows_what_was_seen_with_its_evidence() -> None:
    found = _suggested(_judged(sighting(), sighting(serial=2)))
    assert found.added == [
        {
            "names": ["unshare"],
            "action": "SCMP_ACT_ALLOW",
            "comment": "EPERM; seen 2 times, by /usr/bin/unshare, "
            "2026-11-18T11:06:50Z to 2026-11-18T11:06:50Z",
        }
    ]
    assert (_gets(found, UNSHARE), _gets(found, making.MOUNT)) == (None, "EPERM")


@pytest.mark.parametrize("profile", ["containerd", "moby", "containers-common", "crio"])
@pytest.mark.parametrize(
    ("seen", "other"),
    [
        (observed(UNSHARE, NEWUSER), (0x20000,)),
        (observed(CLONE, NEWUSER | 17), (0x20000 | 17,)),
        (observed(SOCKET, VSOCK), ()),
        (observed(SOCKET, NETLINK, 3, AUDIT_PROTOCOL), ()),
        (observed(making.PERSONALITY, 0x40000), (0x80000,)),
    ],
)
def test_with_arguments_known_just_those_are_allowed(
    profile: str, seen: Any, other: tuple[int, ...]
) -> None:
    judged = _judged(seen, profile=profile)
    if judged.verdict == "safe":
        return  # this engine's profile allows it
    found = _suggested(judged, degrading=True)
    assert _gets(found, seen.number, *seen.args) is None
    assert all("args" in entry for entry in found.added)
    before = Suggestion(making.block(profile), [])
    if other and _gets(before, seen.number, *other):
        assert _gets(found, seen.number, *other) is not None


def test_values_seen_are_an_entry_each() -> None:
    found = _suggested(_judged(observed(CLONE, NEWUSER), observed(CLONE, 0x20000)))
    values = [entry["args"][0]["value"] for entry in found.added]
    assert sorted(values) == [0x20000, NEWUSER]


def test_what_degrades_is_added_only_where_asked_for() -> None:
    judged = _judged(sighting(CLONE3))
    assert _suggested(judged).added == []
    found = _suggested(judged, degrading=True)
    assert [entry["names"] for entry in found.added] == [["clone3"]]
    assert _gets(found, CLONE3) is None


def test_a_denying_rule_for_the_same_call_does_not_stand_in_the_way() -> None:
    judged = _judged(sighting(CLONE3), profile="moby")
    assert _gets(Suggestion(making.block("moby"), []), CLONE3) == "ENOSYS"
    found = _suggested(judged, degrading=True)
    assert _gets(found, CLONE3) is None


def test_dangerous_calls_are_never_added_in_silence() -> None:
    found = _suggested(_judged(sighting(), sighting(304, serial=2)))
    assert any(one.startswith("unshare is dangerous") for one in found.warnings)
    assert any(one.startswith("open_by_handle_at is dangerous") for one in found.warnings)


def test_a_number_without_a_name_is_left_out_and_said() -> None:
    judged = _judged(sighting(5000), sighting(serial=2))
    found = _suggested(judged, degrading=True)
    assert len(found.added) == 1
    assert any("#5000 is left out" in one for one in found.warnings)


def test_a_32_bit_program_gets_its_call_too() -> None:
    found = _suggested(_judged(sighting(310, arch=X86)))
    assert [entry["names"] for entry in found.added] == [["unshare"]]
    assert _gets(found, 310, arch=X86) is None


def test_apply_reads_what_is_suggested() -> None:
    found = _suggested(_judged(sighting(), observed(CLONE, NEWUSER)))
    profile = formats.parse(json.dumps(found.profile).encode(), "suggested")
    assert len(profile.rules) == len(found.profile["syscalls"])


def test_the_decided_block_itself_stays_as_it_is() -> None:
    judged = _judged(sighting())
    assert isinstance(judged.filter, Enforced)
    before = json.dumps(judged.filter.block)
    _suggested(judged)
    assert json.dumps(judged.filter.block) == before


def test_a_rule_selects_the_workload_and_an_annotation_where_names_do_not_count() -> None:
    names = {"namespace": "shop", "container": "app", "image": "web:1"}
    judged = _judged(sighting(), pod="web-7d9c8b5f6-x2k4p", **names)
    assert suggest.policy_rule(judged) == (
        '[[rule]]\nname = "shop/web/app: what it was seen to need"\nnamespace = ["shop"]\n'
        'pod = ["web-*"]\ncontainer = ["app"]\nprofile = "localhost/shop-web-app.json"\n'
        'mode = "enforce"\n'
    )
    alone = _judged(sighting())
    assert suggest.policy_rule(alone) == ""
    assert suggest.annotation(alone) == "runc-wrap/seccomp: localhost/c1.json"


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "\x1b[31m", "ü" * 300, '"; x'])
def test_no_name_leads_a_file_elsewhere(name: str) -> None:
    judged = _judged(sighting(), container=name, image="i")
    found = suggest.file_name(judged)
    assert found.endswith(".json")
    assert found.removesuffix(".json").replace("-", "").isalnum()
    assert len(found) < 120
