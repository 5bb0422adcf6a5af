"""Reading the settings: config.toml, then conf.d/*.toml.

The last value of a setting applies; rules are added in the order of the files.
"""

import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from runc_wrap.policy.compiler_facts import PolicyError
from runc_wrap.policy.settings import policy_sources, rule_checks, schema, toml_lines
from runc_wrap.profiles.json_profiles import profile_files
from runc_wrap.profiles.source_profile import ProfileError

_LARGEST = 1024 * 1024


class Values(dict[str, Any]):
    """Every setting's value by its name, and the rules as a list of objects under "rule".

    `places` has {name of a setting, ("rule", its number) or ("rule", its number, key): file:line},
    for what the files contain.
    """

    def __init__(self) -> None:
        super().__init__(schema.defaults())
        self.places: dict[toml_lines.Key, str] = {}

    def written(self, name: str) -> Any:  # noqa: ANN401 - any TOML value
        """Return a setting's value if the owner wrote one, None if it is the default."""
        return self[name] if (name,) in self.places else None

    def place(self, *key: str | int) -> str:
        """Return "file:line: " of a setting, or of a rule if it lacks the key; otherwise ""."""
        found = self.places.get(key) or self.places.get(key[:2])
        return f"{found}: " if found else ""


def read(*directories: Path) -> Values:
    """Return every setting's value, or its default if no file sets it.

    Of two directories with a file of one name the later one's is read. Raises PolicyError, OSError.
    """
    values, files = Values(), policy_sources.settings(*directories).values()
    problems = [wrong for file in files for wrong in _take(file, values)]
    problems += rule_checks.problems(values[schema.RULES], values.place)
    if problems:
        raise PolicyError("\n".join(problems))
    return values


def _take(file: Path, values: Values) -> Iterator[str]:
    """Add one file's settings to the values; yield what is wrong with them."""
    text, parsed = _parsed(file)
    numbers = toml_lines.of(text)

    def place(*path: str | int) -> str:
        return f"{file}:{toml_lines.line(numbers, path)}"

    rules = parsed.pop(schema.RULES, [])
    for name, value in _flattened(parsed):
        where = place(*name.split("."))
        if wrong := schema.problem(name, value):
            yield f"{where}: {wrong}."
        else:
            values[name] = value
            values.places[name,] = where
    if isinstance(rules, list) and all(isinstance(rule, dict) for rule in rules):
        yield from _take_rules(rules, place, values)
    else:
        yield f"{place(schema.RULES)}: a rule is not a table; write rules under [[rule]]."


def _take_rules(
    rules: list[dict[str, object]], place: Callable[..., str], values: Values
) -> Iterator[str]:
    for number, rule in enumerate(rules):
        own = len(values[schema.RULES])
        values[schema.RULES].append(rule)
        values.places[schema.RULES, own] = place(schema.RULES, number)
        for key, value in rule.items():
            where = values.places[schema.RULES, own, key] = place(schema.RULES, number, key)
            if wrong := schema.problem(f"{schema.RULES}.{key}", value):
                yield f"{where}: {wrong}."


def _parsed(file: Path) -> tuple[str, dict[str, object]]:
    """Return a file's text and its tables. Raises PolicyError, OSError."""
    try:
        text = profile_files.read_bytes(file, _LARGEST).decode()
        return text, tomllib.loads(text)
    except ProfileError as error:  # names the file
        raise PolicyError(f"{error}.") from None
    except RecursionError:
        raise PolicyError(f"{file}: nested too deeply for a policy.") from None
    except ValueError as error:  # neither UTF-8 nor TOML, or a number of thousands of digits
        raise PolicyError(f"{file}: {error}.") from None


def _flattened(table: dict[str, object]) -> Iterator[tuple[str, object]]:
    for key, value in table.items():
        if isinstance(value, dict) and key in schema.SECTIONS:
            yield from ((f"{key}.{name}", inner) for name, inner in value.items())
        else:
            yield key, value
