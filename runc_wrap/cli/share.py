"""runc-wrapctl share, for whoever installs: writes the manual and the shells' completions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import ShellComplete, get_completion_class

from runc_wrap.cli import manual, output
from runc_wrap.node import versions

if TYPE_CHECKING:
    from collections.abc import Iterator

_VARIABLE = "_RUNC_WRAPCTL_COMPLETE"  # as click derives it from the name
_SCRIPTS = {
    "bash": f"bash/{manual.NAME}",
    "zsh": f"zsh/_{manual.NAME}",
    "fish": f"fish/{manual.NAME}.fish",
}


@click.command(hidden=True)
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.pass_context
def share(context: click.Context, directory: Path) -> None:
    """Write manual pages to DIRECTORY/man and the shells' completions to DIRECTORY/completions.

    The date on the pages is SOURCE_DATE_EPOCH, or when this release's files were made.
    """
    root = context.find_root().command
    try:
        for name, text in _files(root):
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="ascii")
    except (OSError, ValueError) as error:
        output.fail(error)


def _files(root: click.Command) -> Iterator[tuple[str, str]]:
    """Yield (path beneath the directory, text)."""
    for name, text in manual.pages(root, versions.release(), _epoch()):
        yield f"man/man1/{name}", text
    for shell, name in _SCRIPTS.items():
        yield f"completions/{name}", _script(root, shell)


def _epoch() -> int:
    given = os.environ.get("SOURCE_DATE_EPOCH")
    return int(given) if given else int(Path(__file__).stat().st_mtime)


def _script(root: click.Command, shell: str) -> str:
    """Return click's own script; it first would look for an old bash here, not on the node."""
    kind = get_completion_class(shell)
    if kind is None:
        raise output.Failure(f"this release of click has no completion for {shell}")
    return ShellComplete.source(kind(root, {}, manual.NAME, _VARIABLE))
