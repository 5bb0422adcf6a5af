"""The seccomp listeners of all containers in observe, and the answers to their calls.

The descriptor store has them as well, under the names of their files: calls wait while this process
is being replaced, and none fails. A file says whose the listener is, and what was found out of it:

PREFIX/var/agent/listeners/seccomp-N.json    {id, bundle, pid, metadata, root}, and if need be
{unread, own_filters}

Each turn answers one call of each listener
that has one, so a container that floods delays itself, not the others.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from runc_wrap.agent import descriptor_store
from runc_wrap.agent.descriptor_store import ARRIVING, INFLIGHT, LISTENER, number_of
from runc_wrap.agent.observe import call_arguments, seccomp_unotify
from runc_wrap.agent.observe.container_limits import Caller, ObservedContainer, Whose, whose
from runc_wrap.agent.observe.inspector_client import Inspector
from runc_wrap.agent.observe.own_filter_installations import KEY, TracingFilters
from runc_wrap.agent.service_log import warn
from runc_wrap.evidence.sightings import HIDES, OBSERVE, RECORDED, UNMADE, Sighting
from runc_wrap.host import files, runtime_state
from runc_wrap.hotpath import config_file, json_codec
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.hotpath.ledger_file import Key
from runc_wrap.profiles.return_codes import USER_NOTIF

Json = dict[str, Any]
Record = Callable[[Key | None, Sighting], None]

_UNREAD = "unread"  # in a listener's state: reading its container's callers took too long


class Listener:
    """One listener; `key` is its container's key in the evidence, None if unknown.

    `container` is shared with the container's other listeners; `own` are the filters that its
    processes installed; `records`: the profile allows every call that is sent.
    """

    __slots__ = ("allowed", "container", "fd", "key", "number", "own", "records")

    def __init__(
        self, number: int, fd: int, state: Json, container: ObservedContainer, inspector: Inspector
    ) -> None:
        self.number = number
        self.fd = fd
        self.container = container
        self.key = _key_of(state)
        metadata = state.get("metadata")
        self.allowed = call_arguments.allowed(metadata) if isinstance(metadata, str) else {}
        self.records = metadata == call_arguments.RECORDS
        self.own = TracingFilters(inspector, container, state.get(KEY))
        if state.get(_UNREAD) is True:
            container.patience = 0.0


class Listeners:
    """All listeners of an installation.

    `record` is called with each call that a profile would have denied. `is_deaf`: a container runs
    whose listeners were closed with the agent before.
    """

    def __init__(
        self, prefix: str, store: descriptor_store.DescriptorStore, record: Record
    ) -> None:
        self.store = store
        self.record = record
        self.directory = f"{prefix}/var/agent/listeners"
        self.by_fd: dict[int, Listener] = {}
        self.containers: dict[Whose, ObservedContainer] = {}
        self.inspector = Inspector(prefix, self._read_no_more)
        self.inflight: seccomp_unotify.Inflight
        self.unsettled: dict[int, int] = {}
        self.is_deaf = False
        os.makedirs(self.directory, 0o700, exist_ok=True)

    def restore(self, held: Mapping[str, int]) -> None:
        """Take the stored listeners, and answer the call that a killed process had received.

        Listeners of an unknown container, whose connection is still held, are left in `unsettled`.
        """
        self.inflight = self._memory(held.get(INFLIGHT))
        for name, fd in held.items():
            number = number_of(name)
            state = read_state(self.directory, name) if number else {}
            if number and not state and f"{ARRIVING}{number}" in held:
                self.unsettled[number] = fd
            elif number:
                self._add(self._made(number, fd, state))
        self._answer_left(self.inflight)
        self._remove_files()

    def _memory(self, stored: int | None) -> seccomp_unotify.Inflight:
        if stored is not None:
            return seccomp_unotify.Inflight(stored)
        made = seccomp_unotify.Inflight.new()
        self.store.put(INFLIGHT, made.fd)  # before any call is received
        return made

    def _answer_left(self, inflight: seccomp_unotify.Inflight) -> None:
        if inflight.left is None:
            return
        number, call = inflight.left
        for listener in self.by_fd.values():
            if listener.number != number or not seccomp_unotify.is_valid(listener.fd, call.id):
                continue
            if inflight.was_stuck:
                self._read_no_more(listener.container)
            is_left = seccomp_unotify.proceed(listener.fd, call.id, self._error(listener, call))
            if is_left and not inflight.is_counted(call.id):
                inflight.count(call.id)

    def _error(self, listener: Listener, call: seccomp_unotify.Notification) -> int:
        """Return the error of a call that must not continue, 0 for all others."""
        own = listener.own
        return own.error(call, lambda: self._keep(listener, KEY, own.as_state()))

    def _keep(self, listener: Listener, key: str, value: object) -> bool:
        """Write something down in a listener's state; return whether that worked."""
        name = f"{LISTENER}{listener.number}"
        state = read_state(self.directory, name)
        return write_state(self.directory, name, {**state, key: value})

    def _read_no_more(self, container: ObservedContainer) -> None:
        """Read nothing more about a container's callers until it ends, whoever joins it."""
        name = container.whose[0] or "a container without a name"
        warn(f"reading callers in {name} took too long; they are not read any more.")
        container.patience = 0.0
        for listener in self.by_fd.values():
            if listener.container is container:
                self._keep(listener, _UNREAD, value=True)

    def named(self) -> Iterator[tuple[str, int]]:
        """Yield the name and descriptor of all that has to outlive this process."""
        yield INFLIGHT, self.inflight.fd
        for listener in self.by_fd.values():
            yield f"{LISTENER}{listener.number}", listener.fd

    def keep(self, number: int, fd: int) -> None:
        """Store a listener that has just come."""
        self.store.put(f"{LISTENER}{number}", fd)

    def add(self, number: int, fd: int, state: Json) -> Listener:
        """Take a listener, which is stored, once its container is known."""
        listener = self._made(number, fd, state)
        unread = {} if listener.container.may_be_read else {_UNREAD: True}
        write_state(self.directory, f"{LISTENER}{number}", state | unread)
        self.store.remove(f"{ARRIVING}{number}")
        self._add(listener)
        return listener

    def _made(self, number: int, fd: int, state: Json) -> Listener:
        name = whose(state)
        container = self.containers.setdefault(name, ObservedContainer(name))
        return Listener(number, fd, state, container, self.inspector)

    def _add(self, listener: Listener) -> None:
        os.set_inheritable(listener.fd, False)  # noqa: FBT003 - takes it by position only
        seccomp_unotify.wake_here(listener.fd)
        self.by_fd[listener.fd] = listener
        self.inspector.start()

    def gone(self, listener: Listener) -> None:
        """Forget a listener whose processes have all ended."""
        name = f"{LISTENER}{listener.number}"
        del self.by_fd[listener.fd]
        if all(one.container is not listener.container for one in self.by_fd.values()):
            del self.containers[listener.container.whose]
        if not self.by_fd:
            self.inspector.stop()
        os.close(listener.fd)
        self.store.remove(name)
        config_file.remove(f"{self.directory}/{name}.json")

    def answer(self, listener: Listener) -> None:
        """Let one call continue, and record it unless the profile allows it by its arguments.

        What was read about the caller is valid if the call still waits afterwards. A call that the
        caller's own filter refuses does not continue.
        """
        call = self.inflight.receive(listener.fd, listener.number)
        if call is None:
            return
        received = time.time()  # once answered, its thread may already run another program
        error = self._error(listener, call)
        groups = listener.allowed.get((call.arch, call.number & 0xFFFFFFFF))
        mask = call_arguments.bits(call.arch, call.number)
        if groups and call_arguments.allows(groups, call.args, mask):
            seccomp_unotify.proceed(listener.fd, call.id, error)
            return
        caller, args = self.inspector.look(listener.container, call)
        if not seccomp_unotify.is_valid(listener.fd, call.id):
            caller, args = Caller(call.tid), call_arguments.arguments(call, None)
            call.unmade = args is None
        self.inflight.count(call.id)
        seccomp_unotify.proceed(listener.fd, call.id, error)
        data = (RECORDED, listener.records), (HIDES, call.hides), (UNMADE, call.unmade)
        code = USER_NOTIF | sum(bit for bit, is_set in data if is_set)
        made = Sighting(received, 0, *caller, call.arch, call.number, code, args, OBSERVE)
        self.record(listener.key, made)

    def _remove_files(self) -> None:
        """Remove the files of listeners that no longer exist.

        A container's calls fail, seen by nobody, if it runs and none of its listeners is left.
        """
        names = {f"{LISTENER}{listener.number}.json" for listener in self.by_fd.values()}
        for name in {*os.listdir(self.directory)} - names:
            state = read_state(self.directory, name.removesuffix(".json"))
            key, is_held = _key_of(state), whose(state) in self.containers
            if key and not is_held and runtime_state.running(key):
                self.is_deaf = True
            config_file.remove(f"{self.directory}/{name}")


def _key_of(state: Json) -> Key | None:
    """Return the container's key in the evidence, None if it is unknown."""
    name, root = state.get("id"), state.get("root")
    return (root, name) if isinstance(name, str) and name and isinstance(root, str) else None


def read_state(directory: str, name: str) -> Json:
    """Return a listener's state from its file, {} if it cannot be read."""
    try:
        found = json_codec.loads(config_file.read(f"{directory}/{name}.json").text)
    except (Refusal, json_codec.Unreadable):
        return {}
    return found if isinstance(found, dict) else {}


def write_state(directory: str, name: str, state: Json) -> bool:
    """Write a listener's state to its file; return whether that worked."""
    try:
        text = json_codec.dumps(state)  # of texts that were JSON before
        files.replace(f"{directory}/{name}.json", text, is_synced=False, writer="agent")
    except (OSError, json_codec.Unreadable):
        warn(f"the state of {name} could not be written.")
        return False
    return True
