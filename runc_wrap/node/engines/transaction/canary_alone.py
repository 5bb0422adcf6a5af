"""Proving a registered handler by a canary: no change of the engine, and no restart.

What is written down is the version of the engine that ran the canary.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from runc_wrap.node.engines.canary import canary_proof
from runc_wrap.node.engines.cri.grpc_call import CallFailed
from runc_wrap.node.engines.handler import EngineError
from runc_wrap.node.engines.registration import registration_state
from runc_wrap.node.engines.transaction import (
    journal,
    left_canaries,
    taking_back,
)
from runc_wrap.node.engines.transaction.left_canaries import Left

if TYPE_CHECKING:
    from collections.abc import Callable

    from runc_wrap.node.engines.handler import Handler
    from runc_wrap.node.engines.registration.registration_state import Where
    from runc_wrap.node.engines.transaction.taking_back import Node
    from runc_wrap.node.paths import Places

FAILURES = (canary_proof.NotProved, CallFailed, EngineError, OSError)


def run(places: Places, where: Where, handler: str, node: Node, tell: Callable[[str], None]) -> str:
    """Return what a canary through the handler proves. Raises FAILURES.

    A canary that a kill leaves is noted like that of a transaction, and removed as that one is.
    """
    with taking_back.exclusive(places):
        journal.refuse_unfinished(places, where)
        ours = _registered(where, handler)
        access = node.access(where.engine, where.config)
        for one in left_canaries.clear(places, node).given_up:
            tell(one.given_up())
        try:
            _note(places, where, node, access.unit)
            with contextlib.suppress(CallFailed):
                access.remove_canaries()
            version = access.running_version()  # of one that is replaced meanwhile, the former
            proof = canary_proof.run(places, access, handler, is_default=ours.default)
            _record_version(places, where, handler, version)
            return proof
        finally:
            with taking_back.uninterrupted():
                _tidy(places, node)


def _note(places: Places, where: Where, node: Node, unit: str) -> None:
    """Note that a canary may be left. The next boot arms the timer again, which it does not have.

    Where no unit can be written, that is left out: whoever comes after a power cut removes it.
    """
    with contextlib.suppress(EngineError, OSError):
        node.guard_boot(places, unit)
    note = Left(where.engine, str(where.config))
    left_canaries.note(places, journal.path_of(places, where), note)
    taking_back.clear_later(places, node)


def _record_version(places: Places, where: Where, handler: str, version: str | None) -> None:
    """Record the engine's version if it tells one: `engine status` compares it with a later one."""
    path = journal.path_of(places, where)
    last = journal.read(path)
    if last and version and last.version_of(handler) != version:
        journal.write(path, replace(last, proved={**last.proved, handler: version}))


def _registered(where: Where, handler: str) -> Handler:
    found = registration_state.handlers_of(registration_state.of(where))
    for one in found:
        if one.name == handler:
            return one
    raise EngineError(
        f"{handler} is not registered in {where.config}",
        "a handler of ours",
        f"`engine add {where.engine} --restart`",
    )


def _tidy(places: Places, node: Node) -> None:
    """Remove canaries and their notes; timer and unit stay for what cannot be removed now."""
    left_canaries.clear(places, node)
    if not left_canaries.noted(places):
        node.disarm(left_canaries.timer(places))
        with contextlib.suppress(EngineError, OSError):  # the boot finds nothing to do, then
            taking_back.release_boot(places, node)
