"""The table as text, for a person."""

from bench.rows import Row
from harness.measure import numbers

NOTE = f"""\
Each variant ends with the same linux.seccomp in config.json; a bare runtime is given it beforehand.
Every measurement rests {numbers.PAUSE * 1e3:.0f} ms first, but for 100 at once.
"undecided": the interval lies on both sides of the bound. "stated": nothing was promised of it."""


def table(rows: list[Row]) -> str:
    """Return the figures, each with its verdict, in columns as wide as their widest cell."""
    head = ["measure", "bound", "measured: median [95 % interval]", ""]
    lines = [head, *([row.measure, row.must, row.figure, row.verdict] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
