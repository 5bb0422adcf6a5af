"""`python -m bench.dashboard_picture FILE [SECONDS]`: Grafana's dashboard, as SVG.

Grafana could not be had where this is made, so the panels are drawn here: each at its place in
deploy/monitoring/dashboard.json, with the answers to its own queries. What Grafana does to them
beyond that (its fonts, colours, hovering) is not shown, and the picture says so.
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from bench import dashboard_scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.dashboard_scene import Answered, Shown

DASHBOARD = Path(__file__).resolve().parents[1] / "deploy" / "monitoring" / "dashboard.json"
SECONDS = 240.0
CELL, ROW, GAP, FOOT = 50, 36, 8, 62  # pixels of Grafana's grid, of 24 columns
COLOURS = ("#54a24b", "#eeca3b", "#4c78a8", "#f58518", "#e45756", "#b279a2", "#9d755d", "#72b7b2")
STATES = {"green": "#3a8f3a", "red": "#d2413a"}
LINE, LETTER, TITLE = 17, 6.1, 22
LEFT, BOTTOM = 44, 42  # of a curve's axes
CAPTION = (
    "Drawn by bench/dashboard_picture.py, not by Grafana, from deploy/monitoring/dashboard.json:",
    "each panel at its place, with what a real Prometheus answered that had scraped a real agent",
    "for {seconds:.0f} s, in which {containers} containers were created.",
)


def main() -> None:
    """Run the node and write the picture."""
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else SECONDS  # noqa: PLR2004 - an optional word
    found = dashboard_scene.shown(json.loads(DASHBOARD.read_text()), seconds)
    Path(sys.argv[1]).write_text(drawn(found))


def drawn(found: Shown) -> str:
    """Return the picture."""
    grids = [one.panel["gridPos"] for one in found.panels]
    width = 24 * CELL
    height = max(one["y"] + one["h"] for one in grids) * ROW + FOOT
    font = 'font-family="DejaVu Sans, Arial, sans-serif" font-size="11"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {font}>',
        f'<rect width="{width}" height="{height}" fill="#f4f5f5"/>',
    ]
    for one in found.panels:
        lines += _panel(one, (found.begin, found.end))
    values = {"seconds": found.end - found.begin, "containers": found.containers}
    for at, line in enumerate(CAPTION):
        lines.append(_text(GAP, height - FOOT + 18 + at * LINE, line.format(**values), "#444"))
    return "\n".join([*lines, "</svg>", ""])


def _panel(one: Answered, span: tuple[float, float]) -> Iterator[str]:
    grid = one.panel["gridPos"]
    x, y = grid["x"] * CELL + GAP / 2, grid["y"] * ROW + GAP / 2
    width, height = grid["w"] * CELL - GAP, grid["h"] * ROW - GAP
    yield f'<svg x="{x:g}" y="{y:g}" width="{width}" height="{height}">'
    yield f'<rect width="{width}" height="{height}" rx="3" fill="white" stroke="#d8d9da"/>'
    yield _text(10, 17, _fitted(one.panel["title"], width - 16), "#222", "font-weight='bold'")
    draw = {"stat": _stat, "table": _table, "timeseries": _curves}[one.panel["type"]]
    yield from draw(one, width, height, span)
    yield "</svg>"


def _text(x: float, y: float, words: str, colour: str = "#333", more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" {more}>{escape(words)}</text>'


def _fitted(words: str, width: float) -> str:
    most = max(int(width / LETTER), 1)
    return words if len(words) <= most else f"{words[: most - 1]}…"


def _number(value: float) -> str:
    return f"{value:.0f}" if value == round(value) else f"{value:.3g}"


def _stat(one: Answered, width: int, height: int, _: tuple[float, float]) -> Iterator[str]:
    """Draw the last value, in the colour of the threshold that it has reached."""
    if not one.series:
        yield _text(10, height / 2, "No data", "#888")
        return
    value = one.series[0][2][-1][1]
    steps = one.panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    reached = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    more = "font-size='40' text-anchor='middle'"
    yield _text(width / 2, height / 2 + 24, _number(value), STATES[reached[-1]], more)


def _table(one: Answered, width: int, height: int, _: tuple[float, float]) -> Iterator[str]:
    """Draw the largest values first, as many rows as fit."""
    rows = sorted(one.series, key=lambda row: -row[2][-1][1])
    names = sorted({name for labels, _, _ in rows for name in labels})
    cells = [[*names, "Value"]]
    cells += [[*(r[0].get(name, "") for name in names), _number(r[2][-1][1])] for r in rows]
    longest = [max(len(row[at]) for row in cells) + 2 for at in range(len(names) + 1)]
    places = [
        10 + (width - 20) * sum(longest[:at]) / sum(longest) for at in range(len(longest) + 1)
    ]
    for number, row in enumerate(cells[: int((height - TITLE - 10) / LINE)]):
        y = TITLE + 18 + number * LINE
        more = "font-weight='bold'" if number == 0 else ""
        for at, cell in enumerate(row):
            yield _text(places[at], y, _fitted(cell, places[at + 1] - places[at]), "#333", more)
        yield f'<path d="M10 {y + 5} H{width - 10}" stroke="#e6e6e6"/>'


def _curves(one: Answered, width: int, height: int, span: tuple[float, float]) -> Iterator[str]:
    """Draw each series as a line, with its name beneath."""
    right, foot = width - 12, height - BOTTOM
    most = _ceiling(max((v for _, _, points in one.series for _, v in points), default=0))
    unit = "/s" if one.panel["fieldConfig"]["defaults"]["unit"] == "cps" else ""
    for part in range(5):
        y = foot - (foot - TITLE - 12) * part / 4
        yield f'<path d="M{LEFT} {y:.1f} H{right}" stroke="#e6e6e6"/>'
        label = _number(most * part / 4) + unit
        yield _text(LEFT - 5, y + 4, label, "#666", "text-anchor='end' font-size='9'")
    for part in range(5 if width > 300 else 2):  # noqa: PLR2004 - a narrow panel has room for two
        share = part / (4 if width > 300 else 1)  # noqa: PLR2004 - the same
        at = time.strftime("%H:%M:%S", time.gmtime(span[0] + (span[1] - span[0]) * share))
        x = LEFT + (right - LEFT) * share
        anchor = "end" if share == 1 else "middle" if share else "start"
        yield _text(x, foot + 13, at, "#666", f"text-anchor='{anchor}' font-size='9'")
    begin, end = span
    x = float(LEFT)
    for number, (_, name, points) in enumerate(sorted(one.series, key=lambda row: row[1])):
        colour = COLOURS[number % len(COLOURS)]
        places = " ".join(
            f"{LEFT + (right - LEFT) * (at - begin) / (end - begin):.1f},"
            f"{foot - (foot - TITLE - 12) * value / most:.1f}"
            for at, value in points
        )
        yield f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        shown = _fitted(name or "Value", right - x - 14)
        if right - x > 4 * LETTER:
            yield f'<rect x="{x}" y="{foot + 22}" width="9" height="4" fill="{colour}"/>'
            yield _text(x + 13, foot + 28, shown)
        x += 13 + LETTER * 1.1 * len(shown) + 12


def _ceiling(value: float) -> float:
    """Return the next of 1, 2, 5 and 10 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * one for one in (1, 2, 5, 10) if power * one >= value)


if __name__ == "__main__":
    main()
