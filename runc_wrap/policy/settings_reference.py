"""The documentation of every setting, as Markdown, from what declares them. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from runc_wrap.policy import schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.policy.schema import Setting

_HEAD = """\
# Settings of config.toml

`etc/config.toml` is read first, then `etc/conf.d/*.toml` in the order of their names. Of a setting
the last word holds; rules follow one another. `runc-wrapctl apply` checks them and puts them in
force, for the next container on.
"""
_TITLES = {
    "": "At the top",
    "default": "[default]",
    "runtime_default": "[runtime_default]",
    "opt_out": "[opt_out]",
    "rule": "[[rule]]",
    "overlay": "[overlay]",
}
_BEFORE = {
    "rule": "The first rule that holds for a container decides; where none does, `[default]` does. "
    "A rule holds when each selector that it has matches: one of its patterns.",
}


def markdown() -> str:
    """Return the reference of all settings."""
    return "\n".join([_HEAD, *(line for table in _TITLES for line in _table(table))])


def _table(table: str) -> Iterator[str]:
    yield f"## {_TITLES[table]}\n"
    if table in _BEFORE:
        yield f"{_BEFORE[table]}\n"
    for setting in schema.BY_NAME.values():
        if setting.name.rpartition(".")[0] == table:
            yield from _setting(setting)


def _setting(setting: Setting) -> Iterator[str]:
    yield f"### `{setting.name.rpartition('.')[2]}`\n"
    default = "" if setting.default is None else f" Default: `{_toml(setting.default)}`."
    yield f"Takes {setting.takes}.{default}\n"
    yield f"{setting.meaning}\n"


def _toml(value: Any) -> str:  # noqa: ANN401 - any value of a setting
    return json.dumps(value)  # for strings, flags and lists of strings TOML and JSON agree
