"""Calls in strace's output: its own text, with -f, -t, -r, -T, -i or -o; best with -n -X raw.

An argument is known only if strace printed a number, and only strings and numbers before it: names
of files in <>, which -y prints, may contain anything. So may those of programs, which -Y prints:
such lines are not read. A call that strace shows in two parts counts where it begins. With -o the
file does not say which process is a 32-bit one; the numbers that -n prints do. Source: strace 6.13,
src/strace.c (printleader), src/clone.c and strace.1.
"""

import re
from functools import reduce
from operator import or_
from typing import NamedTuple

from runc_wrap.evidence.sightings import Args

_PID = rb"(?:\[pid +(\d{1,10})\] |(\d{1,10}) +)?"
# {0,16}: of two runs of blanks in a row without a bound, trying takes quadratic time
_LINE = re.compile(
    _PID + rb"(?: {0,16}(?:\d\d:\d\d:\d\d|\d{1,11})(?:\.\d{1,9})? )?"
    rb"(?:\[ *(\d{1,10})\] )?(?:\[[^\]\n]{1,99}\] ){0,2}([a-z_][a-z0-9_]{0,63})\((.{0,2000})"
)
_UNNAMED = re.compile(r"syscall_(0x[0-9a-f]{1,16})")
_ENDED = re.compile(_PID + rb".{0,99}\+\+\+ (?:exited|killed) ")
_MODE = re.compile(
    rb"(?:[^ \n]{1,200}: )?\[ Process PID=(\d{1,10}) runs in (32|x32|64)(?: bit)? mode\. \]"
)
_NUMBER = re.compile(rb"-?(?:0x[0-9a-f]{1,16}|[1-9]\d{0,19})|0[0-7]{0,22}")
_WORD = re.compile(rb' ?("(?:[^"\\]|\\.)*+"(?:\.\.\.)?|[^"()\[{<,]*+)([,)])')
_FLAGS = re.compile(rb"(?:child_stack=\w{1,18}, |\{)flags=([\w|]{1,300})")  # of clone and clone3
_ARGUMENTS = 6
_CLONES = {"clone": 1, "clone3": 2}  # how many of their arguments are known
_MASK = (1 << 64) - 1


class TracedCall(NamedTuple):
    """One call: `bits` is "64", "32" or "x32", "" if unknown.

    `args` are six, None for what is no number; of clone the flags alone, of clone3 these and
    whether it has set_tid. `number` is the one that strace printed, if it did; `pid` likewise.
    """

    name: str
    bits: str
    args: Args
    number: int | None = None
    pid: bytes = b""


class StraceReader:
    """Reads lines; remembers which processes run in which mode.

    `lacks_modes`: there were calls, but neither their numbers nor modes, so all count as native.
    """

    lacks_modes = False

    def __init__(self) -> None:
        self._has_some = False
        self._modes: dict[bytes, str] = {}

    def call(self, line: bytes) -> TracedCall | None:
        """Return the call in a line, None for any other line."""
        if mode := _MODE.match(line):
            self._modes[mode[1]] = mode[2].decode()
            self._has_some = True
        elif found := _LINE.match(line):
            # strace names no process while it traces only one
            only = next(iter(self._modes)) if len(self._modes) == 1 else b""
            name, pid = found[4].decode(), found[1] or found[2] or only
            unnamed = _UNNAMED.fullmatch(name)
            number = int(found[3]) if found[3] else _signed(unnamed[1]) if unnamed else None
            self._has_some |= number is not None
            self.lacks_modes = not self._has_some
            args = _flags(name, found[5]) if name in _CLONES else _arguments(found[5])
            return TracedCall(name, self._modes.get(pid, ""), args, number, pid)
        elif ended := _ENDED.match(line):
            self._modes.pop(ended[1] or ended[2], None)
        return None

    def runs(self, call: TracedCall, bits: str) -> None:
        """Remember in which mode a process made a call; after execve it may be another."""
        self._modes[call.pid] = "" if call.name.startswith("execve") else bits


def _signed(word: str) -> int:
    """Return a call's number as the kernel and its audit records have it: an int of 32 bits."""
    return ((int(word, 0) & 0xFFFFFFFF) ^ 1 << 31) - (1 << 31)


def _arguments(text: bytes) -> Args:
    known: list[int | None] = []
    at, end = 0, b","
    while end == b"," and (word := _WORD.match(text, at)):
        known.append(_number(word[1]))
        at, end = word.end(), word[2]
    return (*known, *[None] * _ARGUMENTS)[:_ARGUMENTS]


def _flags(name: str, text: bytes) -> Args:
    found = _FLAGS.match(text)
    args = _number(found[1]) if found else None, int(b"set_tid" in text)
    return (*args[: _CLONES[name]], *[None] * _ARGUMENTS)[:_ARGUMENTS]


def _number(word: bytes) -> int | None:
    bits = word.split(b"|")
    if not all(map(_NUMBER.fullmatch, bits)):
        return None
    octal = (one[:1] == b"0" and one.isdigit() for one in bits)
    values = (int(one, 8 if is_octal else 0) for one, is_octal in zip(bits, octal, strict=True))
    return reduce(or_, values) & _MASK
