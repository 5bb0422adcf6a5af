"""`make architecture`: writes build/architecture.md, which is made from the code.

It has files by their first lines, imports between rooms, and the contracts.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grimp

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "runc_wrap"
_COMMENTS = {".c": r"/\*(.*?)\*/", ".h": r"/\*(.*?)\*/", ".sh": r"((?:#.*\n)+)"}


def listing() -> str:
    """Return the text. A room is a package; those directly beneath runc_wrap have contracts."""
    parts = ["# The code", "## What is checked of imports", "\n".join(_contracts())]
    imports = _imports()
    for folder in sorted(path.parent for path in PACKAGE.rglob("__init__.py")):
        name = str(folder.relative_to(PACKAGE.parent))
        parts += [f"## {name}", _first_line(folder / "__init__.py")]
        if below := sorted(other for room, other in imports if PACKAGE / room == folder):
            parts.append(f"Imports {', '.join(below)}.")
        files = sorted(path for path in folder.iterdir() if path.suffix in {".py", *_COMMENTS})
        rows = [f"| `{path.name}` | {_first_line(path).replace('|', '&#124;')} |"
                for path in files if path.name != "__init__.py"]  # fmt: skip
        parts.append("\n".join(["| file | what it is |", "|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def _imports() -> set[tuple[str, str]]:
    """Return which room directly beneath runc_wrap imports which."""
    graph = grimp.build_graph("runc_wrap", exclude_type_checking_imports=True, cache_dir=None)
    pairs = {
        (_room(importer), _room(imported))
        for importer in graph.modules
        for imported in graph.find_modules_directly_imported_by(importer)
    }
    return {pair for pair in pairs if pair[0] != pair[1] and all(pair)}


def _room(module: str) -> str:
    return ".".join(module.split(".")[1:2])


def _contracts() -> Iterator[str]:
    """Yield each contract's name, with the modules that it speaks of where it ends with "only"."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for contract in project["tool"]["importlinter"]["contracts"]:
        name = contract["name"]
        allowed = contract.get("allowed_modules", [])
        modules = ", ".join(f"`{one.removeprefix('runc_wrap.')}`" for one in allowed)
        yield f"- {name}: {modules}." if name.endswith(" only") else f"- {name}."


def _first_line(path: Path) -> str:
    """Return the first line of a file's docstring, or the first sentence of its first comment."""
    if path.suffix == ".py":
        return (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n")[0]
    comment = re.match(_COMMENTS[path.suffix], path.read_text(), re.DOTALL)
    words = " ".join(line.strip(" *#") for line in comment[1].splitlines()) if comment else ""
    return re.split(r"(?<=\.)\s", words.strip())[0]


if __name__ == "__main__":
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    (build / "architecture.md").write_text(listing())
