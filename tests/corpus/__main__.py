"""`make corpus-report`: the whole corpus on both runtimes; counts, and build/corpus/report.json.

Exit status 1 means that something is missed, invented or wrongly safe for an unknown reason.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from harness.host.processes import run, short_directory
from harness.node import install
from harness.node.requirements import is_there
from tests.corpus import figures, measure, nodes
from tests.corpus.catalogue import CATALOGUE, KINDS
from tests.corpus.measure import LOOKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.corpus.catalogue import Entry
    from tests.corpus.measure import Measured

RUNTIMES = ("runc", "crun")
_WORST = ("missed", "invented", "wrongly safe")


def sample(count: int, seed: int) -> list[Entry]:
    """Return a sample of the corpus without known faults, at least one of every class.

    A hash of each name chooses it: an added or removed program changes one place, not all.
    """

    def place(entry: Entry) -> bytes:
        return hashlib.sha256(f"{seed} {entry.name}".encode()).digest()

    whole = sorted((entry for entry in CATALOGUE if not entry.why), key=place)
    first = [next(entry for entry in whole if entry.kind == kind) for kind in KINDS]
    rest = [entry for entry in whole if entry not in first]
    return first + rest[: max(0, count - len(first))]


def main() -> int:
    """Run, print, write."""
    words, head = _words(), _head()
    entries = [one for one in _chosen(words) if is_there(*one.needs.split())]
    absent = [one.name for one in _chosen(words) if one not in entries]
    with tempfile.TemporaryDirectory(prefix="rw-corpus-", dir="/tmp") as scratch:
        found = measured(entries, words.runtimes, Path(scratch))
    wrong = [miss for kind, each in found.items() for miss in figures.misses(kind, entries, each)]
    counts = {f"{k} {m}": figures.counted(m, each) for k, each in found.items() for m in LOOKING}
    _say("\n".join([head, *map(": ".join, counts.items()), *(one.sentence for one in wrong)]))
    _say(f"not installed: {', '.join(absent) or 'nothing'}")
    document = {
        "measured": head,
        "counts": counts,
        "misses": [one._asdict() for one in wrong],
        "absent": absent,
        "programs": {
            kind: {name: asdict(one) for name, one in each.items()} for kind, each in found.items()
        },
    }
    words.output.mkdir(parents=True, exist_ok=True)
    (words.output / "report.json").write_text(json.dumps(document, indent=1, default=sorted))
    return int(any(one.kind in _WORST and not one.is_told for one in wrong))


def _head() -> str:
    """Return the day and the measured commit, with a + if files differ from it."""
    commit = run(["git", "describe", "--always", "--dirty=+", "--exclude=*"]).stdout.strip()
    return f"{time.strftime('%Y-%m-%d', time.gmtime())}, commit {commit}"


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a command's output


def _words() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", help="programs by name")
    parser.add_argument("--sample", type=int, help="so many, of every class one at least")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runtimes", nargs="*", default=RUNTIMES)
    parser.add_argument("--output", type=Path, default=Path("build/corpus"))
    return parser.parse_args()


def _chosen(words: argparse.Namespace) -> Sequence[Entry]:
    if words.only:
        return [entry for entry in CATALOGUE if entry.name in words.only]
    return sample(words.sample, words.seed) if words.sample else CATALOGUE


def measured(
    entries: Sequence[Entry], runtimes: Sequence[str], scratch: Path
) -> dict[str, dict[str, Measured]]:
    """Measure on each runtime, one after the other: each has its own node and agent."""
    files = measure.build(scratch / "built")
    if any("main" in entry.files.split() for entry in entries):
        files["main"] = measure.build_go(scratch)
    installed = install.install(scratch / "prefix")
    found = {}
    for kind in runtimes:
        own = install.copy_of(installed, scratch / kind / "prefix")
        with short_directory(kind) as place, nodes.running(kind, own, place) as node:
            found[kind] = measure.Bench(node, files, _say).measure(entries)
    return found


if __name__ == "__main__":
    sys.exit(main())
