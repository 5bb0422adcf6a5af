"""The corpus from catalogue.toml: what each program is, and how it is run.

A third has a class (`Entry.kind`) that makes evidence hard to collect. Our own programs are in
programs/ and in the container's /work.
"""

import hashlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from runc_wrap.profiles import syscall_names
from runc_wrap.profiles.abis import ABIS, X32_BIT

OWN = ("inner", "brief", "threads", "spaces", "signals", "bits32", "calls")
_NUMBER = re.compile(r"@(?:(x86_64|x32|x86):)?([a-z]\w+)")


class Entry(NamedTuple):
    """One program; catalogue.toml explains the fields."""

    name: str
    kind: str
    script: str
    needs: str = ""
    how: str = ""
    caps: str = ""
    files: str = ""
    varies: str = ""
    outranked: str = ""
    why: str = ""

    @property
    def words(self) -> str:
        """The script with the numbers of calls in it, its output one stream, as it was written."""
        return "exec 2>&1\n" + _NUMBER.sub(_number, self.script)

    @property
    def programs(self) -> list[str]:
        """Which of our own programs it runs."""
        return [name for name in OWN if re.search(rf"(^|\s)/work/{name}\s", self.script)]


def _number(found: re.Match[str]) -> str:
    number = syscall_names.numbers(ABIS[found[1] or "x86_64"]).get(found[2])
    return found[0] if number is None else str(number & ~X32_BIT)


def _entries() -> Iterator[Entry]:
    table = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())
    for kind, programs in table.items():
        for name, one in programs.items():
            words = {"run": one} if isinstance(one, str) else dict(one)
            yield Entry(name, kind, words.pop("run"), **words)


CATALOGUE = tuple(_entries())
KINDS = tuple(dict.fromkeys(entry.kind for entry in CATALOGUE))


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
