"""A profile is put together from an engine's blocks, which are compared by what they do."""

import json
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runc_wrap.profiles import builtin, captured_profile
from runc_wrap.profiles.captured_profile import BlockDifference, CapturedProfile, differences
from runc_wrap.profiles.json_profiles import profile_parser
from runc_wrap.profiles.runtime_spec_names import CAPABILITIES
from runc_wrap.profiles.source_profile import Profile, ProfileError
from tests.unit.profiles.strategies import bounding, oci_blocks

Json = dict[str, Any]
Caps = frozenset[str]
KERNEL = (6, 12)
ALLOW, DENY = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"
ENGINES = ["containerd@1.7.24", "moby@26.1.5", "containers-common@0.62.3", "crio@1.36"]
ENGINES += ["containerd", "moby", "containers-common"]
PROFILE: Json = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []}
WHEN = "2026-11-26T12:00:00Z"
CAPTURED = CapturedProfile("containerd", "1.7.24", WHEN, "amd64", "6.12", "ab", PROFILE)


def _sets() -> list[Caps]:
    return [Caps(), *(Caps([name]) for name in sorted(CAPABILITIES)), CAPABILITIES]


def _resolved(profile: Profile, caps: Caps) -> Json:
    return captured_profile.resolved(profile, caps, "amd64", KERNEL)


def _derived(blocks: dict[Caps, Json]) -> Profile:
    derived = json.dumps(captured_profile.derived(blocks, "engine")).encode()
    return profile_parser.parse(derived, "engine")


OF_SETS = {
    name: {caps: _resolved(builtin.load(name), caps) for caps in _sets()} for name in ENGINES
}
DERIVED = {name: _derived(blocks) for name, blocks in OF_SETS.items()}


@pytest.mark.parametrize("name", ENGINES)
@settings(deadline=None, max_examples=60)
@given(caps=bounding)
def test_every_engines_profile_is_found_again_for_any_capabilities(name: str, caps: Caps) -> None:
    def ordered(block: Json) -> Json:
        rules = [{**rule, "names": sorted(rule["names"])} for rule in block["syscalls"]]
        return {**block, "syscalls": rules}

    whole = builtin.load(name)
    assert ordered(_resolved(DERIVED[name], caps)) == ordered(_resolved(whole, caps))


def _block(*rules: Json, **fields: Any) -> Json:
    return {"defaultAction": DENY, **fields, "syscalls": list(rules)}


def _rule(names: str, action: str = ALLOW, **fields: Any) -> Json:
    return {"names": names.split(), "action": action, **fields}


def _argument(index: int, value: int, op: str = "SCMP_CMP_EQ", **more: int) -> Json:
    return {"index": index, "value": value, "op": op, **more}


A, B = Caps(["CAP_BPF"]), Caps(["CAP_PERFMON"])
NONE, BPF = _block(), _block(_rule("bpf"))


UNDECIDED = [
    {Caps(): NONE, A: NONE, B: NONE, A | B: BPF},  # both are needed
    {Caps(): BPF, A: BPF, B: BPF, A | B: NONE},  # both together take away
    {Caps(): NONE, A: {**NONE, "flags": ["SECCOMP_FILTER_FLAG_LOG"]}},  # the flags depend on it
]


@pytest.mark.parametrize("blocks", UNDECIDED)
def test_what_no_single_capability_decides_is_refused(blocks: dict[Caps, Json]) -> None:
    with pytest.raises(ProfileError, match="no profile in moby's format gives what it applies"):
        captured_profile.derived(blocks, "containerd")


def test_a_rule_that_either_of_two_capabilities_brings_is_found() -> None:
    blocks = {Caps(): NONE, A: BPF, B: BPF, A | B: BPF}
    found = _derived(blocks)
    assert [rule.includes.caps for rule in found.rules] == [("CAP_BPF",), ("CAP_PERFMON",)]


def test_a_capture_reads_back_as_it_was_written_and_equal_ones_have_equal_names() -> None:
    chosen = replace(CAPTURED, config="/srv/k3s/config.toml")
    for each in (CAPTURED, chosen):
        assert captured_profile.parse(captured_profile.text(each), "file") == each
    killing = {**PROFILE, "defaultAction": "SCMP_ACT_KILL"}
    other = CapturedProfile("containerd", "2", "", "", "", "", killing)
    again = CapturedProfile("containerd", "2", "later", "arm64", "7.0", "", PROFILE)
    assert CAPTURED.name == again.name != other.name
    assert CAPTURED.name.startswith("containerd@captured-")


def _without(name: str) -> bytes:
    document = json.loads(captured_profile.text(CAPTURED))
    del document[name]
    return json.dumps(document).encode()


DAMAGED = [
    b"",
    b"[]",
    b"{}",
    *map(_without, ("engine", "program", "profile")),
    captured_profile.text(CAPTURED).replace(b"SCMP_ACT_ERRNO", b"SCMP_ACT_SING"),
    captured_profile.text(CAPTURED).replace(b'"format": 1', b'"format": 2'),
    captured_profile.text(CAPTURED).replace(b'"config": ""', b'"config": 1'),
]


@pytest.mark.parametrize("data", DAMAGED)
def test_a_damaged_file_is_refused_by_its_name(data: bytes) -> None:
    with pytest.raises(ProfileError, match=r"containerd\.json|containerd@captured"):
        captured_profile.parse(data, "containerd.json")


X86 = ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]
SAME = [
    (_block(_rule("read write")), _block(_rule("write"), _rule("read"))),
    (_block(_rule("read", DENY)), _block(_rule("read", DENY, errnoRet=1))),
    (_block(), _block(defaultErrnoRet=1)),
    (_block(), {"defaultAction": DENY}),
    (_block(_rule("read", "SCMP_ACT_KILL")), _block(_rule("read", "SCMP_ACT_KILL_THREAD"))),
    (_block(architectures=X86), _block(architectures=X86[::-1])),
    (
        _block(_rule("socket", args=[_argument(0, 1), _argument(1, 2)])),
        _block(_rule("socket", args=[_argument(1, 2, valueTwo=0), _argument(0, 1)])),
    ),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_blocks_that_do_the_same_do_not_differ(one: Json, other: Json) -> None:
    assert differences(one, other) == []


DIFFERENT = [
    (_block(_rule("read write")), "write: SCMP_ACT_ALLOW"),
    (_block(_rule("read", DENY, errnoRet=38)), "read: SCMP_ACT_ERRNO(ENOSYS)"),
    (_block(_rule("read"), defaultErrnoRet=38), "every other call: SCMP_ACT_ERRNO(ENOSYS)"),
    (_block(_rule("read"), flags=[]), "flags: none"),
    (_block(_rule("read"), listenerPath="/run/a.sock"), "listenerPath: /run/a.sock"),
    (
        _block(_rule("read", args=[_argument(0, 255, "SCMP_CMP_MASKED_EQ", valueTwo=1)])),
        "read: SCMP_ACT_ALLOW if argument 0 SCMP_CMP_MASKED_EQ 0xff 0x1",
    ),
]


@pytest.mark.parametrize(("changed", "said"), DIFFERENT)
def test_each_difference_is_told_in_words(changed: Json, said: str) -> None:
    plain = _block(_rule("read"))
    assert BlockDifference(0, said) in differences(changed, plain)
    assert BlockDifference(1, said) in differences(plain, changed)


@settings(deadline=None)
@given(oci_blocks(), st.randoms(use_true_random=False))
def test_neither_order_nor_grouping_matters(block: Json, shuffled: random.Random) -> None:
    rules = [{**rule, "names": [name]} for rule in block["syscalls"] for name in rule["names"]]
    shuffled.shuffle(rules)
    assert differences(block, {**block, "syscalls": rules}) == []
