"""config.json's text: read as every runtime reads it, or refused, and only its block is new."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.hotpath import json_codec
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.hotpath.json_ambiguity import parsed
from runc_wrap.hotpath.splice import with_seccomp

Json = dict[str, Any]
RULE = {"names": ["read"], "action": "SCMP_ACT_ALLOW"}
BLOCK = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [RULE]}
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
    "no rules": (b'{"linux":{', b'"seccomp":{"architectures":["}"],"x":{"y":{}}}', b',"a":1}}'),
    "quotes and backslashes": (b'{"linux":{', b'"seccomp":{"x":"\\"}","y":"\\\\"}', b',"a":1}}'),
    "another null": (b'{"seccomp":null,"linux":{"a":{"seccomp":null},', b'"seccomp":null', b"}}"),
    "numbers and escapes stay": (b'{%s,"linux":{' % ODD, b"", b"}}"),
}


def test_the_text_around_the_block_stays() -> None:
    for case, (before, replaced, after) in EDITS.items():
        text = before + replaced + (after if replaced else after.removeprefix(b","))
        assert _edited(text) == before + INSERTED + after, case
    edited = _edited(b'{"linux":{"seccomp" : {} ,"a":1}}')
    assert edited == b'{"linux":{"seccomp" : %s ,"a":1}}' % json_codec.dumps(BLOCK)


@pytest.mark.parametrize("text", [b'{"\\u006cinux":{}}', b'{"linux":{"seccom\\u0070":null}}'])
def test_a_key_that_cannot_be_found_is_refused(text: bytes) -> None:
    with pytest.raises(Refusal, match="without escapes"):
        _edited(text)


def test_a_bounded_number_of_keys_with_the_same_name_is_tried() -> None:
    for others in (0, 1, 31):
        deeper = b",".join([b'{"linux":{"a":1}}'] * others)
        text = b'{"x":[%s],"linux":{%s}}'
        assert _edited(text % (deeper, b"")) == text % (deeper, INSERTED)
    for others in (32, 1000):
        with pytest.raises(Refusal, match="cannot be found"):
            _edited(b'{"x":[%s],"linux":{}}' % b",".join([b'{"linux":{"a":1}}'] * others))


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


_FLOATS = st.floats(allow_nan=False, allow_infinity=False)
_SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | _FLOATS | st.text()
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
def test_only_its_block_changes(config: Json, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(config, indent=indent, ensure_ascii=ascii_only).encode()
    parsed = json_codec.loads(text)
    edited = json.loads(with_seccomp(text, parsed, BLOCK))
    assert edited["linux"].pop("seccomp") == BLOCK
    original = json.loads(text)
    original["linux"].pop("seccomp", None)
    assert edited == original
    assert list(edited) == list(original)


def test_a_name_in_another_case_is_refused() -> None:
    for text in (
        '{"Linux":{}}',
        '{"linux":{},"LINUX":{}}',
        '{"linux":{"Seccomp":{}}}',
        '{"linux":{"\\u017feccomp":{}}}',
        '{"linux":{"MaskedPaths":[]}}',
        '{"linux":{"seccomp":{"defaultaction":"SCMP_ACT_ALLOW"}}}',
        '{"proce\\u017fs":{}}',
        '{"process":{"Capabilities":{}}}',
        '{"process":{"capabilities":{"BOUNDING":[]}}}',
        '{"Annotations":{}}',
        '{"Mounts":[]}',
        '{"linux":{"ReadonlyPaths":[]}}',
        '{"linux":{"Resources":{}}}',
        '{"linux":{"resources":{"Devices":[]}}}',
        '{"linux":{"seccomp":{"Syscalls":[]}}}',
    ):
        with pytest.raises(Refusal, match="instead of"):
            parsed(text.encode())


def test_a_decisive_name_given_twice_is_refused() -> None:
    for text in (
        '{"linux":{},"linux":{"a":1}}',
        '{"linux":{},"\\u006cinux":{}}',
        '{"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW"},"seccomp":null}}',
        '{"process":{"capabilities":{"bounding":[],"bounding":["x"]}}}',
        '{"annotations":{"a":"1","a":"2"}}',
        '{"linux":{},"x":"\\u0022\\u0022\\u0022\\u0022","linux":1}',
        '{"linux":{},"x":"\\u0022\\u0022","linux":1}',
    ):
        with pytest.raises(Refusal, match="twice"):
            parsed(text.encode())


def test_names_that_decide_nothing_may_be_ambiguous() -> None:
    for text in (
        '{"linux":{"a":1,"a":2}}',
        '{"x":{"linux":1,"linux":2}}',
        '{"annotations":{"Linux":"a","linux":"b","SECCOMP":"\\u0022"}}',
        '{"LINUXES":1,"linux":{"seccomps":1}}',
    ):
        assert parsed(text.encode()) == json.loads(text)


_PAIRS = st.lists(
    st.tuples(st.sampled_from(["linux", "annotations", "a", '"', "\\"]), st.text(max_size=4)),
    max_size=5,
)


@given(_PAIRS, st.booleans(), st.booleans())
def test_a_repeated_name_is_noticed(
    pairs: list[tuple[str, str]], ascii_only: bool, escaped: bool
) -> None:
    members = ",".join(
        f"{json.dumps(key, ensure_ascii=ascii_only)}:{json.dumps(value, ensure_ascii=ascii_only)}"
        for key, value in pairs
    )
    text = "{" + members + "}"
    if escaped and "\\\\" not in text:
        text = text.replace('\\"', "\\u0022")
    names = [key for key, _ in pairs]
    decisive = any(names.count(name) > 1 for name in ("linux", "annotations"))
    if decisive:
        with pytest.raises(Refusal, match="twice"):
            parsed(text.encode())
    else:
        assert parsed(text.encode()) == dict(pairs)


BAD = [b"", b'{"a":', b'{"a":"\xff"}', b'"\\ud800"', b"NaN", b"[Infinity]", b"{} {}", b"{'a':1}"]


@pytest.fixture(params=["orjson", "json"])
def loads(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Callable[[bytes], Any]:
    if request.param == "json":
        decode, encode = json_codec._standard_library()  # noqa: SLF001 - the other half of the choice
        monkeypatch.setattr(json_codec, "_decode", decode)
        monkeypatch.setattr(json_codec, "_encode", encode)
    return json_codec.loads


def test_invalid_json_is_unreadable(loads: Callable[[bytes], Any]) -> None:
    for text in (*BAD, b"[" * 100_000 + b"]" * 100_000):
        with pytest.raises(json_codec.Unreadable) as error:
            loads(text)
        assert len(str(error.value)) < 200


def test_a_document_comes_back(loads: Callable[[bytes], Any]) -> None:
    text = '{"b":[1,-1,18446744073709551615,0.5,null,true],"a":"é\\n\\""}'.encode()
    assert json_codec.dumps(loads(text)) == text


def test_without_orjson_the_standard_library_serves() -> None:
    program = "import sys; sys.modules['orjson'] = None; from runc_wrap.hotpath import json_codec"
    program += "; print(json_codec.NAME, json_codec.loads(b'[1]'))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"json [1]\n"


def test_the_stand_ins_are_gone_afterwards() -> None:
    program = f"import sys; sys.path[:0] = {sys.path!r}; from runc_wrap.hotpath import json_codec"
    program += "; import uuid, enum, dataclasses, json; print(json_codec.NAME)"
    program += "; print(uuid.uuid4, json.dumps, dataclasses.dataclass)"
    done = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, check=True)
    assert done.stdout.startswith(b"orjson\n")


def test_invalid_json_is_unreadable_after_orjson_was_loaded_by_path(tmp_path: Path) -> None:
    """Its error class was once in freed memory, and a later class replaced it."""
    shutil.copytree(Path(json_codec.__file__).parents[1], tmp_path / "runc_wrap")
    shutil.copytree(Path(orjson.__file__).parent, tmp_path / "orjson")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from runc_wrap.hotpath import json_codec\n"
        "assert json_codec.NAME == 'orjson' and 'orjson' not in sys.modules\n"
        "made = [type(f'Made{n}', (), {}) for n in range(5000)]\n"
        "for _ in range(100):\n"
        "    try: json_codec.loads(b'{')\n"
        "    except json_codec.Unreadable: continue\n"
        "    raise SystemExit('it was read')\n"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], check=False, timeout=60)
    assert done.returncode == 0
