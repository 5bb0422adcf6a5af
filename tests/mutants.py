"""Plants defects in the modules that changed, and lists those that no unit test detects.

    python -m tests.mutants --base main [--minutes 20] [MODULE...]

cosmic-ray makes them; each is planted in a copy of the tree, one at a time, and the unit tests that
import the module by name run on it: a defect that only other tests would detect counts as
undetected. Implausible defects (+ for **) and those in type annotations are not planted. Defects
for which there was no time are counted. Exits with 1 if a defect was not detected.
"""

import argparse
import ast
import difflib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
AT_ONCE = 2
SECONDS = 600  # for tests: a hanging one counts as a detection
_PATIENCE = 10.0  # seconds beyond four times what the module's tests take with nothing planted
_HURRIED = ("-p", "harness.hypothesis_quick")
PLANTED = re.compile(
    r"core/(ReplaceComparisonOperator_(Eq_NotEq|NotEq_Eq|Lt_LtE|LtE_Lt|Gt_GtE|GtE_Gt|Is_IsNot|IsNot_Is)"
    r"|ReplaceBinaryOperator_(Add_Sub|Sub_Add|Mul_FloorDiv|FloorDiv_Mul|Mod_FloorDiv|Pow_Mul"
    r"|BitAnd_BitOr|BitOr_BitAnd|BitXor_BitAnd|RShift_LShift|LShift_RShift)"
    r"|ReplaceUnaryOperator_(USub_UAdd|Delete_Not)|AddNot|ReplaceTrueWithFalse|ReplaceFalseWithTrue"
    r"|ReplaceAndWithOr|ReplaceOrWithAnd|ReplaceBreakWithContinue|ReplaceContinueWithBreak"
    r"|ExceptionReplacer|NumberReplacer|RemoveDecorator|ZeroIterationForLoop)"
)


def changed(base: str) -> list[str]:
    """Return the modules that changed since `base`."""
    words = ["git", "diff", "--name-only", "--diff-filter=d", base, "--", "runc_wrap"]
    names = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [name for name in names.split() if name.endswith(".py")]


def concerned(module: str, root: Path = ROOT) -> list[str]:
    """Return the unit tests that import a module by its name, those of the same name first."""
    dotted = module.removesuffix(".py").replace("/", ".")
    own = f"test_{Path(module).name}"
    tests = sorted((root / "tests/unit").rglob("test_*.py"), key=lambda one: one.name != own)
    return [str(one.relative_to(root)) for one in tests if dotted in _imported(one)]


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def copied(to: Path) -> Path:
    """Copy this checkout, in which a defect may be planted."""
    ignored = shutil.ignore_patterns(".git", ".venv*", "build", ".*_cache", ".hypothesis")
    return Path(shutil.copytree(ROOT, to, symlinks=True, ignore=ignored, dirs_exist_ok=True))


def detected(path: Path, text: str, tree: Path, tests: list[str], seconds: float = SECONDS) -> bool:
    """Return whether tests of a tree fail while a file of it has this text.

    Tests that take longer detect it. Raises SystemExit with pytest's words if there are no tests.
    """
    words = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    before = path.read_text()
    path.write_text(text)
    try:
        done = subprocess.run(
            words, cwd=tree, env=environment, capture_output=True, text=True, timeout=seconds,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return True
    finally:
        path.write_text(before)
    if done.returncode in (4, 5):  # pytest's: wrong words, no tests
        raise SystemExit(f"{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode != 0


def annotated(text: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return the spans of annotations, from and to, as (line, column)."""
    found: list[ast.expr | None] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.append(node.returns)
        elif isinstance(node, ast.arg | ast.AnnAssign):
            found.append(node.annotation)
    return [
        ((one.lineno, one.col_offset), (one.end_lineno or 0, one.end_col_offset or 0))
        for one in found
        if one is not None
    ]


def mutants(text: str) -> Iterator[str]:
    """Yield a module's text with one plausible defect each."""
    from cosmic_ray import ast as tree  # noqa: PLC0415 - of `make mutants` alone
    from cosmic_ray import mutating, plugins  # noqa: PLC0415

    spans, lines = annotated(text), text.splitlines()
    nodes = [*tree.ast_nodes(tree.get_ast(text))]
    for name in filter(PLANTED.fullmatch, plugins.operator_names()):
        operator = plugins.get_operator(name)()
        places = [place for node in nodes for place in operator.mutation_positions(node)]
        for number, (start, end) in enumerate(places):
            of_types = any(begin <= start and end <= stop for begin, stop in spans)
            if not of_types and "TYPE_CHECKING" not in lines[start[0] - 1]:
                yield mutating.mutate_code(text, operator, number)


def plant(module: str, until: float) -> tuple[bool, str]:
    """Plant defects in a module while there is time; return whether all were seen, and the words.

    They are each undetected defect as its place and its lines, and how many were seen.
    """
    tests = [*_HURRIED, *concerned(module)]
    if tests == [*_HURRIED]:
        return False, f"{module}: no unit test imports it\n"
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        tree = copied(Path(name))
        path, text, begun = tree / module, (tree / module).read_text(), time.monotonic()
        if detected(path, text, tree, tests):
            return False, f"{module}: its tests fail with nothing planted, or take too long\n"
        seconds = _PATIENCE + 4 * (time.monotonic() - begun)
        told, planted, seen, every = "", 0, 0, [*mutants(text)]
        while planted < len(every) and time.monotonic() < until:
            mutant, planted = every[planted], planted + 1
            if detected(path, mutant, tree, tests, seconds):
                seen += 1
            else:
                told += f"{module}\n{_difference(text, mutant)}\n"
    more = f", {len(every) - planted} not tried" if planted < len(every) else ""
    return seen == len(every), f"{told}{module}: {seen} of {planted} seen{more}\n"


def _difference(text: str, mutant: str) -> str:
    lines = [*difflib.unified_diff(text.split("\n"), mutant.split("\n"), lineterm="", n=0)][2:]
    place = lines[0].split()[1].lstrip("-").split(",")[0]
    return "\n".join([f"  line {place}", *(line for line in lines if not line.startswith("@@"))])


def main() -> int:
    """Run the program; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="mutants", description="Plants defects; lists the unseen."
    )
    parser.add_argument("--base", default="main", help="the commit to look for changes from")
    parser.add_argument("--minutes", type=float, default=20, help="for all of it")
    parser.add_argument("modules", nargs="*", help="instead of those that changed")
    given = parser.parse_args()
    until = time.monotonic() + given.minutes * 60
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(lambda one: plant(one, until), given.modules or changed(given.base)))
    sys.stdout.write("".join(told for _, told in found))
    return int(not all(is_well for is_well, _ in found))


if __name__ == "__main__":
    sys.exit(main())
