"""Whether the real runtime is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.doctor import remedies
from runc_wrap.doctor.remedies import Finding
from runc_wrap.node import installed_programs
from runc_wrap.node.installed_programs import RuntimeNotUsable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.node.paths import Places

NAME = "runtime"


def find(places: Places) -> Iterator[Finding]:
    """Find a runtime that is missing or is not a runtime."""
    named = installed_programs.in_force(places.prefix)
    if named is None:
        return  # policy_in_force reports it
    try:
        installed_programs.find_runtime([named["path"]])
    except (RuntimeNotUsable, OSError) as error:
        remedy = f"install {named['kind']} again, or have runc-wrapctl apply take another one"
        yield Finding(NAME, "error", str(error), remedy, remedies.ctl(places, "apply"))
