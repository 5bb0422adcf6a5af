"""docs/operating.md: every explained message exists in the code, and every message is explained."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "runc_wrap"
MESSAGES = (ROOT / "docs" / "operating.md").read_text().split("\n## Messages\n")[1]
VARIES = "\0"  # in place of what the code fills in
_C_TEXT = r'"(?:[^"\\\n]|\\.)*"'
_C_TEXTS = re.compile(rf"{_C_TEXT}(?:[\s\\]*{_C_TEXT})*")
_C_CALL = re.compile(rf"\b(?:fail|give_up)\((?:launch, )?({_C_TEXT}(?:\s*{_C_TEXT})*)")
_SHELL_CALL = re.compile(r'\b(?:fail|give_up) "((?:[^"\\]|\\.|\\\n)*)"')


@cache
def _rows() -> list[str]:
    """Return the code in the first cell of each table's rows."""
    return re.findall(r"^\| `(.*?)` \| \S", MESSAGES, re.MULTILINE)


@cache
def _pattern(row: str) -> re.Pattern[str]:
    return re.compile(f"{VARIES}+".join(map(re.escape, row.split("…"))))


def _python(folder: Path) -> list[ast.Module]:
    return [ast.parse(path.read_text()) for path in sorted(folder.rglob("*.py"))]


def _template(node: ast.expr, known: dict[str, list[ast.expr]]) -> list[str]:
    """Return an expression's possible texts, with VARIES for what is not a literal."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=values):
            return _joined([_template(value, known) for value in values])
        case ast.FormattedValue(value=ast.Name() as value):
            return _template(value, known)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _joined([_template(left, known), _template(right, known)])
        case ast.Name(id=name) if name in known:
            others = {other: found for other, found in known.items() if other != name}
            return [text for value in known[name] for text in _template(value, others)]
    return [VARIES]


def _joined(parts: list[list[str]]) -> list[str]:
    found = [""]
    for part in parts:
        found = [before + text for before in found for text in part]
    return found


def _assigned(function: ast.AST) -> dict[str, list[ast.expr]]:
    """Return the values that each name of a function is assigned."""
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(function):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                found.setdefault(name, []).append(value)
    return found


def _given(folder: Path, called: str, place: int) -> Iterator[str]:
    """Yield the texts that calls of a function get as an argument, if any part is a literal."""
    for tree in _python(folder):
        constants = _assigned(ast.Module([n for n in tree.body if isinstance(n, ast.Assign)], []))
        functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
        for function in functions:
            known = {**constants, **_assigned(function)}
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and _name(node.func) == called:
                    yield from _template(node.args[place], known)


def _name(function: ast.expr) -> str:
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _c_text(found: str) -> str:
    text = "".join(part[1:-1] for part in re.findall(_C_TEXT, found))
    return re.sub(r"%[-+0-9.*$]*[a-z]", VARIES, text.replace("\\n", ""))


def _launchers() -> Iterator[str]:
    for path in sorted(PACKAGE.rglob("*.c")):
        yield from map(_c_text, _C_CALL.findall(path.read_text()))
    for path in sorted(PACKAGE.rglob("*.sh")):
        for found in _SHELL_CALL.findall(path.read_text()):
            yield re.sub(r"\$\w+(?:/[\w/.]+)?", VARIES, found.replace("\\\n", ""))


@cache
def _said() -> list[str]:
    """Return the messages that must be explained."""
    found = [
        *_given(PACKAGE, "Refusal", 0),
        *_given(PACKAGE / "agent", "say", 0),
        *_given(PACKAGE / "agent", "warn", 0),
        *_given(PACKAGE / "node", "Finding", 2),
        *_launchers(),
    ]
    return sorted({text for text in found if len(text.replace(VARIES, "").split()) > 1})


@cache
def _all() -> frozenset[str]:
    """Return every text of the code."""
    found = {*_launchers(), *_said()}
    for tree in _python(PACKAGE):
        for node in ast.walk(tree):
            if isinstance(node, (ast.Constant, ast.JoinedStr, ast.BinOp)):
                found |= set(_template(node, {}))
    for path in sorted(PACKAGE.rglob("*.[ch]")):
        found |= set(map(_c_text, _C_TEXTS.findall(path.read_text())))
    return frozenset(found)


@pytest.mark.parametrize("row", _rows())
def test_every_explained_message_exists_in_the_code(row: str) -> None:
    pattern = _pattern(row)
    assert any(pattern.search(text) for text in _all())


@pytest.mark.parametrize("text", _said())
def test_every_message_of_the_code_is_explained(text: str) -> None:
    assert [row for row in _rows() if _pattern(row).search(text)], text.replace(VARIES, "…")


def test_messages_are_found_at_all() -> None:
    said = _said()
    assert "config.json is not a JSON object." in said
    assert "it was called without a name." in said
    assert f"no agent can be reached at {VARIES} ({VARIES})" not in said  # a helper's argument
    assert len(said) > 70
    assert len(_rows()) > 70
