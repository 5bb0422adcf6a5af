"""Plants defects in the modules that changed, and lists those that no unit test detects.

    python -m tests.mutants --base main [--minutes 20] [MODULE...]

cosmic-ray plants one at a time, in a copy of the tree, and runs the unit tests that import the
module by name: a defect that only other tests would detect counts as undetected. Implausible
defects (+ for **) and those in type annotations are not planted. Defects for which there was no
time are listed. Exits with 1 if a defect was not detected.
"""

import argparse
import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 300  # for the tests without a defect
_PATIENCE = 10.0  # seconds beyond four times their duration: a hanging test counts as a detection
AT_ONCE = 2
PLANTED = re.compile(
    r"core/(ReplaceComparisonOperator_(Eq_NotEq|NotEq_Eq|Lt_LtE|LtE_Lt|Gt_GtE|GtE_Gt|Is_IsNot|IsNot_Is)"
    r"|ReplaceBinaryOperator_(Add_Sub|Sub_Add|Mul_FloorDiv|FloorDiv_Mul|Mod_FloorDiv|Pow_Mul"
    r"|BitAnd_BitOr|BitOr_BitAnd|BitXor_BitAnd|RShift_LShift|LShift_RShift)"
    r"|ReplaceUnaryOperator_(USub_UAdd|Delete_Not)|AddNot|ReplaceTrueWithFalse|ReplaceFalseWithTrue"
    r"|ReplaceAndWithOr|ReplaceOrWithAnd|ReplaceBreakWithContinue|ReplaceContinueWithBreak"
    r"|ExceptionReplacer|NumberReplacer|RemoveDecorator|ZeroIterationForLoop)"
)
CONFIG = """[cosmic-ray]
module-path = "{module}"
timeout = {seconds}
excluded-modules = []
test-command = "{python} -m pytest -q -x -p no:cacheprovider -p harness.hypothesis_quick {tests}"
[cosmic-ray.distributor]
name = "local"
"""


class ToolError(Exception):
    """The tool failed; the message is its own."""


@dataclass
class Told:
    """The result for one module; `unseen` are the undetected defects, each as a few lines."""

    module: str
    planted: int = 0
    seen: int = 0
    left: int = 0
    unseen: list[str] = field(default_factory=list)
    trouble: str = ""


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


def plant(module: str, until: float) -> Told:
    """Plant defects in one module while there is time."""
    told = Told(module)
    tests = concerned(module)
    if not tests:
        told.trouble = "no unit test imports it"
        return told
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        copy = Path(name) / "tree"
        ignored = shutil.ignore_patterns(".git", ".venv*", "build", ".*_cache", ".hypothesis")
        shutil.copytree(ROOT, copy, symlinks=True, ignore=ignored)
        try:
            _configure(copy, module, tests, SECONDS)
            begun = time.monotonic()
            _run(copy, until, "baseline", "mutants.toml")
            _configure(copy, module, tests, _PATIENCE + 4 * (time.monotonic() - begun))
            _run(copy, until, "init", "mutants.toml", "mutants.sqlite")
            _leave_out(copy, module)
            _run(copy, until, "exec", "mutants.toml", "mutants.sqlite")
        except subprocess.TimeoutExpired:
            told.trouble = "the time was too short"
        except ToolError as error:  # the tests fail with nothing planted, say
            told.trouble = str(error)
        if (copy / "mutants.sqlite").exists():
            _take(told, copy)
    return told


def _configure(copy: Path, module: str, tests: list[str], seconds: float) -> None:
    given = {"module": module, "seconds": seconds, "tests": " ".join(tests)}
    (copy / "mutants.toml").write_text(CONFIG.format(**given, python=sys.executable))


def _run(copy: Path, until: float, *words: str) -> None:
    tool = Path(sys.executable).with_name("cosmic-ray")
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    left = max(until - time.monotonic(), 1)
    done = subprocess.run(
        [tool, *words], cwd=copy, env=environment, capture_output=True, text=True, timeout=left,
        check=False,
    )  # fmt: skip
    if done.returncode:
        said = (done.stdout + done.stderr).replace("\\n", "\n")
        raise ToolError(f"cosmic-ray {words[0]}: {said[-2000:]}")


def _leave_out(copy: Path, module: str) -> None:
    from cosmic_ray.work_db import WorkDB, use_db  # noqa: PLC0415 - it loads sqlalchemy, for one command
    from cosmic_ray.work_item import WorkerOutcome, WorkResult  # noqa: PLC0415

    text = (copy / module).read_text()
    spans, lines = annotated(text), text.splitlines()
    with use_db(str(copy / "mutants.sqlite"), WorkDB.Mode.open) as known:
        for item in list(known.pending_work_items):
            (one,) = item.mutations
            of_types = any(begin <= one.start_pos and one.end_pos <= end for begin, end in spans)
            of_types = of_types or "TYPE_CHECKING" in lines[one.start_pos[0] - 1]
            if of_types or not PLANTED.fullmatch(one.operator_name):
                known.set_result(item.job_id, WorkResult(worker_outcome=WorkerOutcome.SKIPPED))


def _take(told: Told, copy: Path) -> None:
    from cosmic_ray.work_db import WorkDB, use_db  # noqa: PLC0415

    with use_db(str(copy / "mutants.sqlite"), WorkDB.Mode.open) as known:
        told.left = len(list(known.pending_work_items))
        for _, result in known.results:
            if result.worker_outcome != "skipped":
                told.planted += 1
                told.seen += bool(result.is_killed)
                if not result.is_killed:
                    told.unseen.append(_shown(result))


def _shown(result: Any) -> str:
    """Return a defect as its place and its two lines."""
    lines = (result.diff or "").splitlines()
    place = next((line.split()[1] for line in lines if line.startswith("@@")), "?")
    edits = [line for line in lines if re.match(r"[-+](?![-+]{2} )", line)]
    return "\n".join([f"  about line {place.lstrip('-').split(',')[0]}", *edits])


def main() -> int:
    """Run the program; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="mutants", description="Plants defects; lists the unseen."
    )
    parser.add_argument(
        "--base", default="main", help="the commit that changes are looked for from"
    )
    parser.add_argument("--minutes", type=float, default=20, help="for all of it")
    parser.add_argument("modules", nargs="*", help="instead of those that changed")
    given = parser.parse_args()
    until = time.monotonic() + given.minutes * 60
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(lambda one: plant(one, until), given.modules or changed(given.base)))
    for told in found:
        for one in sorted(told.unseen):
            sys.stdout.write(f"{told.module}\n{one}\n")
    for told in found:
        more = f", {told.left} not tried" if told.left else ""
        more += f" ({told.trouble})" if told.trouble else ""
        sys.stdout.write(f"{told.module}: {told.seen} of {told.planted} seen{more}\n")
    return int(any(told.unseen or told.trouble for told in found))


if __name__ == "__main__":
    sys.exit(main())
