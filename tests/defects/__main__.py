"""Plants each defect of defects.toml in a copy of the tree, one at a time, and runs tests on it.

    python -m tests.defects [--list] [NUMBER...] [-- TESTS...]

Without tests, the unit tests that import the module, and then those of its room.
A test that takes ten minutes notices the defect, too. Prints a line for each; exits
with 1 if one was not seen.
"""

import argparse
import sys
import tempfile
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.mutants import concerned, copied, detected

DATA = Path(__file__).with_name("defects.toml")
_PRODUCT = (*(f"runc_wrap/**/*.{end}" for end in ("py", "[ch]", "sh")), "hooks/*", "install.sh")
SEEN, UNSEEN, GONE, UNREACHED = "seen", "not seen", "place is gone", "no test reaches it"


@dataclass(frozen=True)
class Defect:
    """One defect: `new` replaces `old` in `file`; `seen` is what a user would meet."""

    number: int
    file: str
    old: str
    new: str
    seen: str
    drawn: int = 0

    def place(self, tree: Path) -> Path | None:
        """Return the file of a tree that has it: the named one, or the only other; None if gone."""
        named = tree / self.file
        others = [path for each in _PRODUCT for path in tree.glob(each) if path.is_file()]
        for group in ([named] if named.exists() else [], others):
            found = [path for path in group if path.read_text().count(self.old) == 1]
            if len(found) == 1:
                return found[0]
        return None


def defects() -> list[Defect]:
    """Return all of them, numbered from 1."""
    found = tomllib.loads(DATA.read_text())["defect"]
    return [Defect(number, **one) for number, one in enumerate(found, 1)]


def tried(defect: Defect, tree: Path, tests: list[str]) -> str:
    """Plant a defect, run the tests, take it out again; return what came of it."""
    path = defect.place(tree)
    if path is None:
        return GONE
    name = path.relative_to(tree)
    if not tests:
        tests = [*concerned(str(name), tree), *_of_room(name.parts[1], tree)]
    if not tests:
        return UNREACHED
    text = path.read_text().replace(defect.old, defect.new)
    return SEEN if detected(path, text, tree, tests) else UNSEEN


def _of_room(room: str, tree: Path) -> list[str]:
    places = (f"tests/unit/{room}", f"tests/{room}")  # the launcher's are in the second
    return [place for place in places if (tree / place).is_dir()]


def main() -> int:
    """Run the program; return the exit status."""
    parser = argparse.ArgumentParser(prog="defects", description="Plants the kept defects.")
    parser.add_argument("--list", action="store_true", help="list them, plant none")
    parser.add_argument("words", nargs="*", help="numbers, then -- and tests")
    own, _, tests = " ".join(sys.argv[1:]).partition(" -- ")
    given = parser.parse_args(own.split())
    chosen = [one for one in defects() if not given.words or str(one.number) in given.words]
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="defects-") as name:
        tree = copied(Path(name))
        for one in chosen:
            if given.list:
                came = "there" if one.place(tree) else GONE
            else:
                came = tried(one, tree, tests.split())
            counts[came] += 1
            sys.stdout.write(f"{one.number:3} {came}: {one.file}: {one.seen}\n")
            sys.stdout.flush()
    sys.stdout.write(", ".join(f"{many} {came}" for came, many in counts.items()) + "\n")
    return int(bool(counts[UNSEEN] or counts[UNREACHED]))


if __name__ == "__main__":
    sys.exit(main())
