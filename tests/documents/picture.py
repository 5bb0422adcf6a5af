"""docs/architecture.svg: the rooms with who imports whom, and the two ways through them."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from tests.documents.architecture import PACKAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.documents.architecture import Code, Room

    Drawing = Callable[[Code, int], tuple[list[str], int]]

WIDTH, MARGIN = 1100, 20
ROW, CELL = 34, 26  # a room; a column of the table of imports
STEP_WIDTH, STEP_HEIGHT, GAP = 200, 48, 15  # a step of a way
STEPS_A_LINE = 5
TITLE = 40
COLOURS = (
    "#4c78a8", "#f58518", "#54a24b", "#e45756", "#72b7b2", "#b279a2", "#9d755d", "#eeca3b",
    "#ff9da6", "#79706e", "#3f6d9c", "#8cd17d", "#86bcb6", "#d37295",
)  # fmt: skip
_STYLE = (
    "text{font:13px sans-serif;fill:#222}.title{font:bold 15px sans-serif}.name{font-weight:bold}"
    ".small{font-size:11px;fill:#555}"
)


def svg(code: Code) -> str:
    """Return the picture."""
    parts: list[str] = []
    top = MARGIN
    for draw in (_rooms, *(_way(title) for title in code.ways)):
        drawn, top = draw(code, top)
        parts += drawn
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" '
        f'viewBox="0 0 {WIDTH} {top}">'
    )
    background = f'<rect width="{WIDTH}" height="{top}" fill="#fff"/>'
    return "\n".join([head, f"<style>{_STYLE}</style>", background, *parts, "</svg>\n"])


def _rooms(code: Code, top: int) -> tuple[list[str], int]:
    """Draw a line for each room, and in it a dot for each room that it imports."""
    rooms = code.rooms
    left = WIDTH - 2 * MARGIN - CELL * len(rooms)  # the last name slants beyond its column
    parts = [_text(MARGIN, top + 15, "The rooms: a dot where the row imports the column", "title")]
    top += TITLE + 70
    for column, room in enumerate(rooms):
        x = left + CELL * column + CELL // 2 + 4
        parts.append(
            f'<text transform="translate({x} {top - 8}) rotate(-60)">{escape(room.name)}</text>'
        )
    for row, room in enumerate(rooms):
        parts += _room(room, top + ROW * row, left, _colour(code, room.name))
        for column, other in enumerate(rooms):
            parts.append(_mark(code, room, other, left + CELL * column, top + ROW * row))
    return parts, top + ROW * len(rooms) + MARGIN


def _room(room: Room, y: int, table: int, colour: str) -> Iterator[str]:
    width = table - MARGIN - 10
    yield _box(MARGIN, y + 2, width, ROW - 4, colour)
    yield _text(MARGIN + 12, y + 22, room.name, "name")
    line = textwrap.shorten(room.line, (width - 110) // 6, placeholder=" …")
    yield _text(MARGIN + 100, y + 22, line, "small")


def _mark(code: Code, room: Room, other: Room, x: int, y: int) -> str:
    frame = f'<rect x="{x}" y="{y + 2}" width="{CELL - 2}" height="{ROW - 4}" fill="#f4f4f4"/>'
    if room is other:
        return frame.replace("#f4f4f4", _colour(code, room.name))
    if (room.name, other.name) not in code.imports:
        return frame
    return f'{frame}<circle cx="{x + CELL // 2 - 1}" cy="{y + ROW // 2}" r="5" fill="#333"/>'


def _way(title: str) -> Drawing:
    def draw(code: Code, top: int) -> tuple[list[str], int]:
        parts = [_text(MARGIN, top + 15, title, "title")]
        top += TITLE
        for number, path in enumerate(code.ways[title]):
            line, place = divmod(number, STEPS_A_LINE)
            x = MARGIN + place * (STEP_WIDTH + GAP)
            y = top + line * (STEP_HEIGHT + GAP)
            parts += _step(code, path, number + 1, x, y)
        lines = -(-len(code.ways[title]) // STEPS_A_LINE)
        return parts, top + lines * (STEP_HEIGHT + GAP) + MARGIN

    return draw


def _step(code: Code, path: Path, number: int, x: int, y: int) -> Iterator[str]:
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    yield _box(x, y, STEP_WIDTH, STEP_HEIGHT, _colour(code, room))
    yield _text(x + 8, y + 18, f"{number}. {path.parent.relative_to(PACKAGE)}", "small")
    yield _text(x + 8, y + 37, path.name.removesuffix(".py"), "name")
    if number > 1 and (number - 1) % STEPS_A_LINE:
        arrow = f"M{x - GAP + 2} {y + STEP_HEIGHT // 2}h{GAP - 4}m-5 -4l5 4l-5 4"
        yield f'<path d="{arrow}" stroke="#333" fill="none"/>'


def _colour(code: Code, name: str) -> str:
    names = [room.name for room in code.rooms]
    return COLOURS[names.index(name) % len(COLOURS)]


def _box(x: int, y: int, width: int, height: int, colour: str) -> str:
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="4" fill="{colour}" '
        f'fill-opacity="0.15" stroke="{colour}"/>'
    )


def _text(x: int, y: int, text: str, kind: str) -> str:
    return f'<text x="{x}" y="{y}" class="{kind}">{escape(text)}</text>'
