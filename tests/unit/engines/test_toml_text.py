"""Text in, text out: our edits of a file are that and nothing else, and can be removed completely.

tomlkit reads TOML a second time, so that no reading of ours judges itself.
"""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from tomlkit.exceptions import ParseError

from runc_wrap.engines import toml_text
from runc_wrap.engines.docker import daemon_json
from runc_wrap.engines.engine_files import Tree
from runc_wrap.engines.handler import EngineError, Handler, check_name
from runc_wrap.engines.registration.registration_state import Where
from runc_wrap.engines.toml_text import Saved
from tests.unit.engines.engine_node import add, node, remove, snapshot, write
from tests.unit.engines.generated_toml import CRI, documents

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


CHANGES = [
    ("", '{"runtimes": {"runc-wrap": {"path": "/x"}, "k": {}}}', {"runtimes": {"k": {}}}),
    ("{}", '{"default-runtime": "runc-wrap", "a": 1}', {"a": 1}),
    ('{"a": 1}', "{}", {}),
    ('{"default-runtime": "k"}', '{"default-runtime":"runc-wrap"}', {"default-runtime": "k"}),
    (
        '{"runtimes": {"k": {}}}',
        '{"runtimes": {"k": {"path": "/k"}, "runc-wrap": {"path": "/x"}}}',
        {"runtimes": {"k": {"path": "/k"}}},
    ),
]


@pytest.mark.parametrize(("before", "theirs", "left"), CHANGES)
def test_the_owners_changes_elsewhere_stay(before: str, theirs: str, left: Any) -> None:
    assert _without_runtime(theirs, before) == left


REJECTED = [
    ("{", "is no valid JSON"),
    ("[]", "is not a JSON object"),
    ('{"a": {"b": 1, "b": 2}}', "'b' occurs twice"),
    ('{"a": NaN}', "NaN is not JSON"),
    ('{"a": 1e999}', "is no valid JSON"),
    ('{"a": "\\ud800"}', "is no valid JSON"),
    ("[" * 100_000, "is no valid JSON"),
]


@pytest.mark.parametrize(("text", "sentence"), REJECTED)
def test_a_daemon_json_that_dockerd_would_reject_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(EngineError, match=sentence):
        _with_runtime(text)


def test_the_owners_line_stands_in_our_block_until_it_goes() -> None:
    text = "version = 3\nimports = ['a.toml']  # mine\n"
    edited = toml_text.with_import(text, "b", "f")
    assert edited == (
        "version = 3\n# BEGIN runc-wrap: imports, written by `runc-wrapctl engine add`, taken out "
        "by `engine remove`\nimports = [\"b\", 'a.toml']  # mine\n# was: imports = ['a.toml']  # "
        "mine\n# END runc-wrap: imports\n"
    )


@given(st.text(st.characters(codec="utf-8")))
def test_any_string_survives_as_a_toml_value(text: str) -> None:
    assert tomllib.loads(f"a = {toml_text.value(text)}") == {"a": text}


EDITS = [
    lambda text: text + "c = 1\n",  # in our table, which it would leave
    lambda text: text + text,
    lambda text: text.replace("b = 1", "b = 2"),
]


@pytest.mark.parametrize("change", EDITS)
def test_a_block_that_is_not_as_we_wrote_it_is_left(change: Any) -> None:
    text = toml_text.appended("[theirs]\na = 1\n", "runc-wrap: t", OURS)
    with pytest.raises(EngineError, match="changed since"):
        toml_text.without_ours(change(text), Saved("[theirs]\na = 1\n", text), "f")


NO_LABELS = ["runc", "crun", "", "A", "a_b", "-a", "a-", "a.b", "a" * 64, "a\n"]


@pytest.mark.parametrize("name", NO_LABELS)
def test_a_handler_name_that_is_not_a_free_dns_label_is_refused(name: str) -> None:
    with pytest.raises(EngineError, match="try: --handler runc-wrap"):
        check_name(name)


SECTION = ["plugins", CRI, "containerd"]


def read_by_both(text: str) -> dict[str, Any]:
    """Return a document that both readers understand as the same.

    Line ends within a string are a reader's own choice: tomlkit keeps them. It takes a table that
    follows its own subtable, which TOML allows, for a second one if more of that come later.
    """
    found = tomllib.loads(text)
    try:
        other = tomlkit.parse(text).unwrap()
    except ParseError as error:
        if "already exists" not in str(error):
            raise
        event("tomlkit does not read it")
        return found
    assert _plain(other) == _plain(found)
    return found


def _plain(document: dict[str, Any]) -> str:
    return json.dumps(document, sort_keys=True, default=str).replace("\\r\\n", "\\n")


def _ours(before: dict[str, Any], after: dict[str, Any], name: str) -> dict[str, Any]:
    """Return what a registration adds, as a document."""
    added: dict[str, Any] = {"runtimes": {"x": after["runtimes"]["x"]}}
    if not before.get("runtimes"):
        added["runtimes"]["runc"] = {"runtime_type": "io.containerd.runc.v2"}
    added |= {"default_runtime_name": name} if name else {}
    return {"plugins": {CRI: {"containerd": added}}}


def _added(where: Where, text: str, **facts: Any) -> dict[str, Any] | None:
    """Register a handler in this file; return the node before that, None if it is refused."""
    write(where.config, text)
    before = snapshot(where.config.parent)
    try:
        add(where, "x", **facts)
    except EngineError as error:
        event(f"refused: {str(error).split(';')[1][:30]}")
        assert snapshot(where.config.parent) == before
        return None
    event("added")
    return before


@given(text=documents, default=st.booleans(), edited=st.booleans())
@settings(suppress_health_check=list(HealthCheck), deadline=None)
def test_any_main_file_of_containerd_1_gets_our_handler_and_loses_it_again(
    text: str, default: bool, edited: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    where = node(tmp_path_factory.mktemp("node"), "containerd")
    if (before := _added(where, text, default=default)) is None:
        return
    owners, after = read_by_both(text), read_by_both(_text(where.config))
    sections = [toml_text.lookup(document, SECTION) for document in (owners, after)]
    expected = toml_text.merged(owners, _ours(sections[0], sections[1], "x" if default else ""))
    assert after == expected
    runc = sections[0].get("runtimes", {}).get("runc", {}).get("options", {})
    ours = sections[1]["runtimes"]["x"]["options"]
    assert ours == {"BinaryName": str(where.bin_dir / "x"), **runc}
    _removed(where, before, edited=edited)


def _removed(where: Where, before: dict[str, Any], *, edited: bool) -> None:
    """Remove it, also from a file in which its owner has written since."""
    if not edited:
        remove(where, "x")
        assert snapshot(where.config.parent) == before
        return
    owners = before[str(where.config)][1].decode()
    write(where.config, f"# theirs\n{_text(where.config)}\n[theirs]\n")
    remove(where, "x")
    head, _, tail = _text(where.config).rpartition("\n[theirs]\n")
    assert (head.rstrip("\n"), tail) == (f"# theirs\n{owners}".rstrip("\n"), "")


def _text(path: Path) -> str:
    return path.read_bytes().decode()


@given(text=documents, minor=st.sampled_from([1, 3]), default=st.booleans(), edited=st.booleans())
@settings(suppress_health_check=list(HealthCheck), deadline=None)
def test_any_main_file_of_containerd_2_gets_an_import_and_nothing_else(
    text: str, minor: int, default: bool, edited: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    where = node(tmp_path_factory.mktemp("node"), "containerd")
    if (before := _added(where, text, default=default, major=2, minor=minor)) is None:
        return
    pattern = str(where.config.parent / "conf.d/50-runc-wrap-*.toml")
    assert read_by_both(_text(where.config)) == {**read_by_both(text), "imports": [pattern]}
    read_by_both(_text(where.config.parent / "conf.d/50-runc-wrap-x.toml"))
    _removed(where, before, edited=edited)
