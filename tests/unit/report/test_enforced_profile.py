import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from runc_wrap.evidence.store.call_counts import CallKind
from runc_wrap.hotpath import json_codec, policy_file
from runc_wrap.hotpath.json_codec import digest
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.ledger import decision_record as ledger_record
from runc_wrap.ledger.decision_record import Record
from runc_wrap.report import call_outcomes
from runc_wrap.report.enforced_profile import Enforced, Profiles
from tests.unit.cli import ctl
from tests.unit.evidence import samples
from tests.unit.evidence.samples import line

SYSLOG = 103  # allowed with CAP_SYSLOG
CHROOT = 161  # allowed with CAP_SYS_CHROOT
PTRACE, MOUNT, MBIND = 101, 165, 237
FOURTEEN = frozenset(
    f"CAP_{name}"
    for name in "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP "
    "SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE".split()
)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ctl.Node:
    ctl.prove_once(monkeypatch)
    return ctl.node(tmp_path, monkeypatch).apply('[default]\nmode = "audit"\n')


def _digest(node: ctl.Node, caps: frozenset[str]) -> str:
    compiled = policy_file.load_profile(policy_file.load(str(node.places.prefix)), "moby", "audit")
    return digest(json_codec.dumps(resolve(compiled, caps)))


def _enforced(node: ctl.Node, **changes: object) -> Enforced:
    found = Profiles(node.places.prefix).of(samples.record(profile="moby", **changes))
    assert isinstance(found, Enforced), found
    return found


def _denies(profile: Enforced, number: int) -> bool:
    call = CallKind(samples.X86_64, number, samples.LOG, None, "", "")
    return call_outcomes.of(call, profile).verdict == call_outcomes.DENIED


MORE = FOURTEEN | {"CAP_SYSLOG"}
HELD = [(), ("CAP_SYSLOG",), FOURTEEN, MORE, MORE | {"CAP_SYS_TIME"}]


@pytest.mark.parametrize("held", HELD)
def test_the_digest_shows_for_which_capabilities_a_profile_was_resolved(
    node: ctl.Node, held: Collection[str]
) -> None:
    profile = _enforced(node, digest=_digest(node, frozenset(held)))
    assert _denies(profile, SYSLOG) is ("CAP_SYSLOG" not in held)
    assert profile.block["defaultAction"] == "SCMP_ACT_ERRNO"


@pytest.mark.parametrize("more", ["", "runtime-default + mbind on "])
def test_a_profile_of_before_an_upgrade_is_known_by_its_name(node: ctl.Node, more: str) -> None:
    found = Profiles(node.places.prefix).of(samples.record(profile=f"{more}containerd@1.6.16"))
    assert isinstance(found, Enforced), found
    assert (_denies(found, MOUNT), _denies(found, MBIND)) == (True, not more)
    assert _denies(found, CHROOT)  # nothing says for which capabilities it was


def test_where_no_capabilities_give_the_digest_nothing_is_taken_for_allowed(node: ctl.Node) -> None:
    """It may be of a container without any, under a profile that is another by now."""
    assert _denies(_enforced(node, digest="0" * 64), CHROOT)
    assert not _denies(_enforced(node, digest=_digest(node, FOURTEEN)), CHROOT)


def test_the_bundle_shows_them_while_it_exists(node: ctl.Node, tmp_path: Path) -> None:
    strange = frozenset({"CAP_SYSLOG", "CAP_BPF", "CAP_SYS_TIME", "CAP_SYS_PTRACE"})
    config = {"process": {"capabilities": {"bounding": sorted(strange)}}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    profile = _enforced(node, digest=_digest(node, strange), bundle=str(tmp_path))
    assert not _denies(profile, SYSLOG)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"process": 5}'])
def test_a_damaged_bundle_counts_as_deleted(node: ctl.Node, tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    assert _denies(_enforced(node, digest=_digest(node, FOURTEEN), bundle=str(tmp_path)), SYSLOG)


MISSING = [
    ({"profile": None}, "The ledger does not say which profile was decided."),
    ({"profile": "localhost/gone.json"}, "does not exist"),
    ({"profile": "localhost/../../etc/passwd"}, "is not a path within"),
]


@pytest.mark.parametrize(("changes", "sentence"), MISSING)
def test_a_missing_profile_is_reported_in_a_sentence(
    node: ctl.Node, changes: dict[str, str | None], sentence: str
) -> None:
    found = Profiles(node.places.prefix).of(samples.record(**changes))
    assert isinstance(found, str)
    assert sentence in found


@pytest.mark.parametrize(("state", "errno"), [("state.json", "ENOSYS"), ("status", "EPERM")])
def test_the_runtime_is_recognized_by_its_state_file(
    node: ctl.Node, tmp_path: Path, state: str, errno: str
) -> None:
    (tmp_path / "c1").mkdir()
    (tmp_path / "c1" / state).write_text("{}")
    profile = _enforced(node, root=str(tmp_path), digest=_digest(node, FOURTEEN))
    above = CallKind(samples.X86_64, 5000, samples.LOG, None, "", "")
    assert call_outcomes.of(above, profile).errno == errno


OTHERS = [{"digest": "of before"}, {"profile": "moby"}, {"mode": "observe"}, {"root": "/run/other"}]


@pytest.mark.parametrize(("changes", "times"), [({"id": "c2"}, 1), *((one, 2) for one in OTHERS)])
def test_containers_are_judged_by_the_profile_that_each_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], times: int
) -> None:
    asked: list[Record] = []

    def named(_: Profiles, _name: str, record: Record) -> str:
        asked.append(record)
        return f"the {len(asked)}. profile"

    monkeypatch.setattr(Profiles, "_named", named)
    one = line(digest="now")
    records = [ledger_record.of(one), ledger_record.of({**one, **changes})]
    found = {*map(Profiles(tmp_path).of, records * 2)}
    assert (len(asked), len(found)) == (times, times)
