"""Reports errors, and only this module does: one line to the engine's log, and to stderr.

containerd shows the last line of level "error" in --log, and needs a `time` in RFC 3339
(containerd:pkg/process/utils.go); Podman and CRI-O show stderr, through conmon.
"""

import posix
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runc_wrap.hotpath.argv import Invocation

_LONGEST_QUOTED = 120
_LONGEST = 4000  # characters; conmon passes on 8191 bytes of stderr (conmon:src/utils.h BUF_SIZE)

# Podman and Docker turn the kernel's wording into exit codes 126 and 127 (a command that could not
# be run), so our sentences must not contain it.
_WORDS = {
    1: "the kernel does not allow it",  # EPERM
    2: "it does not exist",  # ENOENT
    13: "access to it is denied",  # EACCES
    20: "a part of its path is not a directory",  # ENOTDIR
    21: "a directory is in its place",  # EISDIR
    28: "no space is left on the device",  # ENOSPC
    30: "the file system is read-only",  # EROFS
    40: "its path has too many symbolic links",  # ELOOP
}


class Refusal(Exception):
    """The container must not start; the message says what was found, wanted, and what to try."""


class Forbidden(Refusal):
    """The container must not start, whatever `on_error` says."""


class Captured(Forbidden):
    """The container only had to show its profile."""


class Malformed(Exception):
    """Only the real runtime can parse the command line; it gets it unchanged."""


def described(error: Exception) -> str:
    """Return an unexpected error: its type, and its file and line, without any foreign text."""
    found = "?"
    step = error.__traceback__
    while step:
        found = f"{step.tb_frame.f_code.co_filename.rpartition('/')[2]}:{step.tb_lineno}"
        step = step.tb_next
    return f"{type(error).__name__} in {found}"


def because(error: OSError) -> str:
    """Return the reason of a failed system call, in words that no engine interprets."""
    return _WORDS.get(error.errno or 0) or f"{error.strerror} (errno {error.errno})"


def quoted(foreign: object) -> str:
    """Return foreign text in quotes, short and free of control characters."""
    text = str(foreign)
    shown = text if len(text) <= _LONGEST_QUOTED else text[:_LONGEST_QUOTED] + "..."
    return '"' + "".join(map(_shown, shown)) + '"'


def _shown(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return character if character.isprintable() else ascii(character)[1:-1]


def report(message: str, invocation: "Invocation | None", *, level: str = "error") -> None:
    """Append one line to the engine's --log; write an error to stderr as well."""
    text = f"runc-wrap: {message}"[:_LONGEST]
    if invocation and invocation.log:
        _append(invocation.log, _line(text, level, invocation.log_format))
    if level == "error":
        _write(2, f"{text}\n".encode("utf-8", "backslashreplace"))


def _line(text: str, level: str, log_format: str) -> bytes:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    quoted_text = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if log_format == "json":
        line = f'{{"level":"{level}","msg":{quoted_text},"time":"{now}"}}\n'
    else:
        line = f'time="{now}" level={level} msg={quoted_text}\n'
    return line.encode("utf-8", "backslashreplace")


def _append(path: str, line: bytes) -> None:
    """Append if possible: an unwritable log must not hide the failure itself."""
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND | posix.O_NONBLOCK | posix.O_NOCTTY
    try:
        descriptor = posix.open(path, flags, 0o644)
    except OSError:
        return
    _write(descriptor, line)
    posix.close(descriptor)


def _write(descriptor: int, data: bytes) -> None:
    try:
        posix.write(descriptor, data)
    except OSError:
        return
