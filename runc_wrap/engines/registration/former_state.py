"""A registration as earlier builds of 0.2.0 wrote it: with each edit, and its place in the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runc_wrap.engines import engine_files, marked_text

Json = dict[str, Any]
FORMAT = 1


def carried_over(found: Json) -> Json:
    """Return it in the form of today. Raises EngineError, and KeyError and the like for another."""
    return {
        **found,
        "handlers": [*found["handlers"], *found.get("kept", [])],
        "files": {path: _saved(path, each) for path, each in found["files"].items()},
    }


def _saved(path: str, recorded: Json) -> Json:
    """Return the file's text without the edits of its newest version, and as it is now."""
    now = engine_files.read(Path(path)) or ""
    before = now
    for edit in reversed(recorded["versions"][-1]["edits"]):
        if edit["mark"] in before and (edit["kind"] != "base" or before == edit["new"]):
            before = _undone(before, edit, path)
    return {"before": before if before or recorded["existed"] else None, "after": now}


def _undone(text: str, edit: Json, where: str) -> str:
    old, new, start = str(edit["old"]), str(edit["new"]), int(edit["offset"])
    if not text.startswith(new, start):
        if text.count(new) != 1:
            raise marked_text.changed(where, new, text[text.index(edit["mark"]) :][:2000])
        start = text.index(new)
    return text[:start] + old + text[start + len(new) :]
