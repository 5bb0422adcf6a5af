"""Whether a create can be decided without the agent: the release's interpreter and hot path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap import safe_text
from runc_wrap.doctor import remedies
from runc_wrap.doctor.remedies import Finding
from runc_wrap.host import ownership, program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runc_wrap.node.paths import Places

NAME = "cold-create"
_SECONDS = 30.0  # a start takes 0.03
_FEW = 300  # characters of a reason
_INTERPRETER = ("-I", "-S", "-B", "-X", "utf8")  # as in launcher.c
# Prints what the hot path does without, a name a line; cold.py says what it accepts.
_MISSED = """
import sys
sys.path.insert(0, sys.argv[1])
from _frozen_importlib_external import MAGIC_NUMBER
from _imp import source_hash
from runc_wrap.hotpath import json_codec
try:
    with open(sys.argv[1] + "/hotpath.packed", "rb") as file:
        packed = file.read()
except OSError:
    packed = b""
if packed[:12] != MAGIC_NUMBER + source_hash(0, packed[12:]):
    print("hotpath.packed")
if json_codec.NAME != "orjson":
    print("orjson")
"""


def find(places: Places) -> Iterator[Finding]:
    """Find parts of the release in force that are missing or damaged, by starting them once.

    What others can change is not started: root may ask about a user's own installation. Of that
    installation_owner tells.
    """
    release = places.prefix / "lib" / "current"
    hot = release / "hotpath"
    python = release / "python"
    if _are_others(python, hot):
        return
    _, why = _ran(python, hot / "cold.py")  # ends with 0 once everything is imported
    remedy = remedies.install_again(places)
    if why:
        sentence = f"{python} cannot start {hot / 'cold.py'}, and creates need it: {why}"
        yield Finding(NAME, "error", sentence, remedy)
        return
    missed, why = _ran(python, "-c", _MISSED, hot)
    if why:
        sentence = f"a part of {hot} cannot be imported: {why}"
        yield Finding(NAME, "warning", sentence, remedy)
    if "hotpath.packed" in missed:
        path, cost = hot / "hotpath.packed", "a create without the agent takes 1.5 ms longer"
        sentence = f"{path} is missing, damaged or of another Python: {cost}"
        yield Finding(NAME, "warning", sentence, remedy)
    if "orjson" in missed:
        sentence = f"{hot / 'orjson'} cannot be loaded: a create without the agent is slower"
        yield Finding(NAME, "warning", sentence, remedy)


def _are_others(*paths: Path) -> bool:
    try:
        return any(True for path in paths for _ in ownership.of(str(path)))
    except OSError:
        return True


def _ran(python: Path, *words: str | Path) -> tuple[str, str]:
    """Start the release's interpreter; return what it printed, and why it failed, "" if not."""
    words = (*_INTERPRETER, *words)
    ended = program.run(str(python), *map(str, words), seconds=_SECONDS)
    return ended.printed, "" if ended.is_well else safe_text.name(ended.said, _FEW)
