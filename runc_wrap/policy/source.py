"""Reading what the owner wrote: config.toml, then conf.d/*.toml; the last word holds."""

from __future__ import annotations

import os
import tomllib
from typing import TYPE_CHECKING

from runc_wrap.policy import schema
from runc_wrap.profiles import files
from runc_wrap.profiles.model import ProfileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Values = dict[str, str | list[str]]

_LARGEST = 1024 * 1024


class PolicyError(ValueError):
    """The policy cannot be put in force; the message has one line for each problem."""


def read(config: Path, directory: Path) -> Values:
    """Return every setting's value, defaults where nothing is written. Raises PolicyError."""
    values = schema.defaults()
    problems: list[str] = []
    for file in _sources(config, directory):
        for name, value in _flattened(_parsed(file)):
            wrong = schema.problem(name, value)
            if wrong:
                problems.append(f"{file}: {wrong}.")
            else:
                values[name] = value  # type: ignore[assignment]  # schema.problem checked its type
    if problems:
        raise PolicyError("\n".join(problems))
    return values


def _sources(config: Path, directory: Path) -> list[Path]:
    return [*([config] if os.path.lexists(config) else []), *sorted(directory.glob("*.toml"))]


def _parsed(file: Path) -> dict[str, object]:
    try:
        return tomllib.loads(files.read_bytes(file, _LARGEST).decode())
    except ProfileError as error:  # names the file
        raise PolicyError(f"{error}.") from None
    except RecursionError:
        raise PolicyError(f"{file}: nested too deeply for a policy.") from None
    except ValueError as error:  # not UTF-8, not TOML, or a number of thousands of digits
        raise PolicyError(f"{file}: {error}.") from None


def _flattened(table: dict[str, object]) -> Iterator[tuple[str, object]]:
    for key, value in table.items():
        if isinstance(value, dict) and key in schema.SECTIONS:
            yield from ((f"{key}.{name}", inner) for name, inner in value.items())
        else:
            yield key, value
