"""A process' filters, read back from the kernel, and their answers to a call, without our code.

The reader is ptrace(2), PTRACE_SECCOMP_GET_FILTER; the evaluator is classic BPF as seccomp takes it
(net/core/filter.c, seccomp_check_filter), implemented independently of ours.
"""

import ctypes
import operator
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from harness.kernel.tracefs import Made

ALLOW, LOG = 0x7FFF0000, 0x7FFC0000
_ACTION = 0xFFFF0000
_SEIZE, _INTERRUPT, _DETACH, _GET_FILTER = 0x4206, 0x4207, 17, 0x420C
_WORD = 0xFFFFFFFF
_ARGS = 16  # struct seccomp_data: nr, arch, ip, and from here on the arguments
_DATA = struct.Struct("<iIQ6Q")
_INSTRUCTION = struct.Struct("<HBBI")
_OPERATIONS = "add sub mul floordiv or_ and_ lshift rshift".split()  # 0x00, 0x10, ... 0x70
_ALU = {0x10 * at: getattr(operator, name) for at, name in enumerate(_OPERATIONS)}
_ALU[0xA0] = operator.xor
_JUMPS = {
    0x10: lambda a, b: a == b,
    0x20: lambda a, b: a > b,
    0x30: lambda a, b: a >= b,
    0x40: lambda a, b: a & b != 0,
}


class Instruction(NamedTuple):
    """struct sock_filter."""

    code: int
    jt: int
    jf: int
    k: int


class Answer(NamedTuple):
    """SECCOMP_RET_* with its data, and whether the filter read any argument."""

    value: int
    by_arguments: bool

    @property
    def denies(self) -> bool:
        return self.value & _ACTION not in (ALLOW, LOG)


@dataclass
class Filters:
    """The filters of one process; the answers are kept."""

    programs: Sequence[Sequence[Instruction]]
    _known: dict[tuple[int, ...], Answer] = field(default_factory=dict)

    def of(self, call: Made) -> Answer:
        """Return what the kernel answers: the lowest of all filters' answers."""
        key = (call.arch, call.number)
        if (found := self._known.get(key)) and not found.by_arguments:
            return found
        full = (*key, *call.args)
        if full not in self._known:
            answers = [_answer(program, call) for program in self.programs]
            least = min(answers, key=lambda one: ctypes.c_int32(one.value & _ACTION).value)
            both = Answer(least.value, any(one.by_arguments for one in answers))
            self._known[full] = self._known[key] = both
        return self._known[full]


def read(pid: int) -> Filters:
    """Return the filters of a running process, which continues afterwards."""
    ptrace = _Ptrace()
    ptrace(_SEIZE, pid, 0, None)
    ptrace(_INTERRUPT, pid, 0, None)
    os.waitpid(pid, 0x40000000)  # __WALL
    try:
        programs: list[list[Instruction]] = []
        while (count := ptrace.attempt(_GET_FILTER, pid, len(programs), None)) > 0:
            buffer = ctypes.create_string_buffer(count * _INSTRUCTION.size)
            ptrace(_GET_FILTER, pid, len(programs), buffer)
            programs.append([Instruction(*one) for one in _INSTRUCTION.iter_unpack(buffer.raw)])
    finally:
        ptrace(_DETACH, pid, 0, None)
    assert programs, f"process {pid} has no filter"
    return Filters(programs)


class _Ptrace:
    def __init__(self) -> None:
        self._call = ctypes.CDLL(None, use_errno=True).ptrace
        self._call.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        self._call.restype = ctypes.c_long

    def attempt(self, request: int, pid: int, address: int, data: object) -> int:
        return int(self._call(request, pid, address, data))

    def __call__(self, request: int, pid: int, address: int, data: object) -> int:
        result = self.attempt(request, pid, address, data)
        if result < 0:
            raise OSError(ctypes.get_errno(), f"ptrace request {request:#x} of process {pid}")
        return result


def _answer(program: Sequence[Instruction], call: Made) -> Answer:
    """Run a program over a call. The instruction classes are those of linux/bpf_common.h."""
    data = _DATA.pack(ctypes.c_int32(call.number).value, call.arch, 0, *call.args)
    a = x = at = 0
    memory = [0] * 16
    by_arguments = False
    while True:
        code, jt, jf, k = program[at]
        at += 1
        kind, operand = code & 7, x if code & 8 else k
        if kind == 6:
            return Answer(a if code & 0x10 else k, by_arguments)
        if kind in (0, 1):
            by_arguments = by_arguments or (code & 0xE0 == 0x20 and k >= _ARGS)
            value = _loaded(code, k, data, memory)
            a, x = (value, x) if kind == 0 else (a, value)
        elif kind in (2, 3):
            memory[k] = a if kind == 2 else x
        elif kind == 4:
            a = (-a if code & 0xF0 == 0x80 else _ALU[code & 0xF0](a, operand)) & _WORD
        elif kind == 5:
            at += k if code & 0xF0 == 0 else (jt if _JUMPS[code & 0xF0](a, operand) else jf)
        else:
            a, x = (x, x) if code & 0x80 else (a, a)


def _loaded(code: int, k: int, data: bytes, memory: Sequence[int]) -> int:
    mode = code & 0xE0
    if mode == 0x20:
        return int.from_bytes(data[k : k + 4], "little")
    return {0x00: k, 0x60: memory[k % 16], 0x80: len(data)}[mode]
