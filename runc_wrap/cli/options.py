"""Options that several commands have, and how a command gets some of its options together."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Command = Callable[..., Any]
Decorator = Callable[[Command], Command]
PATH: click.Path = click.Path(path_type=Path)
FILE: click.Path = click.Path(path_type=Path, dir_okay=False)
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def all_of(*given: Decorator) -> Decorator:
    """Return what gives a command all these options."""
    return lambda command: functools.reduce(lambda made, add: add(made), reversed(given), command)


shows = all_of(as_json, click.pass_obj)  # of most commands: --json, and what they are about


def together(name: str, kind: type[Any], *given: Decorator) -> Decorator:
    """Return what gives a command these options, and passes on all fields of `kind` as one."""

    def decorated(command: Command) -> Command:
        @functools.wraps(command)
        def called(*words: object, **options: object) -> object:
            own = {key: options.pop(key) for key in kind.__annotations__ if key in options}
            return command(*words, **{name: kind(**own)}, **options)

        return all_of(*given)(called)

    return decorated
