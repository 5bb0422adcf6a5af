"""Two blocks are compared by what they do to each call, not by how they are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runc_wrap.profiles import block_diff
from runc_wrap.profiles.block_diff import BlockDifference
from tests.unit.profiles.strategies import oci_blocks

if TYPE_CHECKING:
    import random

Json = dict[str, Any]
ALLOW = "SCMP_ACT_ALLOW"
DENY = "SCMP_ACT_ERRNO"


def _block(*rules: Json, **fields: Any) -> Json:
    return {"defaultAction": DENY, **fields, "syscalls": list(rules)}


def _rule(names: str, action: str = ALLOW, **fields: Any) -> Json:
    return {"names": names.split(), "action": action, **fields}


def _argument(index: int, value: int, op: str = "SCMP_CMP_EQ", **more: int) -> Json:
    return {"index": index, "value": value, "op": op, **more}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (_block(_rule("read write")), _block(_rule("write"), _rule("read"))),
        (_block(_rule("read", DENY)), _block(_rule("read", DENY, errnoRet=1))),
        (_block(), _block(defaultErrnoRet=1)),
        (_block(), {"defaultAction": DENY}),
        (_block(_rule("read", "SCMP_ACT_KILL")), _block(_rule("read", "SCMP_ACT_KILL_THREAD"))),
        (
            _block(architectures=["SCMP_ARCH_X86", "SCMP_ARCH_X32"]),
            _block(architectures=["SCMP_ARCH_X32", "SCMP_ARCH_X86"]),
        ),
        (
            _block(_rule("socket", args=[_argument(0, 1), _argument(1, 2)])),
            _block(_rule("socket", args=[_argument(1, 2, valueTwo=0), _argument(0, 1)])),
        ),
    ],
)
def test_blocks_that_do_the_same_do_not_differ(one: Json, other: Json) -> None:
    assert block_diff.differences(one, other) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (_block(_rule("read write")), "write: SCMP_ACT_ALLOW"),
        (_block(_rule("read", DENY, errnoRet=38)), "read: SCMP_ACT_ERRNO(ENOSYS)"),
        (_block(_rule("read"), defaultErrnoRet=38), "every other call: SCMP_ACT_ERRNO(ENOSYS)"),
        (_block(_rule("read"), flags=[]), "flags: none"),
        (_block(_rule("read"), listenerPath="/run/a.sock"), "listenerPath: /run/a.sock"),
        (
            _block(_rule("read", args=[_argument(0, 255, "SCMP_CMP_MASKED_EQ", valueTwo=1)])),
            "read: SCMP_ACT_ALLOW if argument 0 SCMP_CMP_MASKED_EQ 0xff 0x1",
        ),
    ],
)
def test_each_difference_is_told_in_words(changed: Json, said: str) -> None:
    plain = _block(_rule("read"))
    assert BlockDifference(0, said) in block_diff.differences(changed, plain)
    assert BlockDifference(1, said) in block_diff.differences(plain, changed)


@settings(deadline=None)
@given(oci_blocks(), st.randoms(use_true_random=False))
def test_neither_order_nor_grouping_matters(block: Json, shuffled: random.Random) -> None:
    rules = [{**rule, "names": [name]} for rule in block["syscalls"] for name in rule["names"]]
    shuffled.shuffle(rules)
    assert block_diff.differences(block, {**block, "syscalls": rules}) == []
