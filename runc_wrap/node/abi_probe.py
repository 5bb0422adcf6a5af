"""Which ABIs this kernel runs, found by running a minimal program of each.

A kernel's configuration is not sufficient: 32-bit programs can be disabled at boot, and a CPU may
not support them. The programs are images in memory that only exit.
"""

import errno
import os
import struct

from runc_wrap.profiles.runtime_spec_names import OCI

_STATUS = 42
_EM_386, _EM_ARM, _EM_X86_64 = 3, 40, 62
_EF_ARM_EABI5 = 0x05000000
_AT = 0x10000
_PT_GNU_STACK = 0x6474E551
_EXECUTE, _WRITE, _READ = 1, 2, 4
_NOT_RUN = (errno.ENOEXEC, errno.EINVAL)

# GOARCH -> {ABI: (ELF machine, flags, code that ends with _STATUS)}
_PROGRAMS = {
    "amd64": {
        # mov ebx, 42; mov eax, 1; int 0x80
        "SCMP_ARCH_X86": (_EM_386, 0, bytes.fromhex("bb2a000000b801000000cd80")),
        # mov edi, 42; mov eax, 0x4000003c; syscall
        "SCMP_ARCH_X32": (_EM_X86_64, 0, bytes.fromhex("bf2a000000b83c0000400f05")),
    },
    "arm64": {
        # mov r0, #42; mov r7, #1; svc 0
        "SCMP_ARCH_ARM": (_EM_ARM, _EF_ARM_EABI5, bytes.fromhex("2a00a0e30170a0e3000000ef")),
    },
}


def runnable(arch: str) -> frozenset[str] | None:
    """Return the ABIs that run on this machine, including its own; None if that is unknown."""
    programs = _PROGRAMS.get(arch)
    if programs is None:
        return None
    tried = {abi: _runs(_elf32(*program)) for abi, program in programs.items()}
    if None in tried.values():
        return None
    return frozenset({OCI[arch], *(abi for abi, runs in tried.items() if runs)})


def _elf32(machine: int, flags: int, code: bytes) -> bytes:
    """Return an executable with one segment: the headers and the code.

    And a header that asks for no executable stack: the kernel warns of a program without it.
    """
    header, segment = 52, 32
    start, size = header + 2 * segment, header + 2 * segment + len(code)
    ident = b"\x7fELF\x01\x01\x01" + bytes(9)
    fields = (2, machine, 1, _AT + start, header, 0, flags, header, segment, 2, 40, 0, 0)
    load = (1, 0, _AT, _AT, size, size, _READ | _EXECUTE, 0x1000)
    stack = (_PT_GNU_STACK, 0, 0, 0, 0, 0, _READ | _WRITE, 16)
    return (
        ident + struct.pack("<HHIIIIIHHHHHH", *fields) + struct.pack("<16I", *load, *stack) + code
    )


def _runs(program: bytes) -> bool | None:
    """Tell whether a program runs; None if it failed for other reasons than its ABI."""
    image = os.memfd_create("runc-wrap-abi")
    os.write(image, program)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.execve(image, ["abi"], {})  # noqa: S606
        except OSError as error:
            os.write(writer, bytes([min(error.errno or 0, 255)]))
        finally:
            os._exit(1)
    for descriptor in (image, writer):
        os.close(descriptor)
    failure = os.read(reader, 1)
    os.close(reader)
    _, status = os.waitpid(child, 0)
    if failure:
        return False if failure[0] in _NOT_RUN else None
    return True if os.waitstatus_to_exitcode(status) == _STATUS else None
