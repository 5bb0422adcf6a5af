"""Recognizing an engine's default profile: equal by call, whatever the order; otherwise not."""

import copy
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from runc_wrap.hotpath.block_equivalence import is_same
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.profiles import builtin
from runc_wrap.profiles.profile_compiler import compile_profile

Json = dict[str, Any]
CAPABILITIES = frozenset({"CAP_SYS_CHROOT", "CAP_AUDIT_WRITE"})
NAMES = ("containerd@1.7.24", "containerd@2.3.4", "moby@26.1.5", "containers-common@0.67.0", "crio")


def block(name: str, held: frozenset[str] = CAPABILITIES) -> Json:
    compiled = compile_profile(builtin.load(name), arch="amd64", kernel=(6, 12))
    return copy.deepcopy(resolve(compiled, held))


BLOCKS = {name: block(name) for name in NAMES}


def _alone(rules: list[Json]) -> list[Json]:
    """Write each call of each rule as a rule of its own."""
    return [{**rule, "names": [name]} for rule in rules for name in rule["names"]]


@given(name=st.sampled_from(NAMES), data=st.data())
def test_order_grouping_and_empty_fields_change_nothing(name: str, data: st.DataObject) -> None:
    ours = BLOCKS[name]
    rules = _alone(copy.deepcopy(ours["syscalls"]))
    # between rules of one call with different actions, the order counts: it is left as it is
    several = {one for rule in rules if _is_disputed(rules, rule) for one in rule["names"]}
    free = [rule for rule in rules if rule["names"][0] not in several]
    fixed = [rule for rule in rules if rule["names"][0] in several]
    shuffled = data.draw(st.permutations(free)) + fixed
    theirs = {**ours, "syscalls": shuffled}
    if data.draw(st.booleans()):
        for rule in shuffled:
            for one in rule.setdefault("args", None) or ():
                one.setdefault("valueTwo", 0)
        theirs.setdefault("defaultErrnoRet", 1)
    theirs["architectures"] = data.draw(st.permutations(ours["architectures"]))
    assert is_same(theirs, ours)


def _is_disputed(rules: list[Json], rule: Json) -> bool:
    same = [one for one in rules if one["names"] == rule["names"]]
    return len({(one["action"], one.get("errnoRet")) for one in same}) > 1


OTHER_ACTIONS = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRACE")
OTHER_ERRNOS = (1, 2, 38)


def _changed(block: Json, data: st.DataObject) -> Json:
    """Return the block with one rule changed: a call less or more, another result, argument."""
    rules = block["syscalls"]
    rule = data.draw(st.sampled_from(rules))
    kinds = ["name less", "name more", "action", "errno", "arg more", "rule more"]
    kind = data.draw(st.sampled_from([*kinds, *(["arg less", "arg"] if rule.get("args") else [])]))
    used = {name for each in rules for name in each["names"]}
    if kind == "name less":
        name = data.draw(st.sampled_from(rule["names"]))
        assume(not _is_repeated(name, rule, rules))
        rule["names"].remove(name)
    elif kind == "name more":
        more = data.draw(st.sampled_from(["swapon", "kexec_load", "not_a_call", "x" * 200]))
        rule["names"].append(more if more not in used else "another")
    elif kind == "action":
        rule["action"] = next(one for one in OTHER_ACTIONS if one != rule["action"])
        rule.pop("errnoRet", None)
    elif kind == "errno":
        before = rule.get("errnoRet", 1 if rule["action"] == "SCMP_ACT_ERRNO" else None)
        rule["errnoRet"] = data.draw(st.sampled_from([n for n in OTHER_ERRNOS if n != before]))
    elif kind == "arg more":
        compared = {"index": 5, "value": 77, "op": "SCMP_CMP_EQ"}
        rule["args"] = [*(rule.get("args") or []), compared]
    elif kind == "rule more":
        rules.append({"names": ["swapon", "another"], "action": "SCMP_ACT_ALLOW"})
    elif kind == "arg less":
        rule["args"].pop()
    else:
        argument = data.draw(st.sampled_from(rule["args"]))
        field = data.draw(st.sampled_from(["index", "value", "valueTwo"]))
        argument[field] = argument.get(field, 0) + 1
    return block


def _is_repeated(name: str, rule: Json, rules: list[Json]) -> bool:
    """Return whether another rule says the same of a call: perf_event_open, in Podman's file."""
    same = [one for one in rules if {**one, "names": 0} == {**rule, "names": 0}]
    return sum(name in one["names"] for one in same) > 1


@given(name=st.sampled_from(NAMES), data=st.data())
def test_any_change_of_one_rule_makes_it_the_containers_own(name: str, data: st.DataObject) -> None:
    theirs = _changed(copy.deepcopy(BLOCKS[name]), data)
    assert not is_same(theirs, BLOCKS[name])


def _first(block: Json, **changes: Any) -> Json:
    first, *rest = block["syscalls"]
    return {**block, "syscalls": [{**first, **changes}, *rest]}


def _compared(block: Json, **changes: Any) -> Json:
    rules = [
        {**rule, "args": [{**one, **changes} for one in rule["args"]]} if rule.get("args") else rule
        for rule in block["syscalls"]
    ]
    return {**block, "syscalls": rules}


CONTAINERD = BLOCKS["containerd@1.7.24"]


def _deep() -> list[Any]:
    found: list[Any] = []
    for _ in range(200_000):
        found = [found]
    return found


def test_what_no_engine_writes_is_the_containers_own() -> None:
    for theirs in (
        {},
        {**CONTAINERD, "defaultAction": "SCMP_ACT_LOG"},
        {**CONTAINERD, "defaultErrnoRet": 38},
        {**CONTAINERD, "defaultErrnoRet": True},
        {**CONTAINERD, "architectures": CONTAINERD["architectures"][:1]},
        {**CONTAINERD, "architectures": [*CONTAINERD["architectures"], "SCMP_ARCH_ARM"]},
        {**CONTAINERD, "architectures": [[]]},
        {**CONTAINERD, "flags": []},
        {**CONTAINERD, "flags": ["SECCOMP_FILTER_FLAG_LOG"]},
        {**CONTAINERD, "listenerPath": "/x"},
        {**CONTAINERD, "Syscalls": []},
        {**CONTAINERD, "syscalls": None},
        {**CONTAINERD, "syscalls": {"names": []}},
        {**CONTAINERD, "syscalls": ["names"]},
        {**CONTAINERD, "syscalls": 7},
        _first(CONTAINERD, Action="SCMP_ACT_ALLOW"),
        _first(CONTAINERD, comment="mine"),
        _first(CONTAINERD, names="read"),
        _first(CONTAINERD, names=[["read"]]),
        _first(CONTAINERD, names=None),
        _first(CONTAINERD, errnoRet=0),
        _first(CONTAINERD, errnoRet=1.0),
        _first(CONTAINERD, action={}),
        _first(CONTAINERD, args=[{}]),
        _first(CONTAINERD, args=[7]),
        _compared(CONTAINERD, value=1.0),
        _compared(CONTAINERD, index=False),
        _compared(CONTAINERD, op=None),
        _compared(CONTAINERD, datum=0),
        _first(CONTAINERD, args=[{"index": 0, "value": 0, "op": _deep()} for _ in range(2)]),
        # joining so many outcomes of one call would take hours
        _first(CONTAINERD, names=["read"] * 1_000_000),
    ):
        assert not is_same(theirs, CONTAINERD)


TWO_RESULTS = [[[], []], [[{"index": 0, "value": n, "op": "SCMP_CMP_GE"}] for n in (2, 1)]]


@pytest.mark.parametrize("args", TWO_RESULTS)
def test_the_order_of_two_results_of_one_call_counts(args: list[list[Json]]) -> None:
    """The first of two rules without arguments wins; libseccomp has its own order for others."""
    rules = [
        {"names": ["kill"], "action": f"SCMP_ACT_{name}", "args": compared}
        for name, compared in zip(("ALLOW", "LOG"), args, strict=True)
    ]
    one = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}
    assert is_same(one, copy.deepcopy(one))
    assert not is_same({**one, "syscalls": rules[::-1]}, one)
