"""A profile is put together from an engine's blocks for sets of capabilities."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from runc_wrap.profiles import builtin, captured_profile
from runc_wrap.profiles.captured_profile import CapturedProfile
from runc_wrap.profiles.json_profiles import profile_parser
from runc_wrap.profiles.runtime_spec_names import CAPABILITIES
from runc_wrap.profiles.source_profile import Profile, ProfileError
from tests.unit.profiles.strategies import bounding

Json = dict[str, Any]
Caps = frozenset[str]
KERNEL = (6, 12)
ALLOW = "SCMP_ACT_ALLOW"
ENGINES = ["containerd@1.7.24", "moby@26.1.5", "containers-common@0.62.3", "crio@1.36"]
ENGINES += ["containerd", "moby", "containers-common"]
PROFILE = b'{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[]}'
CAPTURED = CapturedProfile(
    "containerd", "1.7.24", "2026-11-26T12:00:00Z", "amd64", "6.12", "ab", PROFILE
)


def _sets() -> list[Caps]:
    return [Caps(), *(Caps([name]) for name in sorted(CAPABILITIES)), CAPABILITIES]


def _resolved(profile: Profile, caps: Caps) -> Json:
    return captured_profile.resolved(profile, caps, "amd64", KERNEL)


def _derived(blocks: dict[Caps, Json]) -> Profile:
    return profile_parser.parse(captured_profile.derived(blocks, "engine"), "engine")


DERIVED = {
    name: _derived({caps: _resolved(builtin.load(name), caps) for caps in _sets()})
    for name in ENGINES
}


@pytest.mark.parametrize("name", ENGINES)
@settings(deadline=None, max_examples=60)
@given(caps=bounding)
def test_the_profile_of_every_engine_is_found_again_for_any_capabilities(
    name: str, caps: Caps
) -> None:
    def ordered(block: Json) -> Json:
        rules = [{**rule, "names": sorted(rule["names"])} for rule in block["syscalls"]]
        return {**block, "syscalls": rules}

    whole = builtin.load(name)
    assert ordered(_resolved(DERIVED[name], caps)) == ordered(_resolved(whole, caps))


def _block(*calls: str) -> Json:
    rules = [{"names": [call], "action": ALLOW} for call in calls]
    return {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}


A, B = Caps(["CAP_BPF"]), Caps(["CAP_PERFMON"])


@pytest.mark.parametrize(
    "blocks",
    [
        {Caps(): _block(), A: _block(), B: _block(), A | B: _block("bpf")},
        {Caps(): _block("bpf"), A: _block("bpf"), B: _block("bpf"), A | B: _block()},
        {Caps(): _block(), A: {**_block(), "flags": ["SECCOMP_FILTER_FLAG_LOG"]}},
    ],
    ids=["both are needed", "both together take away", "the flags depend on it"],
)
def test_what_no_single_capability_decides_is_refused(blocks: dict[Caps, Json]) -> None:
    with pytest.raises(ProfileError, match="no profile in moby's format gives what it applies"):
        captured_profile.derived(blocks, "containerd")


def test_a_rule_that_either_of_two_capabilities_brings_is_found() -> None:
    blocks = {Caps(): _block(), A: _block("bpf"), B: _block("bpf"), A | B: _block("bpf")}
    found = _derived(blocks)
    assert [rule.includes.caps for rule in found.rules] == [("CAP_BPF",), ("CAP_PERFMON",)]


def test_a_capture_reads_back_as_it_was_written() -> None:
    chosen = replace(CAPTURED, config="/srv/k3s/config.toml")
    for each in (CAPTURED, chosen):
        assert captured_profile.parse(captured_profile.text(each), "file") == each


def test_equal_profiles_have_equal_names_and_others_do_not() -> None:
    other = CapturedProfile("containerd", "2", "", "", "", "", PROFILE.replace(b"ERRNO", b"KILL"))
    again = CapturedProfile("containerd", "2", "later", "arm64", "7.0", "", PROFILE)
    assert CAPTURED.name == again.name != other.name
    assert CAPTURED.name.startswith("containerd@captured-")


def _without(name: str) -> bytes:
    document = json.loads(captured_profile.text(CAPTURED))
    del document[name]
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", *map(_without, ("format", "engine", "program", "profile")),
     captured_profile.text(CAPTURED).replace(b"SCMP_ACT_ERRNO", b"SCMP_ACT_SING"),
     captured_profile.text(CAPTURED).replace(b'"format": 1', b'"format": 2'),
     captured_profile.text(CAPTURED).replace(b'"config": ""', b'"config": 1')],
)  # fmt: skip
def test_a_damaged_file_is_refused_by_its_name(data: bytes) -> None:
    with pytest.raises(ProfileError, match=r"containerd\.json|containerd@captured"):
        captured_profile.parse(data, "containerd.json")
