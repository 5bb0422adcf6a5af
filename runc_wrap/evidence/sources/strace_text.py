"""Calls in strace's output: its own text, with -f, -t, -r, -T, -i, -Y or -o; best with -n -X raw.

An argument is known only if strace printed a number, and no string or structure before it. A call
that strace shows in two parts counts where it begins. With -o the file does not say which process
is a 32-bit one; the numbers that -n prints do. Source: strace 6.13, src/strace.c (printleader) and
strace.1.
"""

from __future__ import annotations

import re
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from runc_wrap.evidence.sightings import Args

_COMMAND = rb"(?:<[^\n]{0,64}?>)?"
_PID = rb"(?:\[pid +(\d{1,10})" + _COMMAND + rb"\] |(\d{1,10})" + _COMMAND + rb" +)?"
# {0,16}: of two runs of blanks in a row without a bound, trying takes quadratic time
_LINE = re.compile(
    _PID + rb"(?: {0,16}(?:\d\d:\d\d:\d\d|\d{1,11})(?:\.\d{1,9})? )?"
    rb"(?:\[ *(\d{1,10})\] )?(?:\[[^\]\n]{1,99}\] ){0,2}([a-z_][a-z0-9_]{0,63})\((.{0,2000})"
)
_UNNAMED = re.compile(r"syscall_(0x[0-9a-f]{1,16})")
_ENDED = re.compile(_PID + rb".{0,99}\+\+\+ (?:exited|killed) ")
_MODE = re.compile(rb"\[ Process PID=(\d{1,10}) runs in (32|x32|64)(?: bit)? mode\. \]")
# as Python and C read it alike: 017 is octal, as strace prints modes
_NUMBER = re.compile(rb"-?(?:0x[0-9a-f]{1,16}|0|[1-9]\d{0,19})")
_END = re.compile(rb'["()\[{]')  # of the arguments, or of those that are numbers
_ARGUMENTS = 6
_MASK = (1 << 64) - 1


class TracedCall(NamedTuple):
    """One call: `bits` is "64", "32" or "x32"; `args` are six, None for what is no number.

    `number` is the one that strace printed, if it did.
    """

    name: str
    bits: str
    args: Args
    number: int | None = None


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
        if mode := _MODE.search(line):
            self._modes[mode[1]] = mode[2].decode()
            self._has_some = True
        elif found := _LINE.match(line):
            name, bits = found[4].decode(), self._mode(found[1] or found[2])
            unnamed = _UNNAMED.fullmatch(name)
            number = int(found[3]) if found[3] else _signed(unnamed[1]) if unnamed else None
            self._has_some |= number is not None
            self.lacks_modes = not self._has_some
            return TracedCall(name, bits, _arguments(found[5]), number)
        elif ended := _ENDED.match(line):
            self._modes.pop(ended[1] or ended[2], None)
        return None

    def _mode(self, pid: bytes | None) -> str:
        """Return a process' mode; strace names no process while it traces only one."""
        if pid or len(self._modes) != 1:
            return self._modes.get(pid or b"", "64")
        return next(iter(self._modes.values()))


def _signed(word: str) -> int:
    """Return a call's number as the kernel and its audit records have it: an int of 32 bits."""
    return ((int(word, 0) & 0xFFFFFFFF) ^ 1 << 31) - (1 << 31)


def _arguments(text: bytes) -> Args:
    words = _END.split(text, maxsplit=1)[0].split(b",")[:_ARGUMENTS]
    known = [_number(word.strip()) for word in words]
    return (*known, *[None] * (_ARGUMENTS - len(known)))


def _number(word: bytes) -> int | None:
    bits = word.split(b"|")
    if not all(map(_NUMBER.fullmatch, bits)):
        return None
    return reduce(or_, (int(one, 0) & _MASK for one in bits))
