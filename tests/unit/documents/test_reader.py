"""The reader of JSON documents: what each type takes and refuses, and in which words."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.documents import constraints
from runc_wrap.documents.constraints import Among, Count, First, Key, Like, Most, Time, Within
from runc_wrap.documents.reader import DocumentError, read, record, taken, written
from runc_wrap.hotpath import json_codec

COLOURS = ("red", "green")


@record
class Item:
    name: Annotated[str, Most(4)]
    errno: Annotated[int, Within(-1, 4095)] = 0
    pid: Annotated[int | None, Key("init_pid")] = None


@record
class Whole:
    """One field of each kind."""

    text: str
    flag: bool
    colour: Annotated[str, Among(*COLOURS)]
    word: Annotated[str, Like("[a-z]+", "a small word")]
    form: Literal[1, "b"]
    share: Annotated[float, Within(0, 1)]
    items: Annotated[tuple[Item, ...], Most(3)]
    cut: Annotated[list[Annotated[str, First(2)]], First(2)]
    pair: tuple[int, str]
    counts: dict[Annotated[str, Most(3)], Count]
    few: Annotated[dict[str, bool], Most(1)]
    nothing: Item | None
    kept: Any
    times: tuple[Time, ...] = ()


@record
class Checked:
    least: int
    most: int

    def __post_init__(self) -> None:
        if self.least > self.most:
            raise ValueError(f"the least, {self.least}, is over the most, {self.most}")


SCALARS = {"text": "a", "flag": True, "colour": "red", "word": "abc", "form": 1, "share": 0.5}
LISTS = {"items": [{"name": "one"}], "cut": ["abc", "de", "f"], "pair": [1, "x"]}
TABLES = {"counts": {"a": 1}, "few": {}, "nothing": None, "kept": {"any": [1, None]}}
WHOLE: dict[str, Any] = {**SCALARS, **LISTS, **TABLES}


def test_a_document_becomes_its_record() -> None:
    found = taken(Whole, WHOLE)
    assert found.items == (Item("one", 0, None),)
    assert found.cut == ["ab", "de"]
    assert (found.pair, found.counts, found.kept) == ((1, "x"), {"a": 1}, {"any": [1, None]})
    assert isinstance(found.share, float)
    assert found.times == ()


def test_a_few_things_of_a_document_do_not_matter() -> None:
    assert taken(Item, {"name": "a", "new": {"deep": []}}) == Item("a")  # of a newer release
    assert taken(Item, {"name": "a", "errno": None}) == Item("a")  # null is as absent
    assert read(Item, b'{"name": 1, "name": "b"}') == Item("b")  # the last counts
    assert read(list[Item], b'[{"name": "a"}]') == [Item("a")]
    assert taken(Item, {"name": "a", "init_pid": 7}).pid == 7  # by the document's own name
    assert written(Item("a", 1, 7)) == {"name": "a", "errno": 1, "init_pid": 7}
    with pytest.raises(DocumentError, match=r"^name: found nothing, wanted a text of at most 4"):
        taken(Item, {"name": None})


REFUSED = [
    ("text", 1, "text: found 1, wanted a text of at most 8192 characters"),
    ("text", "x" * (constraints.LONGEST + 1), "text: found "),
    ("flag", 1, "flag: found 1, wanted true or false"),
    ("colour", "blue", 'colour: found "blue", wanted red or green'),
    ("word", "Abc", 'word: found "Abc", wanted a small word'),
    ("word", "abc\n", 'word: found "abc\\u000a", wanted a small word'),
    ("form", 2, "form: found 2, wanted 1 or b"),
    ("form", True, "form: found true, wanted 1 or b"),
    ("share", 1.1, "share: found 1.1, wanted a number from 0 to 1"),
    ("share", True, "share: found true, wanted a number from 0 to 1"),
    ("share", float("nan"), "share: found nan, wanted a number from 0 to 1"),
    ("items", [{"name": "a"}] * 4, "items: found a list of 4, wanted a list of at most 3"),
    ("items", [{"name": "a"}, 5], "items[1]: found 5, wanted an object"),
    ("items", [{"name": "12345"}], 'items[0].name: found "12345", wanted a text of at most 4 ch'),
    ("items", [{"name": "a", "errno": "EPERM"}], 'items[0].errno: found "EPERM", wanted a whole n'),
    ("items", [{"name": "a", "errno": -2}], "items[0].errno: found -2, wanted a whole number"),
    ("items", [{"name": "a", "errno": 4096}], "items[0].errno: found 4096, wanted a whole"),
    ("items", [{"name": "a", "errno": True}], "items[0].errno: found true, wanted a whole"),
    ("items", [{"name": "a", "errno": 10**5000}], "items[0].errno: found a huge number, wanted"),
    ("cut", [1], "cut[0]: found 1, wanted a text of at most 2 characters"),
    ("pair", [1], "pair: found a list of 1, wanted a list of 2"),
    ("counts", [], "counts: found a list of 0, wanted an object of at most"),
    ("counts", {"a": -1}, "counts.a: found -1, wanted a whole number from 0 to "),
    ("counts", {"abcd": 1}, 'counts.abcd: found "abcd", wanted a text of at most 3 characters'),
    ("counts", {"\x1b[2J": "x"}, "counts.\\u001b[2J: found "),
    ("few", {"a": True, "b": True}, "few: found an object, wanted an object of at most 1 members"),
    ("nothing", 1, "nothing: found 1, wanted an object"),
    ("times", ["٢027-01-31T18:00:00Z"], "times[0]: found"),
    ("times", ["2027-01-31T18:00:00"], 'times[0]: found "2027-01-31T18:00:00", wanted a time s'),
]


@pytest.mark.parametrize(("key", "value", "sentence"), REFUSED)
def test_what_does_not_fit_is_refused_with_its_place(key: str, value: Any, sentence: str) -> None:
    with pytest.raises(DocumentError) as refused:
        taken(Whole, {**WHOLE, key: value})
    assert str(refused.value).startswith(sentence)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 250


NO_JSON = [b"", b"[1", b"\xff", b'{"name": NaN}', b'{"name": "\\ud800"}', b'{"a": "\xff"}']
NO_ITEM = {
    **dict.fromkeys([*NO_JSON, b"[" * 100_000 + b"]" * 100_000], "it is not JSON: "),
    b'{"name": "a", "errno": ' + b"9" * 100_000 + b"}": "",
    b"null": "found nothing, wanted an object",
    b"[]": "found a list of 0, wanted an object",
    b"{}": "name: found nothing, wanted a text of at most 4 characters",
}


@pytest.mark.parametrize(("data", "sentence"), NO_ITEM.items())
def test_what_is_no_such_document_is_refused(data: bytes, sentence: str) -> None:
    with pytest.raises(DocumentError) as refused:
        read(Item, data)
    assert str(refused.value).startswith(sentence)
    assert len(str(refused.value)) < 250


def test_a_record_checks_what_its_types_cannot_say() -> None:
    assert taken(list[Checked], [{"least": 1, "most": 1}])
    with pytest.raises(DocumentError, match=r"^\[0\]: the least, 2, is over the most, 1$"):
        taken(list[Checked], [{"least": 2, "most": 1}])


TEXTS = st.text(st.characters(codec="utf-8"), max_size=4)
PIDS = st.none() | st.integers(-constraints.LARGEST, constraints.LARGEST)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
)


def _sentence(read_it: Callable[[], object]) -> str:
    try:
        read_it()
    except DocumentError as refused:
        return str(refused)
    return ""


@given(st.builds(Item, TEXTS, st.integers(-1, 4095), PIDS))
def test_what_was_written_is_read_again(made: Item) -> None:
    assert read(Item, json_codec.dumps(written(made))) == made


@given(JSON, st.sampled_from([*WHOLE, "times"]))
def test_any_value_is_taken_or_refused_in_words(value: Any, key: str) -> None:
    assert _sentence(lambda: taken(Whole, value)).isprintable()
    assert _sentence(lambda: taken(Whole, {**WHOLE, key: value})).isprintable()


@given(st.binary() | JSON.map(repr).map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    assert _sentence(lambda: read(Whole, data)).isprintable()
