"""The manual: a page for each command and one for all, from the same texts as --help."""

from __future__ import annotations

import inspect
import re
import time
from typing import TYPE_CHECKING

import click

from deploy.manual import roff
from runc_wrap.cli import output

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "runc-wrapctl"
RUNTIME = "runc-wrap"
_STATUS = {
    "0": "Success.",
    str(output.WRONG): "The command ran and found a problem.",
    str(output.IMPOSSIBLE): "The command could not run; the message says what to try.",
    str(output.INTERRUPTED): "It was interrupted (Ctrl-C).",
    str(output.UNREAD): "Whatever read its output ended before.",
}
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
_OF_THE_RUNTIME = """
Engines call it in place of runc or crun. It gives the container a seccomp profile as the node's
policy decides, then executes the real runtime, which is given the same words.

Register it with an engine by `runc-wrapctl engine add`. The policy is in etc of the
installation, and `runc-wrapctl apply` puts it in force.

Its words, its exit status and its output are those of the real runtime. If it cannot decide, it
refuses the container, or starts it unmodified if the policy says so.
"""


def pages(root: click.Command, version: str, epoch: int) -> Iterator[tuple[str, str]]:
    """Yield (file name, roff) for each page; `epoch` is the release's time."""
    date = time.strftime("%Y-%m-%d", time.gmtime(epoch))
    for context in contexts(root):
        name = _page_of(context)
        heading = _heading(name, date, version)
        yield f"{name}.1", "\n".join([heading, *_page(context)]) + "\n"
    yield f"{RUNTIME}.1", "\n".join([_heading(RUNTIME, date, version), *_runtime()]) + "\n"


def contexts(
    command: click.Command, parent: click.Context | None = None
) -> Iterator[click.Context]:
    """Yield a context for a command and for each below it, but not for hidden ones."""
    context = click.Context(command, info_name=command.name if parent else NAME, parent=parent)
    yield context
    for below in _below(context):
        yield from contexts(below, context)


def _below(context: click.Context) -> Iterator[click.Command]:
    """Yield the commands of a group that are not hidden."""
    group = context.command
    if not isinstance(group, click.Group):
        return
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command and not command.hidden:
            yield command


def _page_of(context: click.Context) -> str:
    return context.command_path.replace(" ", "-")


def _heading(name: str, date: str, version: str) -> str:
    title = roff.escaped(name.upper())
    return f'.TH "{title}" "1" "{date}" "{roff.escaped(f"{RUNTIME} {version}")}" "{RUNTIME}"'


def _page(context: click.Context) -> Iterator[str]:
    yield ".SH NAME"
    yield from roff.prose(f"{_page_of(context)} - {_begun_small(summary(context.command))}")
    yield ".SH SYNOPSIS"
    yield " ".join([roff.bold(context.command_path), *map(roff.italic, _usage(context))])
    yield ".SH DESCRIPTION"
    yield from roff.paragraphs(inspect.cleandoc(context.command.help or ""))
    yield from _options(context)
    yield from _commands(context)
    yield from _list("EXIT STATUS", _STATUS)
    if context.parent is None:
        yield from _list("ENVIRONMENT", _ENVIRONMENT)
        yield from _list("FILES", _FILES)
    yield from _see_also(context)


def summary(command: click.Command) -> str:
    """Return the first sentence of a command's help, without its period."""
    first = inspect.cleandoc(command.help or "").split("\n\n")[0]
    sentence = re.split(r"\.(?:\s|$)", " ".join(first.split()))[0]
    return sentence.rstrip(".")


def _begun_small(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _usage(context: click.Context) -> list[str]:
    return context.command.collect_usage_pieces(context)


def _options(context: click.Context) -> Iterator[str]:
    yield ".SH OPTIONS"
    for parameter in context.command.get_params(context):
        record = parameter.get_help_record(context)
        if record and record[1]:  # an argument is told of in the description
            yield from roff.tagged(roff.bold(record[0]), record[1])


def _commands(context: click.Context) -> Iterator[str]:
    commands = [*_below(context)]
    if commands:
        yield ".SH COMMANDS"
    for command in commands:
        page = roff.bold(f"{_page_of(context)}-{command.name}")
        yield from roff.tagged(f"{page}(1)", f"{summary(command)}.")


def _list(title: str, entries: dict[str, str]) -> Iterator[str]:
    yield f".SH {title}"
    for tag, meaning in entries.items():
        yield from roff.tagged(roff.bold(tag), meaning)


def _see_also(context: click.Context) -> Iterator[str]:
    yield ".SH SEE ALSO"
    above = [_page_of(context.parent)] if context.parent else []
    yield ", ".join(f"{roff.bold(name)}(1)" for name in [*above, RUNTIME])


def _runtime() -> Iterator[str]:
    yield ".SH NAME"
    yield from roff.prose(f"{RUNTIME} - OCI runtime that confines every container by seccomp")
    yield ".SH SYNOPSIS"
    yield f"{roff.bold(RUNTIME)} {roff.italic('words of runc or crun')}"
    yield ".SH DESCRIPTION"
    yield from roff.paragraphs(_OF_THE_RUNTIME)
    yield ".SH SEE ALSO"
    yield f"{roff.bold(NAME)}(1)"
