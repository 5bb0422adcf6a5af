"""A class name means one thing in all of runc_wrap, and a module's name one module."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "runc_wrap"


def _found() -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    classes, modules = defaultdict(list), defaultdict(list)
    for path in sorted(SOURCE.rglob("*.py")):
        place = str(path.relative_to(SOURCE))
        if path.stem not in {"__init__", "__main__"}:
            modules[path.stem].append(place)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                classes[node.name].append(place)
    return classes, modules


@pytest.mark.parametrize("of", [0, 1], ids=["class", "module"])
def test_a_name_means_one_thing(of: int) -> None:
    found = _found()[of]
    assert {name: places for name, places in found.items() if len(places) > 1} == {}
