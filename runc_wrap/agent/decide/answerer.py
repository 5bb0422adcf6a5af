"""One launcher's request, answered by the same function that decides on the cold path.

This changes no config: it writes the new text beside it, and the launcher renames. Anything odd is
answered with "cold": the cold path then decides anew, and only the cold path refuses.
"""

from __future__ import annotations

import posix
import time

from runc_wrap.agent.decide import launcher_packet
from runc_wrap.agent.service_lifecycle import Release
from runc_wrap.agent.service_log import say, warn
from runc_wrap.hotpath import argv, config_file, ledger_file, main, policy_file
from runc_wrap.hotpath.create_facts import Call
from runc_wrap.hotpath.errors import Malformed, Refusal, described

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from runc_wrap.hotpath.argv import Invocation
    from runc_wrap.hotpath.compiled_policy import CompiledPolicy
    from runc_wrap.hotpath.config_file import Found

    Json = dict[str, Any]
    AnswerPacket = tuple[bytes, str]

# Bytes of the largest config that is answered here. Parsing takes up to 60 times as much memory,
# which this process keeps, and others wait meanwhile; the cold path is as fast there, and ends.
LARGEST = 1024 * 1024
_NOT_OURS = ("/proc/", "/dev/fd/")  # these paths may name another file for each process


# A packet, and the path of the file that was made for it, "" for none
COLD = (launcher_packet.COLD, "")


class Answerer:
    """Answers for one installation; uses its cached policy only while the file is the same."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.is_current = Release(prefix).is_installed
        self._policy: CompiledPolicy | None = None
        self._number = 0
        self._is_unrecorded = False

    def answer(self, packet: bytes, pid: int, is_waited_for: Callable[[], bool]) -> AnswerPacket:
        """Return the answer to a request from the process `pid`.

        A launcher that has hung up has decided itself, and may have changed the config: then this
        decision is not recorded.
        """
        started = time.perf_counter()
        kind, run_directory, called_as, words = launcher_packet.parsed(packet) or ("", "", "", [])
        invocation = argv.parse(words, kind)
        if not invocation or not _is_plain(invocation) or _is_large(invocation):
            return COLD
        try:
            found = main.read_config(invocation)
            if main.CAPTURE in found.text and _is_capture(self.prefix, found.text):
                return COLD
            call = Call(invocation, kind, called_as, lambda: main.capabilities_of(str(pid)))
            policy = self._policy = policy_file.load(self.prefix, self._policy)
            outcome = main.consider(found.text, call, policy)
            answer = self._answer(found, outcome)
        except (Refusal, Malformed):
            return COLD
        if not is_waited_for():
            return launcher_packet.COLD, answer[1]
        root = invocation.root or _default_root(kind, run_directory, pid)
        runtime = {"root": root, "pid": pid}  # the launcher becomes the runtime
        self._record(invocation, outcome, runtime, started)
        return answer

    def _answer(self, found: Found, outcome: main.Outcome) -> AnswerPacket:
        if _is_elsewhere(found.real):
            return COLD
        was = found.path, found.stat.st_dev, found.stat.st_ino
        if outcome.text is None:
            return launcher_packet.packet("go", *was), ""
        self._number += 1
        name = f"agent.{posix.getpid()}.{self._number}"
        new, inode = config_file.write_beside(found, outcome.text, name)
        return launcher_packet.packet("rename", *was, new, found.real, inode), new

    def _record(
        self, invocation: Invocation, outcome: main.Outcome, runtime: Json, started: float
    ) -> None:
        was_unrecorded, self._is_unrecorded = self._is_unrecorded, False
        try:
            who, decision, block = outcome.who, outcome.decision, outcome.block
            line = ledger_file.record(invocation, who, decision, block, "agent")
            line |= {**runtime, "seconds": round(time.perf_counter() - started, 6)}
            ledger_file.append(self.prefix, line)
        except Exception as error:  # noqa: BLE001 - a failing ledger must not stop a container
            self._is_unrecorded = True
            why = (isinstance(error, OSError) and error.strerror) or described(error)
            if not was_unrecorded:
                warn(f"decisions are not recorded: {why}; containers start all the same.")
        if was_unrecorded and not self._is_unrecorded:
            say("decisions are recorded again.")


def _default_root(kind: str, run_directory: str, pid: int) -> str:
    """Return the state directory of the runtime that a launcher becomes, "" if it has ended.

    Its USER is not known here, which would matter for runc as root of another user namespace.
    """
    environment = {b"XDG_RUNTIME_DIR": run_directory.encode("utf-8", "surrogateescape")}
    try:
        return main.default_root(kind, environment, str(pid))
    except Refusal:
        return ""


def _is_capture(prefix: str, text: bytes) -> bool:
    """Return whether root asked to capture this container's profile; anyone may pretend that."""
    from runc_wrap.hotpath import captured_block  # noqa: PLC0415 - nearly no create is one

    return captured_block.is_asked(prefix, text, text.index(main.CAPTURE) + len(main.CAPTURE))


def _is_plain(invocation: Invocation) -> bool:
    """Return whether its paths mean the same here as in the launcher's directory and mounts."""
    paths = (argv.config_path(invocation), invocation.bundle, invocation.pid_file or "/")
    absolute = all(path.startswith("/") and not _is_elsewhere(path) for path in paths)
    return absolute and not invocation.is_guess


def _is_large(invocation: Invocation) -> bool:
    """Return whether the config is too large to answer here, before it is opened."""
    try:
        return posix.stat(argv.config_path(invocation)).st_size > LARGEST
    except OSError:  # reading it reports why
        return False


def _is_elsewhere(path: str) -> bool:
    return any(part in path for part in _NOT_OURS)
