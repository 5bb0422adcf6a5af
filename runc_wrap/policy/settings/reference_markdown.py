"""The documentation of all settings, as Markdown or JSON, from their declarations."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from runc_wrap.policy.settings import schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.policy.settings.schema import Setting

_HEAD = """\
# Settings of config.toml

`etc/config.toml` is read first, then `etc/conf.d/*.toml` in the order of their names. The last
value of a setting applies; rules are added in this order. `runc-wrapctl apply` checks the settings
and puts them in force for new containers.
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
    "rule": "The first rule that matches a container decides; if none does, `[default]` decides. "
    "A rule matches if each of its selectors does; a selector matches if one of its patterns does.",
}


def markdown() -> str:
    """Return the reference of all settings."""
    return "\n".join([_HEAD, *(line for table in _TITLES for line in _table(table))])


def document() -> list[dict[str, Any]]:
    """Return the same as JSON values; a `default` of None means that it can be left out."""
    return [
        {"name": one.name, "takes": one.takes, "default": one.default, "meaning": one.meaning}
        for one in schema.BY_NAME.values()
    ]


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
    return json.dumps(value)  # TOML equals JSON for strings, flags and lists of strings
