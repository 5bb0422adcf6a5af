"""Whether a create can be decided without the agent: the release's interpreter and hot path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap import safe_text
from runc_wrap.doctor import commands
from runc_wrap.doctor.check_finding import Finding
from runc_wrap.host import ownership, program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runc_wrap.node.paths import Places

NAME = "cold-create"
_SECONDS = 30.0  # a start takes 0.03
_FEW = 300  # characters of a reason
_INTERPRETER = ("-I", "-S", "-B", "-X", "utf8")  # as in launcher.c


def find(places: Places) -> Iterator[Finding]:
    """Find a hot path that does not start, by starting it once.

    What others can change is not started: root may ask about a user's own installation. Of that
    installation_owner tells.
    """
    release = places.prefix / "lib" / "current"
    hot = release / "hotpath"
    python = release / "python"
    if _are_others(python, hot):
        return
    words = (*_INTERPRETER, str(hot / "cold.py"))  # ends with 0 once everything is imported
    ended = program.run(str(python), *words, seconds=_SECONDS)
    if not ended.is_well:
        why = safe_text.name(ended.said, _FEW)
        sentence = f"{python} cannot start {hot / 'cold.py'}, and creates need it: {why}"
        yield Finding(NAME, "error", sentence, commands.install_again(places))


def _are_others(*paths: Path) -> bool:
    try:
        return any(True for path in paths for _ in ownership.of(str(path)))
    except OSError:
        return True
