"""The code's rooms and the two paths through it, read from its files and its import graph.

A room is a package or module directly beneath runc_wrap. Their order is that of the import
contract in pyproject.toml. WAYS name modules in the order in which they get their part to do;
each must exist, and be imported, by whatever detour, by one of the way's ENTRIES.
"""

from __future__ import annotations

import ast
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grimp

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "runc_wrap"
LAUNCHER = "launcher"
CREATE, RECORD = "The way of a create", "The way of a record"
ENTRIES = {
    CREATE: ["runc_wrap.hotpath.main", "runc_wrap.agent.decide.decision_server"],
    RECORD: ["runc_wrap.agent.observe_service", "runc_wrap.cli.report"],
}
WAYS = {
    CREATE: [
        "runc_wrap/launcher/launcher.c",
        "runc_wrap/launcher/args.c",
        "runc_wrap/launcher/real_runtime.c",
        "runc_wrap/launcher/ask.c",
        "runc_wrap.agent.decide.decision_server",
        "runc_wrap/launcher/cold.py",
        "runc_wrap.hotpath.main",
        "runc_wrap.hotpath.argv",
        "runc_wrap.hotpath.policy_file",
        "runc_wrap.hotpath.config_file",
        "runc_wrap.hotpath.json_ambiguity",
        "runc_wrap.hotpath.create_facts",
        "runc_wrap.hotpath.identity",
        "runc_wrap.hotpath.decision",
        "runc_wrap.hotpath.resolve",
        "runc_wrap.hotpath.overlay",
        "runc_wrap.hotpath.splice",
        "runc_wrap.hotpath.ledger_file",
        "runc_wrap.hotpath.exec_runtime",
    ],
    RECORD: [
        "runc_wrap.evidence.sources.netlink",
        "runc_wrap.agent.observe.listeners",
        "runc_wrap.evidence.attribution.container_index",
        "runc_wrap.evidence.attribution.process_history",
        "runc_wrap.agent.record.recorder",
        "runc_wrap.evidence.store.call_counts",
        "runc_wrap.evidence.store.evidence_files",
        "runc_wrap.report.node_evidence",
        "runc_wrap.report.outcomes",
        "runc_wrap.report.verdict",
        "runc_wrap.report.call_row",
        "runc_wrap.cli.report",
    ],
}


@dataclass(frozen=True)
class Room:
    """A package or module beneath runc_wrap: its own files and rooms, with the first line of each.

    `name` is agent/observe for a room in a room.
    """

    name: str
    line: str
    files: tuple[tuple[Path, str], ...]
    rooms: tuple[Room, ...] = ()

    @property
    def path(self) -> Path:
        """Its directory."""
        folder = PACKAGE / self.name
        return folder if folder.is_dir() else folder.with_suffix(".py")


@dataclass(frozen=True)
class Code:
    """The rooms from top to bottom, who imports whom, and the ways, each a list of files.

    `contracts` are what is checked of imports, a sentence each.
    """

    rooms: tuple[Room, ...]
    imports: frozenset[tuple[str, str]]
    ways: dict[str, list[Path]]
    contracts: tuple[str, ...]


def read() -> Code:
    """Read the code. Raises ValueError if a way names a module that does not exist."""
    graph = grimp.build_graph("runc_wrap", exclude_type_checking_imports=True, cache_dir=None)
    rooms = tuple(map(_room, _order()))
    imports = {
        (_room_of(importer), _room_of(imported))
        for importer in graph.modules
        for imported in graph.find_modules_directly_imported_by(importer)
    }
    ways = {title: [_step(graph, title, step) for step in way] for title, way in WAYS.items()}
    between = frozenset(pair for pair in imports if pair[0] != pair[1] and all(pair))
    return Code(rooms, between, ways, tuple(map(_sentence, _contracts())))


def _order() -> list[str]:
    """Return the rooms' names, the launcher first: engines execute it, and nothing imports it."""
    (layers,) = (
        contract["layers"]
        for contract in _contracts()
        if contract["type"] == "layers" and contract.get("containers") == ["runc_wrap"]
    )
    names = [name for layer in layers for name in re.findall(r"\w+", layer)]
    return [LAUNCHER, *names]


def _contracts() -> list[dict[str, Any]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts: list[dict[str, Any]] = project["tool"]["importlinter"]["contracts"]
    return contracts


def _sentence(contract: dict[str, Any]) -> str:
    """Return a contract's name, with the modules that it speaks of where it ends with "only"."""
    name = contract["name"]
    modules = (f"`{one.removeprefix('runc_wrap.')}`" for one in contract.get("allowed_modules", []))
    return f"{name}: {', '.join(modules)}." if name.endswith(" only") else f"{name}."


def _room(name: str) -> Room:
    folder = PACKAGE / name
    if not folder.is_dir():
        path = folder.with_suffix(".py")
        return Room(name, first_line(path), ((path, first_line(path)),))
    files = sorted(path for path in folder.iterdir() if path.suffix in {".py", ".c", ".h", ".sh"})
    inner = sorted(path.parent.name for path in folder.glob("*/__init__.py"))
    return Room(
        name,
        first_line(folder / "__init__.py"),
        tuple((path, first_line(path)) for path in files if path.name != "__init__.py"),
        tuple(_room(f"{name}/{one}") for one in inner),
    )


def _room_of(module: str) -> str:
    return ".".join(module.split(".")[1:2])


def _step(graph: grimp.ImportGraph, title: str, step: str) -> Path:
    """Return the file of one step, which must be reached from where the way begins."""
    if "/" in step:
        path = ROOT / step
    else:
        path = _file(step)
        entries = [entry for entry in ENTRIES[title] if entry in graph.modules]
        if not any(step == entry or graph.find_shortest_chain(entry, step) for entry in entries):
            message = f"{title}: {step} is imported from none of {', '.join(ENTRIES[title])}"
            raise ValueError(message)
    if not path.is_file():
        message = f"{title}: there is no {path}"
        raise ValueError(message)
    return path


def _file(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def first_line(path: Path) -> str:
    """Return the first line of a file's docstring, or the first sentence of its first comment."""
    text = path.read_text()
    if path.suffix == ".py":
        return (ast.get_docstring(ast.parse(text)) or "").split("\n")[0]
    comment = re.match(
        r"/\*(.*?)\*/" if path.suffix in {".c", ".h"} else r"((?:#.*\n)+)", text, re.DOTALL
    )
    words = " ".join(line.strip(" *#") for line in comment[1].splitlines()) if comment else ""
    return re.split(r"(?<=\.)\s", words.strip())[0]


def listing() -> str:
    """Return the text of build/architecture.md."""
    code = read()
    return "\n".join(["# The code\n", *_ways(code), *_rules(code), *_rooms(code)]).strip() + "\n"


def _ways(code: Code) -> Iterator[str]:
    for title, way in code.ways.items():
        yield f"## {title}\n"
        for number, path in enumerate(way, 1):
            yield f"{number}. {_link(path)}: {first_line(path)}"
        yield ""


def _rules(code: Code) -> Iterator[str]:
    yield "## What is checked of imports\n"
    yield "`make check` fails otherwise. A list is exact: what is no longer needed must leave it.\n"
    yield from (f"- {sentence}" for sentence in code.contracts)
    yield ""


def _rooms(code: Code) -> Iterator[str]:
    yield "## The rooms\n"
    for room in code.rooms:
        below = [one.name for one in code.rooms if (room.name, one.name) in code.imports]
        yield f"### {room.name}\n"
        yield f"{room.line}\n"
        yield f"Imports {', '.join(below)}.\n" if below else "Imports no other room.\n"
        yield from _files(room)
        for inner in _rooms_in(room):
            yield f"#### {inner.name}\n"
            yield f"{inner.line}\n"
            yield from _files(inner)


def _rooms_in(room: Room) -> Iterator[Room]:
    """Yield the rooms in a room, each followed by those in it."""
    for inner in room.rooms:
        yield inner
        yield from _rooms_in(inner)


def _files(room: Room) -> Iterator[str]:
    if room.files:
        yield "| file | what it is |\n|---|---|"
        yield from (f"| {_link(path, room.path)} | {_cell(line)} |" for path, line in room.files)
        yield ""


def _link(path: Path, within: Path = PACKAGE) -> str:
    shown = path.name if path == within else path.relative_to(within)
    return f"[`{shown}`](../{path.relative_to(ROOT)})"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
