"""The settings of config.toml, each declared once: name, what it takes, default, meaning."""

from __future__ import annotations

from dataclasses import dataclass

from runc_wrap.hotpath.caller import ENGINES

AUTO = "auto"
SYSTEM = "system"
BUILTIN = "builtin"
RUN_UNMODIFIED = "run-unmodified"


@dataclass(frozen=True)
class Setting:
    """One setting.

    `name` is its dotted TOML key, `takes` says in words what is allowed; with `choices` only those
    strings are. The type of `default` (str or list of str) is the type of the setting.
    """

    name: str
    default: str | list[str]
    takes: str
    meaning: str
    choices: tuple[str, ...] = ()


SETTINGS = (
    Setting(
        "runtime",
        ["runc", "crun"],
        "a list of names or absolute paths",
        "The real runtime: the first that is found. Names are looked up in a fixed path.",
    ),
    Setting(
        "on_error",
        "refuse",
        "refuse or run-unmodified",
        "What a create does when it cannot be decided or carried out.",
        ("refuse", RUN_UNMODIFIED),
    ),
    Setting(
        "default.profile",
        "runtime-default",
        "runtime-default, a built-in profile (containerd@1.7.24) or localhost/<file>",
        "The profile of a container that brings none and asks for none.",
    ),
    Setting(
        "runtime_default.engine",
        AUTO,
        f"auto or one of {', '.join(ENGINES)}",
        "Whose default runtime-default is: the calling engine's, or always this one's.",
        (AUTO, *ENGINES),
    ),
    Setting(
        "runtime_default.containerd",
        AUTO,
        "auto or a version",
        "Which containerd's default profile: the installed one's, or this version's.",
    ),
    Setting(
        "runtime_default.docker",
        AUTO,
        "auto or a version",
        "Which Docker Engine's default profile.",
    ),
    Setting(
        "runtime_default.crio",
        AUTO,
        "auto or a version",
        "Which CRI-O's default profile.",
    ),
    Setting(
        "runtime_default.containers_common",
        AUTO,
        "auto, system, builtin or a version of containers/common (0.62.3; it is not Podman's)",
        "Podman's and Buildah's default. system: this node's seccomp.json, which they read "
        "themselves. builtin: the profile of the containers/common that the installed Podman or "
        "Buildah is built with, the newest if none is installed. auto: system if there is such a "
        "file, else builtin.",
    ),
)
BY_NAME = {setting.name: setting for setting in SETTINGS}
SECTIONS = frozenset(name.partition(".")[0] for name in BY_NAME if "." in name)


def defaults() -> dict[str, str | list[str]]:
    """Return {name: value} of a node whose owner wrote nothing."""
    return {setting.name: setting.default for setting in SETTINGS}


def problem(name: str, value: object) -> str | None:
    """Return what is wrong with a setting of this name and value, None if nothing is."""
    setting = BY_NAME.get(name)
    if setting is None:
        return f"{name:.80} is no setting; there are {', '.join(sorted(BY_NAME))}"
    if not _fits(setting, value):
        return f"{name} is {_shown(value)}; it takes {setting.takes}"
    return None


def _shown(value: object) -> str:
    try:
        return f"{value!r:.80}"
    except ValueError:  # Python does not print integers of thousands of digits
        return "a huge number"


def _fits(setting: Setting, value: object) -> bool:
    if isinstance(setting.default, list):
        return isinstance(value, list) and bool(value) and all(map(_is_word, value))
    return _is_word(value) and (not setting.choices or value in setting.choices)


def _is_word(value: object) -> bool:
    return isinstance(value, str) and bool(value) and value.isprintable()
