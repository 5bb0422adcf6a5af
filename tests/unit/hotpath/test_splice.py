"""The edit: only the block is new."""

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.hotpath import json_codec
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.hotpath.splice import with_seccomp

Json = dict[str, Any]
BLOCK = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}],
}
INSERTED = b'"seccomp":' + json_codec.dumps(BLOCK)


def _edited(text: bytes) -> bytes:
    return with_seccomp(text, json_codec.loads(text), BLOCK)


ODD = b'"n":[18446744073709551616,1.00,1e2,-0.0,"\\u00e9\\/"]'
EDITS = {  # the text before the block, what it replaces, and what follows
    "an empty section": (b'{"linux":{', b"", b"}}"),
    "in front of what is there": (b'{"linux":{', b"", b',"a":1}}'),
    "white space": (b'{ "linux" :\n {', b"", b',\t"a":1}}'),
    "an empty section with space": (b'{"linux": {', b"", b" } }"),
    "the section at the top": (b'{"x":{"linux":{"a":1}},"linux":{', b"", b',"a":1}}'),
    "a value called linux": (b'{"os":"linux","linux":{', b"", b"}}"),
    "null is replaced": (b'{"linux":{', b'"seccomp":null', b"}}"),
    "no action, no rules": (
        b'{"linux":{',
        b'"seccomp":{"architectures":["}"],"x":{"y":{}}}',
        b',"a":1}}',
    ),
    "quotes and backslashes": (b'{"linux":{', b'"seccomp":{"x":"\\"}","y":"\\\\"}', b',"a":1}}'),
    "null at other places stays": (
        b'{"seccomp":null,"linux":{"a":{"seccomp":null},',
        b'"seccomp":null',
        b"}}",
    ),
    "numbers and escapes stay": (b'{%s,"linux":{' % ODD, b"", b"}}"),
}


@pytest.mark.parametrize("case", EDITS)
def test_the_text_around_the_block_stays(case: str) -> None:
    before, replaced, after = EDITS[case]
    text = before + replaced + (after if replaced else after.removeprefix(b","))
    assert _edited(text) == before + INSERTED + after


def test_white_space_around_an_empty_block_stays() -> None:
    edited = _edited(b'{"linux":{"seccomp" : {} ,"a":1}}')
    assert edited == b'{"linux":{"seccomp" : %s ,"a":1}}' % json_codec.dumps(BLOCK)


@pytest.mark.parametrize("text", [b'{"\\u006cinux":{}}', b'{"linux":{"seccom\\u0070":null}}'])
def test_a_key_that_cannot_be_found_is_refused(text: bytes) -> None:
    with pytest.raises(Refusal, match="without escapes"):
        _edited(text)


@pytest.mark.parametrize("others", [0, 1, 31, 32, 1000])
def test_a_bounded_number_of_keys_with_the_same_name_is_tried(others: int) -> None:
    deeper = b",".join([b'{"linux":{"a":1}}'] * others)
    text = b'{"x":[%s],"linux":{}}' % deeper
    if others < 32:
        assert _edited(text) == b'{"x":[%s],"linux":{%s}}' % (deeper, INSERTED)
    else:
        with pytest.raises(Refusal, match="cannot be found"):
            _edited(text)


def test_a_place_that_breaks_the_json_is_not_chosen() -> None:
    """A key of that name so deep that the block in it would be deeper than is parsed."""

    def nested(depth: int) -> bytes:
        return b'{"x":%s{"linux":{}}%s,"linux":{}}' % (b"[" * depth, b"]" * depth)

    deepest = next(depth for depth in range(2000, 0, -1) if _is_parsed(nested(depth)))
    text = nested(deepest)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10 * limit)  # two configs so deep are compared, from pytest's own depth
    try:
        assert _edited(text) == text[:-2] + INSERTED + text[-2:]
    finally:
        sys.setrecursionlimit(limit)


def _is_parsed(text: bytes) -> bool:
    try:
        json_codec.loads(text)
    except json_codec.Unreadable:
        return False
    return True


_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
_KEYS = st.sampled_from(["linux", "seccomp", "a", 'b"', "ä", "\\"]) | st.text(max_size=3)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=20,
)
_REPLACED: st.SearchStrategy[Json | None] = st.none() | st.dictionaries(_KEYS, _VALUES, max_size=3)
_SECTIONS = st.dictionaries(_KEYS.filter(lambda key: key != "seccomp"), _VALUES, max_size=4)
_CONFIGS = st.builds(
    lambda before, section, seccomp, after: {
        **before,
        "linux": {**section, **({"seccomp": seccomp[0]} if seccomp else {})},
        **{key: value for key, value in after.items() if key != "linux"},
    },
    st.dictionaries(_KEYS, _VALUES, max_size=3),
    _SECTIONS,
    st.lists(_REPLACED, max_size=1),
    st.dictionaries(_KEYS, _VALUES, max_size=3),
)


@given(_CONFIGS, st.sampled_from([None, 1, 4]), st.booleans())
def test_only_the_block_of_any_config_changes(
    config: Json, indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps(config, indent=indent, ensure_ascii=ascii_only).encode()
    parsed = json_codec.loads(text)
    edited = json.loads(with_seccomp(text, parsed, BLOCK))
    assert edited["linux"].pop("seccomp") == BLOCK
    original = json.loads(text)
    original["linux"].pop("seccomp", None)
    assert edited == original
    assert list(edited) == list(original)
