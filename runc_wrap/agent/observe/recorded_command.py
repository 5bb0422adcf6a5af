"""Runs a command under a listener in its parent, which records the calls of it and its children.

The command has the caller's rights, or fewer: without CAP_SYS_ADMIN no_new_privs is set, with which
setuid programs gain none. Every call waits for the parent: if that is killed, calls get ENOSYS.
"""

import ctypes
import errno
import os
import select
import signal
import socket
import struct
import threading
import time
from collections.abc import Sequence
from typing import NoReturn

from runc_wrap.agent.observe import seccomp_unotify
from runc_wrap.evidence.sightings import OBSERVE, RECORDED, Sighting
from runc_wrap.evidence.store.call_counts import Tallies
from runc_wrap.failure import Failure
from runc_wrap.profiles import return_codes, syscall_names
from runc_wrap.profiles.unobserved_calls import BASE

# linux/prctl.h, linux/seccomp.h, linux/bpf_common.h
_SET_NO_NEW_PRIVS, _MODE_FILTER, _NEW_LISTENER, _WAIT_KILLABLE = 38, 1, 8, 32
_LOAD, _EQUAL, _RETURN, _NUMBER, _ARCH = 0x20, 0x15, 0x06, 0, 4
_PASSED_ON = (
    signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2,
)  # fmt: skip
_FROM_TERMINAL = 0x80  # SI_KERNEL: the terminal sends it to the command as well
_LOOK = 0.2  # seconds between looks whether children are left
_MOST_SAID = 200  # bytes


def run(words: Sequence[str]) -> tuple[int, Tallies]:
    """Run a command until it and all its children have ended; return its status, and its calls.

    A status beyond 128 is 128 and the signal that ended it. A signal that comes while only children
    are left ends the waiting; `ended` of the calls is None then. Raises Failure if it cannot be
    executed, or not with a listener.
    """
    ours, its = socket.socketpair()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*_PASSED_ON, signal.SIGCHLD})
    pid = os.fork()
    if not pid:
        _become(words, its, before)
    its.close()
    _, fds, _, _ = socket.recv_fds(ours, 1, 1)
    if not fds:
        os.waitpid(pid, 0)
        raise Failure("the command was not run: the kernel refused a seccomp listener here")
    seen = Tallies()
    serving = threading.Thread(target=_serve, args=(fds[0], seen), daemon=True)
    serving.start()
    status = _waited(pid)
    while serving.is_alive() and not signal.sigtimedwait(_PASSED_ON, 0):
        serving.join(_LOOK)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if why := ours.recv(_MOST_SAID):
        raise Failure(f"{words[0]} cannot be executed: {why.decode()}")
    return status, seen


def _waited(pid: int) -> int:
    """Pass signals on until a process ends; return its status as a shell has it."""
    while True:
        came = signal.sigwaitinfo({*_PASSED_ON, signal.SIGCHLD})
        if came.si_signo != signal.SIGCHLD and came.si_code != _FROM_TERMINAL:
            os.kill(pid, came.si_signo)
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _serve(listener: int, seen: Tallies) -> None:
    """Count each call and let it continue, until no process has the filter any more."""
    try:
        inflight, poll = seccomp_unotify.Inflight.new(), select.poll()
        poll.register(listener, select.POLLIN)
        while poll.poll()[0][1] & select.POLLIN:
            if call := inflight.receive(listener, 0):
                code = return_codes.USER_NOTIF | RECORDED
                words = (call.arch, call.number, code, call.args, OBSERVE)
                seen.add(Sighting(time.time(), 0, call.tid, 0, "", "", *words))
                seccomp_unotify.proceed(listener, call.id)
        seen.ended = time.time()
    finally:
        os.close(listener)


def _become(words: Sequence[str], channel: socket.socket, mask: set[int]) -> NoReturn:
    """Load the filter, hand over its listener, and execute the command."""
    try:
        listener = _listener()
        socket.send_fds(channel, [b"\0"], [listener])
        os.close(listener)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.execvp(words[0], [*words])  # noqa: S606 - the caller's own command
    except OSError as error:
        channel.send(os.strerror(error.errno or 0).encode())
    finally:
        os._exit(1)


def _listener() -> int:
    """Load the filter; return its listener. Raises OSError."""
    text = ctypes.create_string_buffer(_filter())
    program = struct.pack("@HP", len(text) // 8, ctypes.addressof(text))
    libc = ctypes.CDLL(None, use_errno=True)
    number = syscall_names.numbers(syscall_names.native())["seccomp"]
    for flags in (_NEW_LISTENER | _WAIT_KILLABLE, _NEW_LISTENER):
        for _ in range(2):
            found: int = libc.syscall(number, _MODE_FILTER, flags, program)
            if found >= 0:
                return found
            if ctypes.get_errno() != errno.EACCES:
                break
            libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    raise OSError(ctypes.get_errno(), "")


def _filter() -> bytes:
    """Return instructions that send what is not in BASE, and all calls of other ABIs."""
    native = syscall_names.native()
    base = sorted({syscall_names.numbers(native).get(name, -1) for name in BASE - {"clone"}} - {-1})
    lines = [(_LOAD, 0, 0, _ARCH), (_EQUAL, 0, len(base) + 1, native.audit), (_LOAD, 0, 0, _NUMBER)]
    lines += [(_EQUAL, len(base) - at, 0, number) for at, number in enumerate(base)]
    lines += [(_RETURN, 0, 0, return_codes.USER_NOTIF), (_RETURN, 0, 0, return_codes.ALLOW)]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)
