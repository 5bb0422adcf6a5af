"""Whether a canary was started through us and is confined as was decided, read from the kernel.

And the record of it, PREFIX/var/proofs, a file per registration: since when and by whom, which
bytes the engine has read, and with which version of the engine a canary proved each handler. A
record that cannot be read is none: nothing but the words of `engine status` depend on it.
"""

import contextlib
import hashlib
import json
import os
import pwd
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from runc_wrap.documents import reader as documents
from runc_wrap.engines import engine_files
from runc_wrap.engines.engine_class import Engine
from runc_wrap.engines.handler import CallFailed, EngineError
from runc_wrap.engines.registration import registration_plan, registration_state
from runc_wrap.engines.registration.registration_state import Where
from runc_wrap.engines.transaction import transaction_revert
from runc_wrap.engines.transaction.engine_restart import Systemd
from runc_wrap.failure import Failure
from runc_wrap.host import files
from runc_wrap.ledger import whole_ledger
from runc_wrap.ledger.decision_record import Record
from runc_wrap.node.container_state import container_status, deep_verify
from runc_wrap.node.paths import Places

_CANARIES = 5  # of which a kubelet, which looks every two seconds, may end all but one
_LARGEST = 1 << 20
_LOGIN_UID = Path("/proc/self/loginuid")
_NO_LOGIN = 0xFFFFFFFF


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


def alone(places: Places, where: Where, handler: str, node: Systemd) -> str:
    """Return what a canary through the handler proves. Raises Failure and OSError.

    One that a kill leaves is removed by the next command, and by `doctor --fix`.
    """
    with transaction_revert.exclusive(places):
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
            with transaction_revert.uninterrupted(), contextlib.suppress(CallFailed):
                access.remove_probes()  # a signal may have ended the canary's own removal
        last = read(where)
        if last and version and last.versions.get(handler) != version:
            write(where, replace(last, versions={**last.versions, handler: version}))
        return proof


@dataclass(frozen=True)
class Proof:
    """The last transaction, which began at these seconds since the epoch.

    `digests` are of the files as the engine read them; `versions`: {handler: the engine's version
    when a canary proved it}.
    """

    begun: float
    by: str
    digests: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


def _path(where: Where) -> Path:
    return where.state_dir.parent / "proofs" / where.state_file.name


def read(where: Where) -> Proof | None:
    """Return what is recorded of a registration, None without a record that can be read."""
    try:
        return documents.read(Proof, files.read(_path(where), _LARGEST))
    except (OSError, ValueError):
        return None


def write(where: Where, proof: Proof) -> None:
    """Record it. Raises OSError."""
    path = _path(where)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    files.replace(path, json.dumps(asdict(proof)).encode(), writer="proof")


def forget(where: Where) -> None:
    """Remove it: a change without a canary came after it."""
    _path(where).unlink(missing_ok=True)


def digests(paths: Iterable[str]) -> dict[str, str]:
    """Return {path: digest of its bytes}, without those that cannot be read."""
    found = {}
    for path in paths:
        with contextlib.suppress(OSError, ValueError):  # irregular, too large
            data = files.read(Path(path), engine_files.MAX_BYTES, follows=True)
            found[path] = hashlib.sha256(data).hexdigest()
    return found


def author() -> str:
    """Return who runs this command, by the kernel's login uid, which sudo does not change."""
    try:
        uid = int(_LOGIN_UID.read_text())
    except (OSError, ValueError):
        uid = _NO_LOGIN
    uid = os.getuid() if uid == _NO_LOGIN else uid
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
