"""A class name means one thing in all of runc_wrap, and a module's name one module."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "runc_wrap"
# Still to be told apart: name -> why it is not
CLASSES = {
    "Decision": "of a create, and the cluster loop's",
    "Ended": "of a program, and of a systemd unit",
    "Manager": "systemd by D-Bus, and its protocol",
    "Node": "in status, in a transaction's undoing, and the API's",
    "Outcome": "of a create, and of a transaction's step",
    "Plan": "of a registration, and of a removal",
    "Pod": "in CRI, and in the API",
    "Shown": "what `engine status` shows, and what a node's annotation does",
    "Wanted": "handlers, and the API's annotations",
}
MODULES = {
    "engine": "a command, and what is asked of each engine",
    "main": "a create, and runc-wrapctl",
    "status": "a command, and what it prints",
}


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


@pytest.mark.parametrize(("of", "excused"), [(0, CLASSES), (1, MODULES)], ids=["class", "module"])
def test_a_name_means_one_thing(of: int, excused: dict[str, str]) -> None:
    several = {name: places for name, places in _found()[of].items() if len(places) > 1}
    assert {name: several[name] for name in several.keys() - excused.keys()} == {}
    assert excused.keys() - several.keys() == set(), "these are told apart: excuse them no more"
