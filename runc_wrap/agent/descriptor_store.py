"""The supervisor's descriptor store: what is in it outlives this process.

systemd.service(5), FileDescriptorStoreMax=. $FDSTORE says how many descriptors it takes, 0 for
none; `runc-wrapctl agent observe` sees to that for a systemd that does not say so.
"""

from collections.abc import Mapping

from runc_wrap.agent.service_log import warn
from runc_wrap.agent.systemd_protocol import Supervisor, number

LISTENER = "seccomp-"  # followed by a number from 1
ARRIVING = "arriving-"  # followed by its listener's number: a runtime's connection
INFLIGHT = "inflight"
_REMOVE = b"FDSTOREREMOVE=1\nFDNAME="
ANYWAY = b"RUNC_WRAP_WITHOUT_DESCRIPTOR_STORE"  # in the environment: take listeners without one


def room(environment: Mapping[bytes, bytes]) -> int:
    """Return how many descriptors the supervisor keeps."""
    return number(environment, b"FDSTORE")


def number_of(name: str, kind: str = LISTENER) -> int:
    """Return the number in a stored listener's name, or another kind's; 0 if it has none."""
    rest = name.removeprefix(kind)
    return int(rest) if rest != name and rest.isascii() and rest.isdecimal() else 0


def is_stored(name: str) -> bool:
    """Return whether a descriptor of this name is one that the store has, not a socket's."""
    return name == INFLIGHT or bool(number_of(name) or number_of(name, ARRIVING))


class DescriptorStore:
    """The store of one service: `most` is how many descriptors it takes, 0 without a store.

    `handed` are stored as far as there is room, the first ones first; the others are `late`.
    """

    def __init__(
        self, supervisor: Supervisor, environment: Mapping[bytes, bytes], handed: Mapping[str, int]
    ) -> None:
        self.most = room(environment)
        self._supervisor = supervisor
        held = [*filter(is_stored, handed)]
        self._names = set(held[: self.most])
        self._ended: list[str] = []
        late = [name for name in held[self.most :] if self.most and number_of(name)]
        self.late = {name: handed[name] for name in late}  # for want of room or of an answer

    def put(self, name: str, fd: int, *, until_closed: bool = False) -> None:
        """Store a descriptor; the supervisor drops it once it hangs up, unless `until_closed`."""
        if not self.most:
            return
        is_full = name not in self._names and len(self._names) >= self.most
        poll = b"\nFDPOLL=0" if until_closed else b""
        message = b"FDSTORE=1\nFDNAME=" + name.encode() + poll
        if is_full or not self._supervisor.send(message, [fd], waits=True):
            why = f"holds {self.most} already" if is_full else "does not answer"
            then = f"calls through {name} fail if this process is killed"
            warn(f"the descriptor store {why}: {then}.")
            if not until_closed:
                self.late[name] = fd
            return
        self._names.add(name)

    def put_late_ones(self) -> None:
        """Store what found no room or no answer before, as far as that works without waiting."""
        while self.late and len(self._names) < self.most:
            name, fd = next(iter(self.late.items()))
            if not self._supervisor.send(b"FDSTORE=1\nFDNAME=" + name.encode(), [fd]):
                return
            del self.late[name]
            self._names.add(name)

    def remove(self, name: str) -> None:
        """Have a descriptor closed there; if the supervisor is busy, with the next one."""
        if not self.most:
            return
        self._names.discard(name)
        self.late.pop(name, None)
        self._ended.append(name)
        while self._ended and self._supervisor.send(_REMOVE + self._ended[0].encode()):
            del self._ended[0]
