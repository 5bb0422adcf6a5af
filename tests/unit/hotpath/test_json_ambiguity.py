"""Names that runtimes read differently are refused, and no others."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.hotpath.errors import Refusal
from runc_wrap.hotpath.json_ambiguity import parsed


@pytest.mark.parametrize(
    "text",
    [
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
    ],
)
def test_a_name_in_another_case_is_refused(text: str) -> None:
    with pytest.raises(Refusal, match="instead of"):
        parsed(text.encode())


@pytest.mark.parametrize(
    "text",
    [
        '{"linux":{},"linux":{"a":1}}',
        '{"linux":{},"\\u006cinux":{}}',
        '{"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW"},"seccomp":null}}',
        '{"process":{"capabilities":{"bounding":[],"bounding":["x"]}}}',
        '{"annotations":{"a":"1","a":"2"}}',
        '{"linux":{},"x":"\\u0022\\u0022\\u0022\\u0022","linux":1}',
        '{"linux":{},"x":"\\u0022\\u0022","linux":1}',
    ],
)
def test_a_decisive_name_given_twice_is_refused(text: str) -> None:
    with pytest.raises(Refusal, match="twice"):
        parsed(text.encode())


@pytest.mark.parametrize(
    "text",
    [
        '{"linux":{"a":1,"a":2}}',
        '{"x":{"linux":1,"linux":2}}',
        '{"annotations":{"Linux":"a","linux":"b","SECCOMP":"\\u0022"}}',
        '{"LINUXES":1,"linux":{"seccomps":1}}',
    ],
)
def test_names_that_decide_nothing_may_be_ambiguous(text: str) -> None:
    assert parsed(text.encode()) == json.loads(text)


_PAIRS = st.lists(
    st.tuples(st.sampled_from(["linux", "annotations", "a", '"', "\\"]), st.text(max_size=4)),
    max_size=5,
)


@given(_PAIRS, st.booleans(), st.booleans())
def test_whatever_is_repeated_is_noticed(
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
