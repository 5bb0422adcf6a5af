"""Kinds of contracts that import-linter lacks. pyproject.toml has the contracts themselves.

import-linter's graph has every import, including those under TYPE_CHECKING. What a program loads
follows from the imports that run: a graph without the others.
"""

import ast
import importlib.util
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, cast

import grimp
from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output

# Builtins with side effects, or that run text, which need no import
BUILTINS = frozenset(
    "__import__ breakpoint compile eval exec input open print".split()  # `open` above all
)


class _Findings(Contract):
    """A contract that yields sentences about violations: it is kept if there are none."""

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: ARG002 - the linter's
        found = sorted(set(self.find(graph)))
        return ContractCheck(kept=not found, metadata={"found": found})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for sentence in check.metadata["found"]:
            output.print_error(f"- {sentence}", bold=False)
        output.new_line()

    def find(self, graph: ImportGraph) -> Iterator[str]:
        raise NotImplementedError

    def option(self, name: str) -> list[str]:
        """Return one of the contract's lists."""
        return cast("list[str]", getattr(self, name) or [])

    def running(self) -> ImportGraph:
        """Return the graph of the imports that run."""
        return _running(tuple(self.session_options["root_packages"]))


class Reaches(_Findings):
    """The running code of `source_modules`, and all that they import, reaches only what is allowed.

    `allowed_modules` are modules not of ours; `allowed_names` MODULE.NAME, of modules of which
    no other name may be used and what they import is not followed. With `builtins` what acts
    without an import (open, print, ...) may not be called either.
    """

    source_modules = fields.ListField(subfield=fields.StringField())
    allowed_modules = fields.ListField(subfield=fields.StringField())
    allowed_names = fields.ListField(subfield=fields.StringField(), required=False)
    builtins = fields.BooleanField(required=False, default=True)

    def find(self, graph: ImportGraph) -> Iterator[str]:  # noqa: ARG002 - it has what does not run
        running = self.running()
        names = self._names()
        allowed = set(self.option("allowed_modules"))
        ours = tuple(self.session_options["root_packages"])
        reached = _reached(running, _sources(running, self.option("source_modules")), names)
        for module, importer in reached.items():
            if module in names:
                continue
            if module.split(".")[0] not in ours:
                if module not in allowed:
                    yield f"{module}: {_way(reached, module, importer)}"
                continue
            yield from _uses(module, names, acting=str(self.builtins) == "True")
        yield from (f"{name} is allowed, and nothing imports it" for name in allowed - {*reached})

    def _names(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for name in self.option("allowed_names"):
            module, _, attribute = name.rpartition(".")
            found.setdefault(module, set()).add(attribute)
        return found


class Uses(_Findings):
    """`names` (os.kill, subprocess.*: fnmatch) are used by exactly `allowed_modules`."""

    names = fields.ListField(subfield=fields.StringField())
    allowed_modules = fields.ListField(subfield=fields.StringField())

    def find(self, graph: ImportGraph) -> Iterator[str]:
        """Yield modules that use them without permission, and permissions that are not used."""
        patterns, allowed = self.option("names"), set(self.option("allowed_modules"))
        root = self.session_options["root_packages"][0]
        using = set()
        for module in [root, *graph.find_descendants(root)]:
            for line, name in _used(module):
                if any(fnmatchcase(name, one) for one in patterns):
                    using.add(module)
                    if module not in allowed:
                        yield f"{module} uses {name} (l. {line})"
        yield from (f"{name} is allowed, and uses none of them" for name in allowed - using)


@cache
def _running(roots: tuple[str, ...]) -> ImportGraph:
    return grimp.build_graph(
        *roots, include_external_packages=True, exclude_type_checking_imports=True, cache_dir=None
    )


def _sources(graph: ImportGraph, names: Iterable[str]) -> set[str]:
    """Return these modules, and those beneath them."""
    found = set()
    for name in names:
        if name not in graph.modules:
            message = f"there is no module {name}"
            raise ValueError(message)
        found |= {name, *graph.find_descendants(name)}
    return found


def _reached(graph: ImportGraph, sources: set[str], stops: Iterable[str]) -> dict[str, str]:
    """Return {module: who imports it}, "" for the sources; a package runs before its modules."""
    found = dict.fromkeys(sorted(sources), "")
    todo = list(found)
    while todo:
        module = todo.pop()
        if module in stops:
            continue
        parent = module.rpartition(".")[0]
        nexts = {*graph.find_modules_directly_imported_by(module), *filter(None, [parent])}
        for one in sorted(nexts - found.keys()):
            found[one] = module
            todo.append(one)
    return found


def _way(reached: dict[str, str], module: str, importer: str) -> str:
    """Return how a module is reached."""
    way = [module]
    while importer:
        way.append(importer)
        importer = reached[importer]
    return " -> ".join(reversed(way))


def _uses(module: str, names: dict[str, set[str]], *, acting: bool) -> Iterator[str]:
    """Yield a module's forbidden uses: builtins with side effects, and names not in this list."""
    for line, name in _used(module):
        owner, _, attribute = name.rpartition(".")
        if (acting and name in BUILTINS) or (owner in names and attribute not in names[owner]):
            yield f"{module} uses {name} (l. {line})"


def _tree(module: str) -> ast.Module:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        message = f"there is no module {module}"
        raise ValueError(message)
    return ast.parse(Path(spec.origin).read_text())


class _WithoutTypes(ast.NodeTransformer):
    def visit_If(self, node: ast.If) -> Any:
        is_types = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return [self.visit(one) for one in node.orelse] if is_types else self.generic_visit(node)


@cache
def _used(module: str) -> tuple[tuple[int, str], ...]:
    """Return line and full name of a module's uses of other modules' names and of builtins."""
    return tuple(_names_in(_WithoutTypes().visit(_tree(module))))


def _names_in(ran: ast.Module) -> Iterator[tuple[int, str]]:
    whole: dict[str, str] = {}
    for node in ast.walk(ran):
        if isinstance(node, ast.Import):
            whole |= {(one.asname or one.name): one.name for one in node.names}
            yield from ((node.lineno, one.name) for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for one in node.names:
                whole[one.asname or one.name] = f"{node.module}.{one.name}"
                yield node.lineno, f"{node.module}.{one.name}"
    for node in ast.walk(ran):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id in whole:
                yield node.lineno, f"{whole[node.value.id]}.{node.attr}"
        elif isinstance(node, ast.Name) and node.id in BUILTINS and node.id not in whole:
            yield node.lineno, node.id
