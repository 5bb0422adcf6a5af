"""Text in, text out: our edits of a file can be removed completely."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.engines import json_text, toml_text
from runc_wrap.engines.handler import EngineError, check_name
from runc_wrap.engines.marked_text import Draft, parts, undo

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
daemon_json = st.builds(
    lambda document, indent, ascii_only: json.dumps(
        document, indent=indent, ensure_ascii=ascii_only
    ),
    st.dictionaries(st.text(max_size=6), json_values)
    | st.fixed_dictionaries({"runtimes": st.dictionaries(st.text(max_size=6), json_values)}),
    st.sampled_from([None, 1, 2, 4, "\t"]),
    st.booleans(),
)
toml_lines = st.lists(
    st.sampled_from(
        [
            "# a comment",
            "",
            "oom_score = 1",
            'imports = ["/etc/other/*.toml"]',
            "imports = []  # none",
            "imports = [\n  'a.toml', # first\n]",
            "[grpc]\n  address = '''\nimports = [\n'''",
            '[plugins."io.containerd.grpc.v1.cri".containerd]',
            '  default_runtime_name = "runc" # as ever',
            "  [plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc.options]",
            "    SystemdCgroup = true",
            "[plugins.other]\r\nkey = 1\r",
        ]
    ),
    unique=True,
)


def _strip_json(draft: Draft, text: str) -> str:
    return json_text.strip(text, *parts(draft.record()), "daemon.json")


def _strip_toml(draft: Draft, text: str) -> str:
    for edit in reversed(parts(draft.record())[0]):
        text = undo(text, edit, "config.toml")
    return text


def _with_runtime(text: str) -> Draft:
    draft = Draft(text)
    if "runtimes" not in json.loads(text):
        json_text.set_member(draft, ["runtimes"], {})
    json_text.set_member(draft, ["runtimes", "runc-wrap"], {"path": "/x"})
    json_text.set_member(draft, ["default-runtime"], "runc-wrap")
    return draft


@given(daemon_json)
def test_setting_and_removing_a_member_preserves_every_byte(text: str) -> None:
    draft = _with_runtime(text)
    wanted = json.loads(text)
    wanted.setdefault("runtimes", {})["runc-wrap"] = {"path": "/x"}
    wanted["default-runtime"] = "runc-wrap"
    assert json.loads(draft.text) == wanted
    assert _strip_json(draft, draft.text) == text


@given(daemon_json, st.sampled_from([None, 3]))
def test_a_member_is_found_again_after_a_reformat(text: str, indent: int | None) -> None:
    draft = _with_runtime(text)
    reformatted = json.dumps(json.loads(draft.text), indent=indent)
    assert json.loads(_strip_json(draft, reformatted)) == json.loads(text)


@pytest.mark.parametrize(
    ("before", "theirs", "left"),
    [
        ("{}", '{"runtimes": {"runc-wrap": {"path": "/x"}, "k": {}}}', {"runtimes": {"k": {}}}),
        ("{}", '{"default-runtime": "runc-wrap", "a": 1}', {"a": 1}),
        ('{"a": 1}', "{}", {}),
        ('{"default-runtime": "k"}', '{"default-runtime":"runc-wrap"}', {"default-runtime": "k"}),
    ],
)
def test_the_owners_changes_elsewhere_stay(before: str, theirs: str, left: Any) -> None:
    assert json.loads(_strip_json(_with_runtime(before), theirs)) == left


def test_of_two_texts_like_ours_none_is_taken_out() -> None:
    draft = Draft("a\n")
    draft.replace(2, 2, "ours\n", "ours")
    (edit,) = draft.edits
    assert undo("b\nab\nours\n", edit, "file") == "b\nab\n"
    with pytest.raises(EngineError, match="file: the text that runc-wrapctl wrote was changed"):
        undo("b\nab\nours\nours\n", edit, "file")


def test_our_runtime_with_another_path_is_not_removed() -> None:
    with pytest.raises(EngineError, match="changed since") as refused:
        _strip_json(_with_runtime("{}"), '{"runtimes": {"runc-wrap": {"path": "/theirs"}}}')
    assert "/theirs" in str(refused.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "wanted valid JSON"),
        ("{", "wanted valid JSON"),
        ("[]", "not an object"),
        ('{"a": {"b": 1, "b": 2}}', "'b' occurs twice"),
        ('{"a": NaN}', "NaN is not JSON"),
        ("[" * 100_000, "wanted valid JSON"),
    ],
)
def test_a_daemon_json_that_dockerd_would_reject_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(EngineError, match=sentence):
        json_text.parse(text, "daemon.json")


def _valid(text: str) -> bool:
    try:
        return bool(tomllib.loads(text)) or not text
    except tomllib.TOMLDecodeError:
        return False


@given(toml_lines.map("\n".join).filter(_valid), st.booleans())
def test_toml_edits_give_the_wanted_document_and_can_be_removed(text: str, newline: bool) -> None:
    text += "\n" if newline else ""
    draft, cri = Draft(text), ["plugins", "io.containerd.grpc.v1.cri", "containerd"]
    toml_text.append(draft, "t", toml_text.table([*cri, "runtimes", "x"], {"a": 1}), "f")
    toml_text.add_import(draft, "/etc/containerd/conf.d/*.toml", "f")
    toml_text.set_value(draft, cri, "default_runtime_name", "x", "f")
    after, before = tomllib.loads(draft.text), tomllib.loads(text)
    section = toml_text.lookup(after, cri)
    assert section["default_runtime_name"] == "x"
    assert section["runtimes"]["x"] == {"a": 1}
    assert after["imports"] == ["/etc/containerd/conf.d/*.toml", *before.get("imports", [])]
    assert _strip_toml(draft, draft.text) == text


@given(st.text(st.characters(codec="utf-8")))
def test_any_string_survives_as_a_toml_value(text: str) -> None:
    assert tomllib.loads(f"a = {toml_text.value(text)}") == {"a": text}


def test_tables_are_not_added_to_a_file_written_inline() -> None:
    with pytest.raises(EngineError, match="by hand"):
        toml_text.append(Draft("plugins = {a = 1}\n"), "t", "[plugins.b]\nc = 1\n", "f")


def test_a_setting_that_the_owner_wrote_after_our_block_is_not_moved() -> None:
    draft = Draft("[theirs]\na = 1\n")
    toml_text.append(draft, "t", "[ours]\nb = 1\n", "f")
    before = draft.text + "c = 1\n"
    after = undo(before, draft.edits[0], "f")
    with pytest.raises(EngineError, match="changed since"):
        toml_text.check_undone(before, after, draft.edits[0], "f")


@pytest.mark.parametrize(
    "name", ["runc", "crun", "", "A", "a_b", "-a", "a-", "a.b", "a" * 64, "a\n"]
)
def test_a_handler_name_that_is_not_a_free_dns_label_is_refused(name: str) -> None:
    with pytest.raises(EngineError, match="try: --handler runc-wrap"):
        check_name(name)


@pytest.mark.parametrize("name", ["runc-wrap", "a", "0", "a" * 63])
def test_a_dns_label_is_a_handler_name(name: str) -> None:
    assert check_name(name) == name
