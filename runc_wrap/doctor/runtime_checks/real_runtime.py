"""Whether the real runtime is installed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from runc_wrap.doctor import commands
from runc_wrap.doctor.check_finding import Finding
from runc_wrap.hotpath import policy_file
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.node import installed_programs
from runc_wrap.node.installed_programs import RuntimeNotUsable
from runc_wrap.policy.settings import source
from runc_wrap.policy.settings.source import PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.node.paths import Places

NAME = "runtime"


def find(places: Places) -> Iterator[Finding]:
    """Find a runtime that is missing or is not a runtime."""
    try:
        named = policy_file.load(str(places.prefix))["runtime"]
    except Refusal:
        return  # policy_in_force reports it
    try:
        installed_programs.find_runtime([named["path"]])
    except (RuntimeNotUsable, OSError) as error:
        remedy = _remedy(places, Path(named["path"]), named["kind"])
        yield Finding(NAME, "error", str(error), remedy, commands.ctl(places, "apply"))


def _remedy(places: Places, path: Path, kind: str) -> str:
    """Return how there is a runtime again: another of this kind, or this one."""
    if other := _taken_now(places, kind):
        return f"run runc-wrapctl apply, which takes {other} instead"
    return f"install {kind} again, so that {path} is there, then run runc-wrapctl apply"


def _taken_now(places: Places, kind: str) -> Path | None:
    """Return the runtime that `apply` would take, None if it is of another kind or unusable."""
    try:
        names = source.read(*places.sources()).written("runtime")
        names = installed_programs.default_runtimes(places.runtime) if names is None else names
        found = installed_programs.find_runtime(names)
    except (PolicyError, RuntimeNotUsable, OSError):
        return None
    return found.path if found.kind == kind else None
