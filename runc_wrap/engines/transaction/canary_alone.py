"""Proving a registered handler by a canary: no change of the engine, and no restart.

What is written down is the version of the engine that ran the canary.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from runc_wrap.engines import canary_proof
from runc_wrap.engines.cri.grpc_call import CallFailed
from runc_wrap.engines.handler import EngineError
from runc_wrap.engines.registration import plan_execution, registration_state
from runc_wrap.engines.transaction import proofs, taking_back

if TYPE_CHECKING:
    from runc_wrap.engines.handler import Handler
    from runc_wrap.engines.registration.registration_state import Where
    from runc_wrap.engines.transaction.taking_back import Node
    from runc_wrap.node.paths import Places


def run(places: Places, where: Where, handler: str, node: Node) -> str:
    """Return what a canary through the handler proves. Raises Failure and OSError.

    One that a kill leaves is removed by the next command, and by `doctor --fix`.
    """
    with taking_back.exclusive(places):
        plan_execution.settle(where.change)
        ours = _registered(where, handler)
        access = node.access(where.engine, where.config)
        with contextlib.suppress(CallFailed):
            access.remove_probes()
        version = access.running_version()  # of one that is replaced meanwhile, the former
        try:
            proof = canary_proof.run(places, access, handler, is_default=ours.default)
        finally:
            with taking_back.uninterrupted(), contextlib.suppress(CallFailed):
                access.remove_probes()
        proofs.write_version(where, handler, version)
        return proof


def _registered(where: Where, handler: str) -> Handler:
    found = registration_state.of(where).handlers
    for one in found:
        if one.name == handler:
            return one
    raise EngineError(
        f"{handler} is not registered in {where.config}",
        "a handler that `engine add` registered",
        f"`engine add {where.engine} --restart`",
    )
