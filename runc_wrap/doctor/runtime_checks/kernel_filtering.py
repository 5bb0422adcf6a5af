"""Whether the kernel can filter, and whether it would log what a filter denies or permits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.doctor.policy_checks import profiles_in_force
from runc_wrap.doctor.remedies import Finding
from runc_wrap.evidence.sources.audit_obstacles import warnings
from runc_wrap.node import seccomp_features

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.node.paths import Places

NAME = "kernel"
_RULES = "auditctl -l"
_WANTED_BY = {"audit": "log", "enforce-log": "errno", profiles_in_force.CANDIDATE: "log"}


def find(places: Places) -> Iterator[Finding]:
    """Find a kernel without filters, or one that does not log what a mode in force needs."""
    available = seccomp_features.of_kernel("actions_avail")
    if "errno" not in available:
        sentence = "this kernel reports no support for filters (CONFIG_SECCOMP_FILTER)"
        remedy = "boot a kernel with CONFIG_SECCOMP_FILTER=y, as the distribution's has"
        yield Finding(NAME, "error", sentence, remedy)
        return
    yield from _unlogged(places, available)
    if profiles_in_force.modes(places) & set(_WANTED_BY):
        for sentence in warnings():
            if not sentence.startswith("kernel.seccomp.actions_logged"):  # see above, by mode
                remedy = f"mend that, or use the mode observe; root's `{_RULES}` shows the rules"
                yield Finding(NAME, "warning", sentence, remedy, _RULES)


def _unlogged(places: Places, available: frozenset[str]) -> Iterator[Finding]:
    """Find what the kernel could log, a mode needs, and the sysctl leaves out."""
    logged = seccomp_features.of_kernel("actions_logged")
    words = " ".join(sorted(available - {"allow"}))
    command = f"sysctl -w kernel.seccomp.actions_logged='{words}'"
    for mode in sorted(profiles_in_force.modes(places)):
        if _WANTED_BY.get(mode, "") not in {"", *logged}:
            what = "a candidate" if mode == profiles_in_force.CANDIDATE else f"the mode {mode}"
            sentence = (
                f"{what} is in force, but kernel.seccomp.actions_logged lacks "
                f"{_WANTED_BY[mode]}: the kernel logs nothing of it"
            )
            yield Finding(NAME, "warning", sentence, command, command)
