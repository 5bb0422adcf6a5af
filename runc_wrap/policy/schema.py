"""The settings of config.toml, each declared once: name, what it takes, default, meaning.

Parsing, error messages, `runc-wrapctl policy reference` and the compiled form all come from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runc_wrap.hotpath.decision import HONOUR
from runc_wrap.hotpath.identity import ENGINES
from runc_wrap.policy import kinds
from runc_wrap.policy.texts import MEANINGS

if TYPE_CHECKING:
    from runc_wrap.policy.kinds import Kind

AUTO = "auto"
SYSTEM = "system"
BUILTIN = "builtin"
RUN_UNMODIFIED = "run-unmodified"
RULES = "rule"


@dataclass(frozen=True)
class Setting:
    """One setting. `name` is its dotted TOML key; `default` None means that it may be left out."""

    name: str
    default: Any
    kind: Kind

    @property
    def takes(self) -> str:
        """What the setting takes, in words."""
        return self.kind.takes

    @property
    def meaning(self) -> str:
        """What the setting does, for its reader."""
        return MEANINGS[self.name]


_MODE = kinds.choice("enforce", "enforce-log", "audit", "observe", "off")
_PROFILE = kinds.word("runtime-default, a built-in profile (containerd@1.7.24) or localhost/<file>")
_VERSION = kinds.word("auto or a version")
_LISTS = "a list of patterns"

SETTINGS = (
    Setting("runtime", ["runc", "crun"], kinds.WORDS),
    Setting("on_error", "refuse", kinds.choice("refuse", RUN_UNMODIFIED)),
    Setting("default.profile", "runtime-default", _PROFILE),
    Setting("default.mode", "enforce", _MODE),
    Setting("default.abis", "engine", kinds.choice("engine", "kernel", "native")),
    Setting("default.int_arguments", "kernel", kinds.choice("kernel", "engine")),
    Setting("default.privileged", "leave", kinds.choice("leave", "audit", "confine")),
    Setting("runtime_default.engine", AUTO, kinds.choice(AUTO, *ENGINES)),
    Setting("runtime_default.containerd", AUTO, _VERSION),
    Setting("runtime_default.docker", AUTO, _VERSION),
    Setting("runtime_default.crio", AUTO, _VERSION),
    Setting(
        "runtime_default.containers_common",
        AUTO,
        kinds.word(
            "auto, system, builtin or a version of containers/common (0.62.3; not Podman's)"
        ),
    ),
    Setting("opt_out.annotations", default=True, kind=kinds.FLAG),
    Setting("opt_out.namespaces", ["*"], kinds.patterns("namespace", _LISTS)),
    Setting("opt_out.images", ["*"], kinds.patterns("image", _LISTS)),
    Setting("opt_out.late", "ignore", kinds.choice("ignore", HONOUR)),
    Setting("overlay.deny", [], kinds.CALLS),
    Setting("overlay.deny_sockets", [], kinds.SOCKETS),
    Setting("overlay.io_uring", "deny", kinds.choice("deny", "allow")),
    Setting("overlay.existing", default=False, kind=kinds.FLAG),
)
RULE_SETTINGS = (
    Setting("rule.name", None, kinds.word("a name, each rule its own")),
    *(
        Setting(f"rule.{of}", None, kinds.patterns(of, _LISTS))
        for of in ("namespace", "pod", "container", "image", "engine", "handler")
    ),
    Setting("rule.mode", None, _MODE),
    Setting("rule.profile", None, _PROFILE),
    Setting("rule.percent", None, kinds.PERCENT),
    Setting("rule.until", None, kinds.UNTIL),
)
BY_NAME = {setting.name: setting for setting in (*SETTINGS, *RULE_SETTINGS)}
SECTIONS = frozenset(name.partition(".")[0] for name in BY_NAME if "." in name) - {RULES}


def defaults() -> dict[str, Any]:
    """Return {name: value} of a node whose owner wrote nothing; the rules are under RULES."""
    return {setting.name: setting.default for setting in SETTINGS} | {RULES: []}


def problem(name: str, value: object) -> str | None:
    """Return what is wrong with a setting of this name and value, None if nothing is."""
    setting = BY_NAME.get(name)
    if setting is None:
        known = ", ".join(sorted(BY_NAME))
        return f"{name:.80} is no setting{kinds.near(name, BY_NAME)}; there are {known}"
    if not setting.kind.fits(value):
        return f"{name} is {_shown(value)}; it takes {setting.takes}"
    wrong = setting.kind.problem(value)
    return f"{name} is {_shown(value)}; {wrong}" if wrong else None


def _shown(value: object) -> str:
    try:
        return f"{value!r:.80}"
    except ValueError:  # Python does not print integers of thousands of digits
        return "a huge number"
