"""Writes the manual and the shells' completions: python -m deploy.manual DIRECTORY [VERSION].

DIRECTORY/man/man1 has a page for each command, DIRECTORY/completions a script for each shell. The
pages have what --help prints, and the date SOURCE_DATE_EPOCH.
"""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from runc_wrap.cli import output
from runc_wrap.cli.root_command import Lazy, main

NAME = "runc-wrapctl"
_VARIABLE = "_RUNC_WRAPCTL_COMPLETE"  # as click derives it from the name
_SCRIPTS = {
    BashComplete: f"bash/{NAME}",
    ZshComplete: f"zsh/_{NAME}",
    FishComplete: f"fish/{NAME}.fish",
}
RUNTIME = "runc-wrap"
_STATUS = {
    "0": "Success.",
    str(output.WRONG): "The command ran and found a problem.",
    str(output.IMPOSSIBLE): "The command could not run; the message says what to try.",
    str(output.INTERRUPTED): "It was interrupted (Ctrl-C).",
    str(output.UNREAD): "Whatever read its output ended before.",
}
_WIDTH = 78  # of what --help prints
_SENTENCE = 1000  # characters: the first of a help is shorter
# What groff would set as typographic signs, which cannot be pasted into a shell.
_SIGNS = {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "~": r"\(ti", "^": r"\(ha"}
_ENVIRONMENT = {
    "NO_COLOR": "If it is set and not empty, nothing is coloured.",
    "COLUMNS": "The width of tables on a terminal.",
}
_FILES = {
    "PREFIX": "The installation: /opt/runc-wrap, unless another place was chosen.",
    "PREFIX/bin/runc-wrap": "The runtime to register with an engine.",
    "PREFIX/etc/config.toml": "The policy; `runc-wrapctl policy reference` documents it.",
    "PREFIX/etc/conf.d/*.toml": "Further parts of the policy, read in the order of their names.",
    "PREFIX/etc/profiles/": "Your own profiles: settings and annotations name them.",
    "PREFIX/var/": "What runc-wrap writes: the compiled policy, the ledger, evidence.",
}
_OF_THE_RUNTIME = """\
Engines call it in place of runc or crun. It gives the container a seccomp profile as the node's
policy decides, then executes the real runtime, which is given the same words.

Register it with an engine by `runc-wrapctl engine add`. The policy is in etc of the
installation, and `runc-wrapctl apply` puts it in force.

Its words, its exit status and its output are those of the real runtime. If it cannot decide, it
refuses the container, or starts it unmodified if the policy says so.
"""


def write(directory: Path, version: str, epoch: int) -> None:
    """Write all of it. Raises OSError, and ValueError for what is not ASCII."""
    files = {f"man/man1/{name}": text for name, text in pages(main, version, epoch)}
    files |= {f"completions/{name}": _script(kind) for kind, name in _SCRIPTS.items()}
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")


def _script(kind: type[ShellComplete]) -> str:
    """Return click's own script, without its look for an old bash here, not on the node."""
    completion = kind(main, {}, NAME, _VARIABLE)
    return completion.source_template % completion.source_vars()


def pages(root: click.Command, version: str, epoch: int) -> Iterator[tuple[str, str]]:
    """Yield (file name, roff) for each page; `epoch` is the release's time."""
    date, release = time.strftime("%Y-%m-%d", time.gmtime(epoch)), _escaped(f"{RUNTIME} {version}")
    found = [(_page_of(context), _page(context)) for context in contexts(root)]
    for name, sections in [*found, (RUNTIME, _runtime())]:
        heading = f'.TH "{_escaped(name.upper())}" "1" "{date}" "{release}" "{RUNTIME}"'
        yield f"{name}.1", "\n".join([heading, *sections]) + "\n"


def contexts(
    command: click.Command, parent: click.Context | None = None
) -> Iterator[click.Context]:
    """Yield a context for a command and for each below it, but not for hidden ones."""
    name = command.name if parent else NAME
    settings = command.context_settings
    context = click.Context(command, parent, name, terminal_width=_WIDTH, **settings)
    yield context
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        if not below.hidden:
            yield from contexts(below.loaded() if isinstance(below, Lazy) else below, context)


def _page_of(context: click.Context) -> str:
    return context.command_path.replace(" ", "-")


def _page(context: click.Context) -> Iterator[str]:
    first = context.command.get_short_help_str(_SENTENCE).rstrip(".")
    yield from _section("NAME", f"{_page_of(context)} - {first[:1].lower()}{first[1:]}")
    yield from _section("DESCRIPTION", context.get_help())
    yield from _section("EXIT STATUS", _listed(_STATUS))
    if context.parent is None:
        yield from _section("ENVIRONMENT", _listed(_ENVIRONMENT))
        yield from _section("FILES", _listed(_FILES))
    above = f"{_page_of(context.parent)}(1), " if context.parent else ""
    yield from _section("SEE ALSO", f"{above}{RUNTIME}(1)")


def _listed(entries: dict[str, str]) -> str:
    return "\n".join(f"{name}\n    {meaning}" for name, meaning in entries.items())


def _runtime() -> Iterator[str]:
    yield from _section("NAME", f"{RUNTIME} - OCI runtime that confines every container by seccomp")
    yield from _section("SYNOPSIS", f"{RUNTIME} words of runc or crun")
    yield from _section("DESCRIPTION", _OF_THE_RUNTIME)
    yield from _section("SEE ALSO", f"{NAME}(1)")


def _section(title: str, text: str) -> list[str]:
    """Return a section whose lines stay as they are."""
    return [f".SH {title}", ".nf", *map(line, text.splitlines()), ".fi"]


def line(text: str) -> str:
    """Return a line that roff shows as it stands."""
    return rf"\&{_escaped(text)}" if text.startswith(".") else _escaped(text)


def _escaped(text: str) -> str:
    return "".join(_SIGNS.get(c) or (c if c.isascii() else rf"\[u{ord(c):04X}]") for c in text)


if __name__ == "__main__":
    given = dict(enumerate(sys.argv[1:]))
    write(Path(given[0]), given.get(1, ""), int(os.environ.get("SOURCE_DATE_EPOCH", "0")))
