"""Writes the manual and the shells' completions: python -m deploy.manual DIRECTORY [VERSION].

DIRECTORY/man/man1 has a page for each command, DIRECTORY/completions a script for each shell. The
pages' date is SOURCE_DATE_EPOCH.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from click.shell_completion import get_completion_class

from deploy.manual import pages
from runc_wrap.cli.root_command import main

if TYPE_CHECKING:
    from collections.abc import Iterator

_VARIABLE = "_RUNC_WRAPCTL_COMPLETE"  # as click derives it from the name
_SCRIPTS = {
    "bash": f"bash/{pages.NAME}",
    "zsh": f"zsh/_{pages.NAME}",
    "fish": f"fish/{pages.NAME}.fish",
}


def write(directory: Path, version: str, epoch: int) -> None:
    """Write all of it. Raises OSError, and ValueError for what is not ASCII."""
    for name, text in _files(version, epoch):
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")


def _files(version: str, epoch: int) -> Iterator[tuple[str, str]]:
    """Yield (path in the directory, text)."""
    for name, text in pages.pages(main, version, epoch):
        yield f"man/man1/{name}", text
    for shell, name in _SCRIPTS.items():
        yield f"completions/{name}", _script(shell)


def _script(shell: str) -> str:
    """Return click's own script, without its look for an old bash here, not on the node."""
    kind = get_completion_class(shell)
    if kind is None:
        raise SystemExit(f"this release of click has no completion for {shell}")
    completion = kind(main, {}, pages.NAME, _VARIABLE)
    return completion.source_template % completion.source_vars()


if __name__ == "__main__":
    given = dict(enumerate(sys.argv[1:]))
    write(Path(given[0]), given.get(1, ""), int(os.environ.get("SOURCE_DATE_EPOCH", "0")))
