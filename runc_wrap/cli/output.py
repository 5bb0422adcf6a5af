"""What all commands share: printing safely, and failing with a sentence."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import click

WRONG = 1  # done, and something is wrong
IMPOSSIBLE = 2  # could not be done


class Failure(click.ClickException):
    """The command cannot be carried out."""

    exit_code = IMPOSSIBLE

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def printable(text: str) -> str:
    """Return text without anything that a terminal would act on, line breaks apart."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def say(text: str) -> None:
    """Print text, which may hold foreign words."""
    click.echo(printable(text))


def document(value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Print one JSON document; ASCII only, so nothing foreign reaches the terminal."""
    click.echo(json.dumps(value, indent=2))


def fail(error: Exception) -> NoReturn:
    """End the command with the error's own sentence."""
    raise Failure(str(error)) from error
