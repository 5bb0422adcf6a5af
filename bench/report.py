"""Two tables as text, for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.measure import numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.rows import Row
    from harness.measure.numbers import Rounds

NOTE = f"""\
Each variant ends with the same linux.seccomp in config.json; a bare runtime is given it beforehand.
Every measurement rests {numbers.PAUSE * 1e3:.0f} ms first, but for "back to back" and 100 at once.
"undecided": the interval lies on both sides of the bound. "stated": nothing was promised of it.
The agent's evidence part wakes four times a second while programs start on the machine, for each
while a container is in audit or enforce-log: its CPU at rest is none only while nothing starts."""


def aligned(lines: list[list[str]]) -> str:
    """Return the cells as columns, each as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def table(rows: list[Row]) -> str:
    """Return the promised figures, each with its verdict."""
    head = ["measure", "bound", "measured: median [95 % interval]", ""]
    return aligned([head, *([row.measure, row.must, row.figure, row.verdict] for row in rows)])


def medians(commands: dict[str, dict[str, Rounds]]) -> str:
    """Return each command's times in each way, and how they compare within a round."""
    head = ["runtime", "command", "way", "ms: median [quartiles]", "added ms", "ratio"]
    lines = [
        [runtime, command, *line]
        for runtime, of_runtime in commands.items()
        for command, rounds in of_runtime.items()
        for line in _lines(rounds)
    ]
    return aligned([head, *lines])


def _lines(rounds: Rounds) -> Iterator[list[str]]:
    for way in (way for way in ("bare", "shell", "cold", "agent") if way in rounds[0]):
        found = numbers.summary(numbers.column(rounds, way))
        added = numbers.summary(numbers.differences(rounds, way, "bare")).median
        ratio = numbers.summary(numbers.ratios(rounds, way, "bare")).median
        yield [
            way,
            f"{found.median * 1e3:7.2f} [{found.low * 1e3:.2f} {found.high * 1e3:.2f}]",
            "" if way == "bare" else f"{added * 1e3:+.2f}",
            "" if way == "bare" else f"{ratio:.3f}",
        ]
