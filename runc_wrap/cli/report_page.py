"""Writes the page of `report --html`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from runc_wrap import safe_text, time_text
from runc_wrap.cli import output

if TYPE_CHECKING:
    from pathlib import Path

    from runc_wrap.node.paths import Places

Json = dict[str, Any]


def write(page: Path, documents: list[Json], places: Places, meta: Json) -> None:
    """Write a page of these workloads; `meta` as report.html has it, without what is of here."""
    from runc_wrap.report.html import render  # noqa: PLC0415 - only the page needs Jinja2

    here = {
        "generated": time_text.rfc3339(time.time()),
        "policy": str(places.config),
        "profiles": str(places.profiles),
    }
    page.write_text(render(documents, {**here, **meta}), encoding="utf-8")


def say(page: Path, documents: list[Json]) -> None:
    """Say on stderr that it is written."""
    output.warn(f"{safe_text.number(len(documents), 'workload')} in {page}")
