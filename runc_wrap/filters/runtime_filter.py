"""The whole filter that a runtime installs for a block: runc's ENOSYS stub, then libseccomp's."""

from collections.abc import Mapping
from errno import ENOSYS
from struct import Struct

from runc_wrap.filters.evaluate import bpf
from runc_wrap.filters.evaluate.libseccomp_input import Block, Loader, load
from runc_wrap.filters.kernel import libseccomp_compiler
from runc_wrap.profiles import abis, return_codes, syscall_names
from runc_wrap.profiles.abis import ABIS, X32_BIT, Abi

_INSTRUCTION = Struct("=HBBI")  # struct sock_filter of linux/filter.h
_JGT, _JGE = 0x25, 0x35
_NUMBER, _ARCH = 0, 4  # offsets in struct seccomp_data


def installed(block: Block, loader: Loader) -> bytes:
    """Return the filter as struct sock_filter[]. Raises ProfileError."""
    found = load(block, loader)
    return _stub(found.stub) + libseccomp_compiler.filter_bytes(found)


def passing(name: str) -> bytes:
    """Return what, before another filter, lets a call through on each ABI that has it."""
    made: list[bpf.Instruction] = []
    for abi in abis.runnable(syscall_names.native()):
        if (number := syscall_names.numbers(abi).get(name)) is not None:
            made += [
                (bpf.LD_ABS, 0, 0, _ARCH),
                (bpf.JEQ, 0, 3, abi.audit),
                (bpf.LD_ABS, 0, 0, _NUMBER),
                (bpf.JEQ, 0, 1, number),
                (bpf.RET_K, 0, 0, return_codes.ALLOW),
            ]
    return b"".join(_INSTRUCTION.pack(*one) for one in made)


def _stub(largest: Mapping[Abi, int]) -> bytes:
    """Return what answers ENOSYS above the largest number named (runc patchbpf)."""
    made: list[bpf.Instruction] = []
    for abi, number in largest.items():
        of_abi = [(bpf.LD_ABS, 0, 0, _NUMBER)]
        if abi.audit == ABIS["x32"].audit:  # x86_64 and x32 share it
            of_abi.append((_JGE, 0, 2, X32_BIT) if abi is ABIS["x32"] else (_JGE, 2, 0, X32_BIT))
        of_abi.append((_JGT, 0, 1, number))
        of_abi.append((bpf.RET_K, 0, 0, return_codes.ERRNO | ENOSYS))
        made += [(bpf.LD_ABS, 0, 0, _ARCH), (bpf.JEQ, 0, len(of_abi), abi.audit), *of_abi]
    return b"".join(_INSTRUCTION.pack(*one) for one in made)
