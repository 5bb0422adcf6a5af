"""Reading profile files: what is accepted, and what is refused with which message."""

import errno
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.profiles.json_profiles.profile_parser import parse
from runc_wrap.profiles.json_profiles.strict_json import MAX_BYTES
from runc_wrap.profiles.source_profile import Argument, Condition, Profile, ProfileError, Rule
from tests.unit.profiles.strategies import texts

RULE = {"names": ["read"], "action": "SCMP_ACT_ALLOW"}
DENY_RULE = {"names": ["read"], "action": "SCMP_ACT_ERRNO"}
TOP = {"defaultAction": "SCMP_ACT_ERRNO"}
ARGUMENT = {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}


def _read(document: object) -> Profile:
    return parse(json.dumps(document).encode(), "p.json")


def _with_rule(**members: Any) -> dict[str, Any]:
    return {**TOP, "syscalls": [RULE, {**RULE, **members}]}


def _refusal(data: bytes) -> str:
    with pytest.raises(ProfileError) as refusal:
        parse(data, "p.json")
    return str(refusal.value)


def test_a_long_text_in_a_wrong_place_is_not_printed_whole() -> None:
    assert len(_refusal(json.dumps({**TOP, "syscalls": "x" * 100_000}).encode())) < 200


def test_mobys_format_is_understood() -> None:
    written = {
        "name": "clone",
        "action": "SCMP_ACT_ALLOW",
        "comment": "what it is for",
        "args": [{**ARGUMENT, "valueTwo": 2, "op": "SCMP_CMP_MASKED_EQ"}],
        "includes": {"arches": ["s390"], "minKernel": "4.8"},
        "excludes": {"caps": ["CAP_SYS_ADMIN"]},
    }
    more = {"comment": ["of its author", 1], "syscalls": [written]}
    profile = _read({**TOP, "defaultErrnoRet": 1, **more})
    [rule] = profile.rules
    assert (profile.name, profile.version, profile.default_errno_ret) == ("p.json", None, 1)
    assert rule.names == ("clone",)
    assert rule.args == (Argument(0, 1, "SCMP_CMP_MASKED_EQ", 2),)
    assert rule.includes == Condition(arches=("s390",), min_kernel=(4, 8))
    assert rule.excludes == Condition(caps=("CAP_SYS_ADMIN",))


ERRORS = [
    ({"errno": "ENOSYS", "errnoRet": 1}, errno.ENOSYS),
    ({"errno": "13", "errnoRet": 1}, 13),
    ({"errno": "", "errnoRet": 1}, 1),
    ({"errno": "EPERM"}, 1),
    ({"errnoRet": 0}, 0),
    ({"errnoRet": 4094}, 4094),
    ({"action": "SCMP_ACT_TRACE", "errnoRet": 65535}, 65535),
    ({}, None),
]


@pytest.mark.parametrize(("members", "number"), ERRORS)
def test_the_error_as_text_wins_over_the_number(members: Any, number: int | None) -> None:
    profile = _read({**TOP, "syscalls": [{**DENY_RULE, **members}]})
    assert profile.rules[0].errno_ret == number


def test_a_member_may_be_text_null_or_empty() -> None:
    rule = {**RULE, "args": None, "includes": None}
    found = _read({**TOP, "defaultErrno": "ENOSYS", "defaultErrnoRet": 1, "syscalls": [rule]})
    assert (found.default_errno_ret, found.rules[0].args) == (errno.ENOSYS, ())
    assert _read({**TOP, "flags": None}).flags is None
    assert _read({**TOP, "flags": []}).flags == ()


REFUSED = [
    ({}, "p.json: defaultAction: found nothing, wanted SCMP_ACT_ALLOW or SCMP_ACT_ERRNO"),
    ([], "p.json: found a list of 0, wanted an object"),
    ({"ociVersion": "1.0.2"}, "a container's config.json, wanted its linux.seccomp"),
    ({"defaultAction": 1}, "p.json: defaultAction: found 1, wanted a text"),
    ({"defaultAction": "SCMP_ACT_ERNO"}, '"SCMP_ACT_ERNO", wanted SCMP_ACT_ALLOW or'),
    ({"defaultAction": "SCMP_ACT_ERNO"}, "(did you mean SCMP_ACT_ERRNO?)"),
    ({"defaultAction": "SCMP_ACT_NOTIFY"}, "runc refuses SCMP_ACT_NOTIFY as defaultAction"),
    ({"defaultaction": "SCMP_ACT_ERRNO"}, "is not known (did you mean defaultAction?)"),
    ({**TOP, "syscalls": {}}, "p.json: syscalls: found an object, wanted a list"),
    ({**TOP, "flags": ["TSYNC"]}, 'flags[0]: found "TSYNC", wanted SECCOMP_FILT'),
    ({**TOP, "architectures": ["amd64"]}, 'architectures[0]: found "amd64", wanted SCMP'),
    ({**TOP, "architectures": ["SCMP_ARCH_X86"], "archMap": []}, "archMap is given together"),
    ({**TOP, "archMap": [{}]}, "p.json: archMap[0].architecture: found nothing, wanted SCMP"),
    ({"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}, "no meaning with SCMP_ACT_ALL"),
    ({**TOP, "listenerPath": "\ud800"}, "listenerPath: found "),
    (_with_rule(action="SCMP_ACT_DENY"), 'syscalls[1].action: found "SCMP_ACT_DENY", wanted'),
    (_with_rule(action=None), "p.json: syscalls[1].action: found nothing, wanted SCMP"),
    (_with_rule(arg=[]), "p.json: syscalls[1].arg: the key is not known (did you mean args?)"),
    (_with_rule(names=[]), "syscalls[1]: names no system call"),
    (_with_rule(names="read"), 'syscalls[1].names: found "read", wanted a list'),
    (_with_rule(names=[3]), "syscalls[1].names[0]: found 3, wanted a text"),
    (_with_rule(names=["re ad"]), 'names[0]: found "re ad", wanted a system call like openat'),
    (_with_rule(name="read"), "syscalls[1]: name is given together with names; keep names"),
    (_with_rule(errnoRet=1), "syscalls[1]: an errno has no meaning with SCMP_ACT_ALLOW"),
    (_with_rule(action="SCMP_ACT_NOTIFY", names=["write"]), "refuses SCMP_ACT_NOTIFY on write"),
    (_with_rule(args=[{}]), "p.json: syscalls[1].args[0].index: found nothing, wanted"),
    (_with_rule(args=[{**ARGUMENT, "index": 6}]), "found 6, wanted a whole number from 0 to 5"),
    (_with_rule(args=[{**ARGUMENT, "value": -1}]), "args[0].value: found -1, wanted a whole"),
    (_with_rule(args=[{**ARGUMENT, "value": 2**64}]), "args[0].value: found 18446744073709551"),
    (_with_rule(args=[{**ARGUMENT, "value": True}]), "args[0].value: found true, wanted"),
    (_with_rule(args=[{**ARGUMENT, "op": "EQ"}]), 'syscalls[1].args[0].op: found "EQ", wanted'),
    (_with_rule(action="SCMP_ACT_KILL", args=[ARGUMENT] * 7), "p.json: crun reads six args, runc"),
    (_with_rule(includes={"caps": ["SYS_ADMIN"]}), '"SYS_ADMIN", wanted a capability like'),
    (_with_rule(includes={"arches": ["x86_64"]}), 'includes.arches[0]: found "x86_64", want'),
    (_with_rule(excludes={"minKernel": "4"}), 'found "4", wanted a kernel version like 4.8'),
    (_with_rule(action="SCMP_ACT_ERRNO", errno="EFOO"), "'EFOO', wanted an error of errno(3)"),
    (_with_rule(action="SCMP_ACT_ERRNO", errnoRet=4095), "found 4095, wanted an error of"),
]


@pytest.mark.parametrize(("document", "sentence"), REFUSED)
def test_an_error_is_reported_with_its_place(document: object, sentence: str) -> None:
    refusal = _refusal(json.dumps(document).encode())
    assert sentence in refusal
    assert refusal.startswith("p.json: ")
    refusal.encode()


NO_JSON = [
    (b"", "p.json: not JSON: "),
    (b'{"defaultAction": "SCMP_ACT_ERRNO",}', "line 1 column 35"),
    (b"\xff{}", "p.json: not JSON: 'utf-8' codec can't decode byte 0xff in position 0"),
    (b"\xef\xbb\xbf{}", "p.json: not JSON: "),
    (b'{"flags": [], "flags": []}', "not JSON: the key 'flags' occurs twice in one object"),
    (b'{"syscalls": [{"names": [], "names": []}]}', "the key 'names' occurs twice"),
    (b'{"defaultErrnoRet": NaN}', "NaN is not JSON"),
    (b"[" * 100_000, "maximum recursion depth exceeded"),
    (b'{"defaultErrnoRet": ' + b"9" * 5000 + b"}", "value has 5000 digits"),
    (b" " * MAX_BYTES + b"{}", "p.json: larger than 4194304 bytes"),
]


@pytest.mark.parametrize(("data", "sentence"), NO_JSON)
def test_what_is_no_json_is_refused(data: bytes, sentence: str) -> None:
    assert sentence in _refusal(data)


PLACES = [
    lambda key: {**TOP, key: 1},
    lambda key: _with_rule(**{key: 1}),
    lambda key: _with_rule(args=[{**ARGUMENT, key: 1}]),
    lambda key: _with_rule(includes={key: 1}),
    lambda key: _with_rule(excludes={key: 1}),
    lambda key: {**TOP, "archMap": [{"architecture": "SCMP_ARCH_X86_64", key: 1}]},
]
KEYS = """
    defaultAction defaultErrnoRet defaultErrno architectures archMap flags listenerPath
    listenerMetadata syscalls name names action errnoRet errno args comment includes excludes
    index value valueTwo op caps arches minKernel architecture subArchitectures
"""
KNOWN = frozenset(KEYS.split())
UNKNOWN_KEYS = texts | st.sampled_from(sorted(KNOWN)).map(str.swapcase)


@given(st.sampled_from(PLACES), UNKNOWN_KEYS)
def test_an_unknown_key_is_refused_anywhere(place: Any, key: str) -> None:
    refusal = _refusal(json.dumps(place(key)).encode())
    assert "the key is not known" in refusal


@given(st.binary())
def test_no_bytes_raise_anything_but_a_profile_error(data: bytes) -> None:
    _refusal(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(sorted(KNOWN)), inner),
)


@given(st.dictionaries(st.sampled_from(sorted(KNOWN)), JSON))
def test_no_json_raises_anything_but_a_profile_error(document: dict[str, Any]) -> None:
    try:
        _read({**TOP, **document})
    except ProfileError as error:
        assert str(error).startswith("p.json: ")  # noqa: PT017 (either outcome is right)


KIND = {"apiVersion": "security-profiles-operator.x-k8s.io/v1", "kind": "SeccompProfile"}
ALLOWED = {"names": ["read"], "action": "SCMP_ACT_ALLOW", "errnoRet": 0}
AT_ZERO = {**ALLOWED, "args": [{"index": 0, "op": "SCMP_CMP_EQ"}]}
SPEC: dict[str, Any] = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "architectures": ["SCMP_ARCH_X86_64"],
    "syscalls": [AT_ZERO, {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}],
}
META = {"metadata": {"name": "x", "uid": "1"}, "status": {"status": "Installed"}}


def _of_the_operator(**changes: Any) -> Profile:
    return _read({**KIND, **META, "spec": SPEC, **changes})


@pytest.mark.parametrize("more", [{"targetWorkload": "w", "disabled": False}, {"state": "Enabled"}])
def test_the_spec_is_the_profile_with_its_zeros(more: dict[str, Any]) -> None:
    found = _of_the_operator(spec={**SPEC, **more})
    assert found.architectures == ("SCMP_ARCH_X86_64",)
    denied = Rule(("clone3",), "SCMP_ACT_ERRNO", 38)
    allowed = Rule(("read",), "SCMP_ACT_ALLOW", args=(Argument(0, 0, "SCMP_CMP_EQ"),))
    assert found.rules == (allowed, denied)


def test_remarks_of_files_in_the_field_are_passed_over() -> None:
    rule = SPEC["syscalls"][1]
    found = _read({**SPEC, "_comment": "why", "syscalls": [{**rule, "_comment": ["x"]}]})
    assert found.rules == (Rule(("clone3",), "SCMP_ACT_ERRNO", 38),)


INCOMPLETE = [
    ({"kind": "List"}, "kind: found 'List'.*wanted one SeccompProfile.*kubectl get"),
    ({"apiVersion": "example.com/v1"}, "of 'example.com/v1', wanted one"),
    ({"spec": None}, "spec: missing"),
    ({"spec": {**SPEC, "baseProfileName": "runc-v1"}}, "the operator adds 'runc-v1', which"),
    ({"spec": {**SPEC, "disabled": True}}, "it is disabled: the operator installs no such"),
    ({"spec": {**SPEC, "state": "Disabled"}}, "it is disabled: the operator installs no such"),
    ({"spec": {**SPEC, "more": 1}}, "more: the key is not known"),
]


@pytest.mark.parametrize(("changes", "why"), INCOMPLETE)
def test_what_is_no_whole_profile_is_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ProfileError, match=why):
        _of_the_operator(**changes)
