"""Lists what the product promises: commands, options, settings, states, rows of the documents.

    python -m tests.defects.promises            prints what promises.txt has and is no longer there
    python -m tests.defects.promises --write    writes promises.txt

What is printed was lost, or went by a decision: then its rows are deleted here.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from runc_wrap.cli import root_command
from runc_wrap.cluster import next_step
from runc_wrap.doctor.checks import CHECKS
from runc_wrap.policy.settings import schema

ROOT = Path(__file__).resolve().parents[2]
KEPT = Path(__file__).with_name("promises.txt")
_WITHOUT = ("policy-reference.md", "measurements.md")  # settings come from the schema
_METRIC = re.compile(r'"(runc_wrap_[a-z0-9_]+)"')


def promises() -> list[str]:
    """Return one line for each."""
    found = [f"command {each}" for each in _commands(root_command.main, "runc-wrapctl")]
    found += [f"setting {name} takes {one.kind.takes}" for name, one in schema.BY_NAME.items()]
    found += [f"state {each}" for each in next_step.STATES]
    found += [f"check {each}" for each in CHECKS]
    texts = [path.read_text() for path in (ROOT / "runc_wrap").rglob("*.py")]
    found += [f"metric {each}" for each in sorted({m for t in texts for m in _METRIC.findall(t)})]
    for path in sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")]):
        if path.name not in _WITHOUT:
            found += [f"{path.name} {row}" for row in _rows(path.read_text())]
    return found


def _commands(command: click.Command, name: str) -> Iterator[str]:
    yield name
    for parameter in command.params:
        yield f"{name} {' '.join(parameter.opts) if parameter.opts else parameter.name}"
    if isinstance(command, click.Group):
        context = click.Context(command)
        for each in command.list_commands(context):
            if found := command.get_command(context, each):
                whole = found.loaded() if isinstance(found, root_command.Lazy) else found
                yield from _commands(whole, f"{name} {each}")


def _rows(text: str) -> Iterator[str]:
    """Yield the first cell of each row of each table, without its head."""
    lines = text.splitlines()
    for before, line in zip(["", *lines], lines, strict=False):
        if line.startswith("|") and not set(line) <= set("|-: ") and before.startswith("|"):
            yield line.strip("|").split(" | ")[0].strip()


def run(words: list[str]) -> int:
    """Print what is gone, or write the list; return the exit status."""
    if words == ["--write"]:
        KEPT.write_text("\n".join(promises()) + "\n")
        return 0
    now = set(promises())
    gone = [line for line in KEPT.read_text().splitlines() if line not in now]
    sys.stdout.write("".join(f"{line}\n" for line in gone))
    return int(bool(gone))


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
