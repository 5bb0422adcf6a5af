"""Whether a canary was started through us and is confined as was decided, by the kernel."""

import contextlib
from collections.abc import Iterable
from dataclasses import replace

from runc_wrap.engines import engine_registry
from runc_wrap.engines.engine_class import Engine
from runc_wrap.engines.handler import CallFailed, EngineError
from runc_wrap.engines.registration import registration_plan, registration_state
from runc_wrap.engines.registration.registration_state import Registered, Where
from runc_wrap.engines.transaction import engine_restart, proof_record, transaction_record
from runc_wrap.failure import Failure
from runc_wrap.host import locks
from runc_wrap.ledger import whole_ledger
from runc_wrap.ledger.decision_record import Record
from runc_wrap.node import paths
from runc_wrap.node.container_state import container_status, deep_verify
from runc_wrap.node.paths import Places

_CANARIES = 5  # of which a kubelet, which looks every two seconds, may end all but one


class NotProved(Failure):
    """The canary does not show what it should; the message says what it shows."""


class Vanished(NotProved):
    """The canary has no process any more: a kubelet ends pods that it does not know."""


def run(places: Places, access: Engine, handler: str, *, is_default: bool = False) -> str:
    """Run a canary by the handler's name, and one without a name if it is the default.

    Return what was proved. Raises NotProved, EngineError, CallFailed and OSError.
    """
    proof = _run(places, access, handler, handler)
    if is_default:
        _run(places, access, "", handler)
    return proof


def _run(places: Places, access: Engine, name: str, handler: str, left: int = _CANARIES) -> str:
    """Run a canary by this name; another one if somebody ended it meanwhile."""
    try:
        with access.canary(name, places.var) as container:
            return check(places, container, handler)
    except Vanished:
        if left == 1:
            raise
    return _run(places, access, name, handler, left - 1)


def check(places: Places, container: str, handler: str) -> str:
    """Return what was proved of a running canary, in a few words. Raises NotProved and OSError."""
    record = _decision(places, container, handler)
    if not record.filters:
        return f"the policy gives it no filter ({record.action}: {record.reason})"
    entries = container_status.gather(places.ledger).entries
    entry = next((one for one in entries if one.container.id == container), None)
    if entry is None or not entry.members:
        raise Vanished(f"the canary {container[:12]} has no process any more")
    if entry.agrees is not True:
        first = entry.members[0]
        raise NotProved(
            f"the canary's process has seccomp {first.seccomp} and {first.filters} filters, where "
            f"{entry.needed} were decided"
        )
    result = deep_verify.Comparing(places.prefix).compare(entry)
    for wrong in result.wrong:
        calls = ", ".join(str(call.syscall) for call in wrong.calls[:5])
        raise NotProved(f"the canary's filter is not the decided one: {calls or wrong.found}")
    doubts = [*result.unknown, *result.unchecked.values()]
    compared = f"not compared call by call: {doubts[0]}" if doubts else "equal call by call"
    what = f"{record.profile} in mode {record.mode}" if record.is_injected else "its own profile"
    return f"{what}, {compared}"


def _decision(places: Places, container: str, handler: str) -> Record:
    records = whole_ledger.read(places.ledger).records.values()
    found = next((one for one in records if one.id == container), None)
    if found is None:
        raise NotProved(
            f"the ledger has no decision about the canary {container[:12]}: the engine did not "
            "start it through runc-wrap"
        )
    if found.handler != handler:
        raise NotProved(f"the canary was started as {found.handler}, not as {handler}")
    return found


def alone(places: Places, where: Where, handler: str, node: engine_restart.Systemd) -> str:
    """Return what a canary through the handler proves. Raises Failure and OSError.

    One that a kill leaves is removed by the next command, and by `doctor --fix`.
    """
    with transaction_record.exclusive(places):
        registration_plan.settle(where.change)
        handlers = registration_state.of(where).handlers
        ours = next((one for one in handlers if one.name == handler), None)
        if ours is None:
            raise EngineError(
                f"{handler} is not registered in {where.config}; try: "
                f"`engine add {where.engine} --restart`"
            )
        access = node.access(where.engine, where.config)
        with contextlib.suppress(CallFailed):
            access.remove_probes()
        version = access.running_version()  # of one that is replaced meanwhile, the former
        try:
            proof = run(places, access, handler, is_default=ours.default)
        finally:
            with engine_restart.uninterrupted(), contextlib.suppress(CallFailed):
                access.remove_probes()  # a signal may have ended the canary's own removal
        last = proof_record.read(where)
        if last and version and last.versions.get(handler) != version:
            proof_record.write(where, replace(last, versions={**last.versions, handler: version}))
        return proof


def left_canaries(places: Places, engine: Engine) -> list[str]:
    """Return the canaries in an engine that killed commands of this installation left.

    None while a command runs that may have started one. Raises CallFailed, OSError.
    """
    is_own = places.prefix == paths.installed().prefix  # whose name they have
    is_one_running = locks.held_by(places.var / locks.DIRECTORY / transaction_record.LOCK)
    return engine.left_probes() if is_own and not is_one_running else []


def remove_left_canaries(places: Places, engines: Iterable[Registered | Where]) -> None:
    """Remove them from engines that answer, unless nothing can be written."""
    for one in engines:
        with contextlib.suppress(OSError, EngineError, CallFailed):
            engine = engine_registry.installed(one.engine, one.config)
            if left_canaries(places, engine):  # asked before: a silent engine blocks no revert
                with transaction_record.exclusive(places):
                    engine.remove_probes()
