"""Whether a command that was killed has left a canary in an engine."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING

from runc_wrap import safe_text
from runc_wrap.doctor import remedies
from runc_wrap.doctor.remedies import Finding, NotMended
from runc_wrap.engines import engine_registry
from runc_wrap.engines.handler import CallFailed, EngineError
from runc_wrap.engines.registration import registration_state
from runc_wrap.engines.transaction import transaction_revert

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.engines.engine_class import Engine
    from runc_wrap.node.paths import Places

NAME = "canaries"


def find(places: Places) -> Iterator[Finding]:
    """Find them in engines that answer, unless a command that may have started one runs."""
    for state in registration_state.readable(places.engines):
        with contextlib.suppress(EngineError, CallFailed, OSError):
            access = engine_registry.installed(state.engine, state.config)
            if count := len(transaction_revert.left_canaries(places, access)):
                yield Finding(
                    NAME,
                    "warning",
                    f"{state.engine} ({state.config}) still has "
                    f"{safe_text.number(count, 'test container')} that a killed command left there",
                    "remove what is left",
                    remedies.ctl(places, "doctor", "--fix"),
                    partial(_remove, places, access),
                )


def _remove(places: Places, access: Engine) -> None:
    try:
        with transaction_revert.exclusive(places):
            access.remove_probes()
    except CallFailed as failure:
        raise NotMended(str(failure)) from None
