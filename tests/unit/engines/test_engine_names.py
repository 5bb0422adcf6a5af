"""An engine's name stands in its own room, in host/engine_names and in the hot path's tables."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import runc_wrap
from runc_wrap.engines import engine_registry
from runc_wrap.host import engine_names
from runc_wrap.hotpath import container_identity, privileged

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(runc_wrap.__file__).parent
ROOMS = tuple(
    f"engines/{kind.__module__.split('.')[2]}/" for kind in engine_registry.ENGINES.values()
)
TABLES = ("host/engine_names.py", "hotpath/container_identity.py", "hotpath/privileged.py")
WORDS = {
    word
    for each in engine_names.KNOWN.values()
    for word in (each.name, each.program, each.kubelet, each.profile)
    if word not in ("", engine_names.COMMON)
}


def _texts(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)):
            text = node.value
            yield text if isinstance(text, str) else text.decode(errors="replace")


def test_no_other_module_names_an_engine() -> None:
    found = {str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py") if WORDS & {*_texts(path)}}
    assert {each for each in found if not each.startswith(ROOMS)} == {*TABLES}


def test_every_engine_has_a_class_and_each_class_its_names() -> None:
    assert all(engine_registry.kind(name).names.name == name for name in engine_names.KNOWN)
    assert engine_registry.ENGINES.keys() <= engine_names.KNOWN.keys()


def test_the_hot_path_names_only_known_engines() -> None:
    known = engine_names.KNOWN.keys()
    assert {*container_identity._MANAGERS.values(), *privileged._MARKS} <= known  # noqa: SLF001
    assert known <= {*_texts(Path(container_identity.__file__))}
