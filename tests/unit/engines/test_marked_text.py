"""Text in, text out: our edits of a file can be removed completely."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.engines import marked_text, toml_text
from runc_wrap.engines.docker import daemon_json
from runc_wrap.engines.engine_files import Tree
from runc_wrap.engines.handler import EngineError, Handler, check_name
from runc_wrap.engines.marked_text import Saved

OURS = "[ours]\nb = 1\n"
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)  # fmt: skip
daemon_texts = st.builds(
    lambda document, indent, end: json.dumps(document, indent=indent) + end,
    st.dictionaries(st.text(max_size=6), json_values)
    | st.fixed_dictionaries({"runtimes": st.dictionaries(st.text(max_size=6), json_values)}),
    st.sampled_from([None, 1, 2, 4, "\t"]),
    st.sampled_from(["", "\n"]),
)


def _with_runtime(text: str) -> str:
    tree = Tree({}, daemon_json.without_ours)
    tree.put(Path("/daemon.json"), text)
    daemon_json.render(tree, Path("/daemon.json"), [Handler("runc-wrap", "/x", default=True)])
    return tree.text(Path("/daemon.json"))


def _without_runtime(text: str, before: str) -> Any:
    saved = Saved(before, _with_runtime(before))
    return json.loads(daemon_json.without_ours(text, saved, "daemon.json") or "{}")


@given(daemon_texts, st.sampled_from([None, 3]))
def test_a_runtime_of_docker_is_found_again_after_a_reformat(text: str, indent: int | None) -> None:
    wanted, given_ = json.loads(text), json.loads(_with_runtime(text))
    assert _without_runtime(json.dumps(given_, indent=indent), text) == wanted
    wanted.setdefault("runtimes", {})["runc-wrap"] = {"path": "/x"}
    assert given_ == wanted | {"default-runtime": "runc-wrap"}


@pytest.mark.parametrize(
    ("before", "theirs", "left"),
    [
        ("", '{"runtimes": {"runc-wrap": {"path": "/x"}, "k": {}}}', {"runtimes": {"k": {}}}),
        ("{}", '{"default-runtime": "runc-wrap", "a": 1}', {"a": 1}),
        ('{"a": 1}', "{}", {}),
        ('{"default-runtime": "k"}', '{"default-runtime":"runc-wrap"}', {"default-runtime": "k"}),
        (
            '{"runtimes": {"k": {}}}',
            '{"runtimes": {"k": {"path": "/k"}, "runc-wrap": {"path": "/x"}}}',
            {"runtimes": {"k": {"path": "/k"}}},
        ),
    ],
)
def test_the_owners_changes_elsewhere_stay(before: str, theirs: str, left: Any) -> None:
    assert _without_runtime(theirs, before) == left


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "wanted valid JSON"),
        ("[]", "not an object"),
        ('{"a": {"b": 1, "b": 2}}', "'b' occurs twice"),
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": 1e999}', "wanted valid JSON"),
        ('{"a": "\\ud800"}', "wanted valid JSON"),
        ("[" * 100_000, "wanted valid JSON"),
    ],
)
def test_a_daemon_json_that_dockerd_would_reject_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(EngineError, match=sentence):
        _with_runtime(text)


def test_the_owners_line_stands_in_our_block_until_it_goes() -> None:
    text = "version = 3\nimports = ['a.toml']  # mine\n"
    edited = marked_text.with_import(text, "b", "f")
    assert edited == (
        "version = 3\n# BEGIN runc-wrap: imports, written by `runc-wrapctl engine add`, taken out "
        "by `engine remove`\nimports = [\"b\", 'a.toml']  # mine\n# was: imports = ['a.toml']  # "
        "mine\n# END runc-wrap: imports\n"
    )


@given(st.text(st.characters(codec="utf-8")))
def test_any_string_survives_as_a_toml_value(text: str) -> None:
    assert tomllib.loads(f"a = {toml_text.value(text)}") == {"a": text}


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text + "c = 1\n",  # in our table, which it would leave
        lambda text: text + text,
        lambda text: text.replace("b = 1", "b = 2"),
    ],
)
def test_a_block_that_is_not_as_we_wrote_it_is_left(change: Any) -> None:
    text = marked_text.appended("[theirs]\na = 1\n", "runc-wrap: t", OURS)
    with pytest.raises(EngineError, match="changed since"):
        marked_text.without_ours(change(text), Saved("[theirs]\na = 1\n", text), "f")


def test_a_block_that_was_handed_over_is_its_owners() -> None:
    before = marked_text.appended("", "runc-wrap: u", "[u]\n")
    after = marked_text.appended(before, "runc-wrap: t", OURS)
    rest = marked_text.without_ours(f"# top\n{after}", Saved(before, after), "f")
    assert rest == f"# top\n{before}"


@pytest.mark.parametrize(
    "name", ["runc", "crun", "", "A", "a_b", "-a", "a-", "a.b", "a" * 64, "a\n"]
)
def test_a_handler_name_that_is_not_a_free_dns_label_is_refused(name: str) -> None:
    with pytest.raises(EngineError, match="try: --handler runc-wrap"):
        check_name(name)


@pytest.mark.parametrize("name", ["runc-wrap", "a", "0", "a" * 63])
def test_a_dns_label_is_a_handler_name(name: str) -> None:
    assert check_name(name) == name
