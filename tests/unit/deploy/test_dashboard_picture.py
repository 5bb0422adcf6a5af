"""The dashboard's picture: every panel of the JSON at its place, and what it was answered."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

DOCS = Path(__file__).resolve().parents[3] / "docs"
DASHBOARD = DOCS.parent / "deploy" / "monitoring" / "dashboard.json"
SVG = "{http://www.w3.org/2000/svg}"
CELL, ROW, GAP = 50, 36, 8


def _words(element: ET.Element) -> list[str]:
    return [one.text or "" for one in element.iter(f"{SVG}text")]


def test_the_picture_has_each_panel_where_grafana_puts_it() -> None:
    """It is drawn again by `make dashboard-picture` when the dashboard is changed."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    root = ET.parse(DOCS / "dashboard.svg").getroot()  # noqa: S314 - ours
    drawn = root.findall(f"{SVG}svg")
    assert len(drawn) == len(panels)
    for panel, element in zip(panels, drawn, strict=True):
        grid = panel["gridPos"]
        place = [float(element.attrib[name]) for name in ("x", "y", "width", "height")]
        assert place == [
            grid["x"] * CELL + GAP / 2,
            grid["y"] * ROW + GAP / 2,
            grid["w"] * CELL - GAP,
            grid["h"] * ROW - GAP,
        ], panel["title"]
        title = _words(element)[0].removesuffix("…")
        assert panel["title"].startswith(title)


@pytest.mark.parametrize("title", ["Nodes", "Opted out"])
def test_a_number_was_answered(title: str) -> None:
    root = ET.parse(DOCS / "dashboard.svg").getroot()  # noqa: S314 - ours
    (panel,) = (one for one in root.findall(f"{SVG}svg") if _words(one)[0] == title)
    assert float(_words(panel)[1]) > 0


def test_it_says_that_grafana_did_not_draw_it() -> None:
    root = ET.parse(DOCS / "dashboard.svg").getroot()  # noqa: S314 - ours
    caption = " ".join(one.text or "" for one in root.findall(f"{SVG}text"))
    assert "not by Grafana" in caption
    assert re.search(r"for \d+ s, in which [1-9]\d* containers were created", caption)


def test_every_curve_that_is_drawn_lies_within_its_panel() -> None:
    root = ET.parse(DOCS / "dashboard.svg").getroot()  # noqa: S314 - ours
    curves = 0
    for panel in root.findall(f"{SVG}svg"):
        width, height = (float(panel.attrib[name]) for name in ("width", "height"))
        for line in panel.iter(f"{SVG}polyline"):
            curves += 1
            for point in line.attrib["points"].split():
                x, y = map(float, point.split(","))
                assert 0 <= x <= width, line.attrib["points"]
                assert 0 <= y <= height, line.attrib["points"]
    assert curves >= 8
