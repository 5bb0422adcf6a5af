"""Whether the kernel can filter, and whether it would log what a filter denies or permits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.evidence.sources.audit_health import warnings
from runc_wrap.node import features
from runc_wrap.node.doctor import modes_available
from runc_wrap.node.doctor.check_finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.node.paths import Places

NAME = "kernel"
_WANTED_BY = {"audit": "log", "enforce-log": "errno"}


def find(places: Places) -> Iterator[Finding]:
    """Find a kernel without filters, or one that does not log what a mode in force needs."""
    available = features.of_kernel("actions_avail")
    if "errno" not in available:
        sentence = "this kernel reports no support for filters (CONFIG_SECCOMP_FILTER)"
        yield Finding(NAME, "error", sentence, "boot a kernel with CONFIG_SECCOMP_FILTER=y")
        return
    logged = features.of_kernel("actions_logged")
    for mode in sorted(modes_available.used(places)):
        if _WANTED_BY.get(mode, "") not in {"", *logged}:
            words = " ".join(sorted(available - {"allow"}))
            yield Finding(
                NAME,
                "warning",
                f"the mode {mode} is in force, but kernel.seccomp.actions_logged lacks "
                f"{_WANTED_BY[mode]}: the kernel logs nothing in this mode",
                f"sysctl -w kernel.seccomp.actions_logged='{words}'",
            )
    if modes_available.used(places) & set(_WANTED_BY):
        for sentence in warnings():
            if not sentence.startswith("kernel.seccomp.actions_logged"):  # see above, by mode
                yield Finding(NAME, "warning", sentence, "fix it, or use the mode observe")
