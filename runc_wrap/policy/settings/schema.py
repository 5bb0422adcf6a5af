"""The settings of config.toml, each declared once: name, valid values, default.

Parsing, error messages and the compiled form all use these. docs/policy-reference.md says what each
one means.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from runc_wrap import safe_text
from runc_wrap.host import engine_names
from runc_wrap.hotpath.annotations import HONOUR
from runc_wrap.hotpath.decision import ADOPT, ADOPT_NONE, ADOPT_WEAKER, AS_DUMPED, MODES
from runc_wrap.policy.settings import value_types

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from runc_wrap.policy.settings.value_types import Kind

AUTO = "auto"
SYSTEM = "system"
BUILTIN = "builtin"
TABLE, CAPTURED = "table", "captured"
RUN_UNMODIFIED = "run-unmodified"
RULES, DEFAULT = "rule", "default"


@dataclass(frozen=True)
class Setting:
    """One setting. `name` is its dotted TOML key; `default` None means that it can be left out."""

    name: str
    default: Any
    kind: Kind

    @property
    def takes(self) -> str:
        """The values that the setting takes, in words."""
        return self.kind.takes


_MODE = value_types.choice(*MODES)
_PROFILE = value_types.word(
    "runtime-default, a built-in profile (containerd@1.7.24) or localhost/<file>"
)
_ADOPT = value_types.choice(ADOPT_NONE, ADOPT, ADOPT_WEAKER)
_VERSION = value_types.word("auto or a version")
_LISTS = "a list of patterns"

SETTINGS = (
    Setting("runtime", ["runc", "crun"], value_types.WORDS),
    Setting("on_error", "refuse", value_types.choice("refuse", RUN_UNMODIFIED)),
    Setting("restore", "refuse", value_types.choice("refuse", AS_DUMPED)),
    Setting("default.profile", "runtime-default", _PROFILE),
    Setting("default.mode", "enforce", _MODE),
    Setting("default.abis", "engine", value_types.choice("engine", "kernel", "native")),
    Setting("default.int_arguments", "kernel", value_types.choice("kernel", "engine")),
    Setting("default.privileged", "leave", value_types.choice("leave", "audit", "confine")),
    Setting("default.adopt", ADOPT_NONE, _ADOPT),
    Setting("default.record", default=False, kind=value_types.FLAG),
    Setting("default.candidate", None, _PROFILE),
    Setting("runtime_default.engine", AUTO, value_types.choice(AUTO, *engine_names.KNOWN)),
    Setting("runtime_default.source", TABLE, value_types.choice(TABLE, CAPTURED)),
    *(
        Setting(f"runtime_default.{each.name}", AUTO, _VERSION)
        for each in engine_names.KNOWN.values()
        if each.profile != engine_names.COMMON
    ),
    Setting(
        "runtime_default.containers_common",
        AUTO,
        value_types.word(
            "auto, system, builtin or a version of containers/common (0.62.3; not Podman's)"
        ),
    ),
    Setting("opt_out.annotations", default=True, kind=value_types.FLAG),
    Setting("opt_out.namespaces", ["*"], value_types.patterns("namespace", _LISTS)),
    Setting("opt_out.images", ["*"], value_types.patterns("image", _LISTS)),
    Setting("opt_out.late", "ignore", value_types.choice("ignore", HONOUR)),
    Setting("overlay.deny", [], value_types.CALLS),
    Setting("overlay.deny_sockets", [], value_types.SOCKETS),
    Setting("overlay.io_uring", "deny", value_types.choice("deny", "allow")),
    Setting("overlay.existing", default=False, kind=value_types.FLAG),
)
RULE_SETTINGS = (
    Setting("rule.name", None, value_types.word("a name, different for each rule")),
    *(
        Setting(f"rule.{of}", None, value_types.patterns(of, _LISTS))
        for of in ("namespace", "pod", "container", "image", "engine", "handler")
    ),
    Setting("rule.mode", None, _MODE),
    Setting("rule.profile", None, _PROFILE),
    Setting("rule.adopt", None, _ADOPT),
    Setting("rule.record", None, value_types.FLAG),
    Setting("rule.candidate", None, _PROFILE),
    Setting("rule.percent", None, value_types.PERCENT),
    Setting("rule.until", None, value_types.UNTIL),
)
BY_NAME = {setting.name: setting for setting in (*SETTINGS, *RULE_SETTINGS)}
SECTIONS = frozenset(name.partition(".")[0] for name in BY_NAME if "." in name) - {RULES}

_OUTERMOST = frozenset(name.partition(".")[0] for name in BY_NAME)  # words before a dot or alone


def defaults() -> dict[str, Any]:
    """Return {name: default} of all settings, and an empty list of rules under RULES."""
    return {setting.name: setting.default for setting in SETTINGS} | {RULES: []}


class DecidingTable(NamedTuple):
    """[default] or one rule, as `kind` says: what is `written` in it, and what is `effective`.

    `place` returns where the owner wrote a setting of it, else where the rule is.
    """

    kind: str
    written: Mapping[str, Any]
    effective: Mapping[str, Any]
    place: Callable[[str], str]


def deciding_tables(values: Mapping[str, Any]) -> Iterator[DecidingTable]:
    """Yield the tables that decide about containers: [default], then the rules in their order."""
    place, prefix = placing(values), f"{DEFAULT}."
    named = [(name.removeprefix(prefix), name) for name in values if name.startswith(prefix)]
    default = {key: values[name] for key, name in named}
    yield DecidingTable(DEFAULT, default, default, lambda key: place(f"{prefix}{key}"))
    for at, rule in enumerate(values[RULES]):
        yield DecidingTable(RULES, rule, {**default, **rule}, partial(place, RULES, at))


def placing(values: Mapping[str, Any]) -> Callable[..., str]:
    """Return the function that gives a setting's place; settings not read from files have none."""
    place: Callable[..., str] = getattr(values, "place", lambda *_: "")
    return place


def problem(name: str, value: object) -> str | None:
    """Return what is wrong with a setting of this name and value, None if it is valid."""
    setting = BY_NAME.get(name)
    if setting is None:
        section, dot, _ = name.partition(".")
        known = ", ".join(
            sorted(one for one in BY_NAME if section not in _OUTERMOST or one.startswith(section))
        )
        is_outermost = not dot and name not in _OUTERMOST
        near = safe_text.near(name, _OUTERMOST if is_outermost else BY_NAME)
        return f"{name:.80} is not a setting{near}; there are {known}"
    if not setting.kind.fits(value):
        return f"{name} is {_shown(value)}; it takes {setting.takes}"
    wrong = setting.kind.problem(value)
    return f"{name} is {_shown(value)}; {wrong}" if wrong else None


def _shown(value: object) -> str:
    try:
        return f"{value.isoformat() if isinstance(value, date) else repr(value):.80}"
    except ValueError:  # Python does not print integers of thousands of digits
        return "a huge number"
