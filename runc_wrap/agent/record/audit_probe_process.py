"""A program that makes one harmless call, which its own filter has the kernel log.

    python -I -S audit_probe_process.py

If its record arrives, records of logged calls arrive. The call is getpriority with invalid
arguments, so it fails; only this short-lived process has the filter. Its name (comm) in the record
is for people who read logs. Exits with 0 if the call was made under the filter.
"""

import ctypes
import os
import struct
import sys
from _signal import alarm  # type: ignore[import-not-found]

FIRST, SECOND = 0x72756E63, 0x77726170  # "runc", "wrap": getpriority's arguments
_NAME = b"runc-wrap-probe"
_SECONDS = 50  # below source_check.SLOWEST
_SET_NAME, _SET_NO_NEW_PRIVS, _SET_SECCOMP, _MODE_FILTER = 15, 38, 22, 2
_LOAD, _EQUAL, _RETURN, _LOG, _ALLOW = 0x20, 0x15, 0x06, 0x7FFC0000, 0x7FFF0000
_ARGUMENTS = 16  # in struct seccomp_data


def main() -> int:
    """Load the filter and make the call."""
    alarm(_SECONDS)
    text = ctypes.create_string_buffer(_filter())
    lines = len(text) // 8
    program = ctypes.create_string_buffer(struct.pack("@HP", lines, ctypes.addressof(text)))
    prctl = ctypes.CDLL(None).prctl
    prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    named = ctypes.create_string_buffer(_NAME)
    wanted = (
        (_SET_NAME, ctypes.addressof(named), 0),
        (_SET_NO_NEW_PRIVS, 1, 0),
        (_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(program)),
    )
    if any(prctl(option, first, second, 0, 0) for option, first, second in wanted):
        return 1
    try:
        os.getpriority(FIRST, SECOND)
    except OSError:
        return 0
    return 1


def _filter() -> bytes:
    """Return instructions that log any call with these two arguments: numbers vary by ABI."""
    low = 0 if sys.byteorder == "little" else 4
    lines = (
        (_LOAD, 0, 0, _ARGUMENTS + low),
        (_EQUAL, 0, 3, FIRST),
        (_LOAD, 0, 0, _ARGUMENTS + 8 + low),
        (_EQUAL, 0, 1, SECOND),
        (_RETURN, 0, 0, _LOG),
        (_RETURN, 0, 0, _ALLOW),
    )
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


if __name__ == "__main__":
    sys.exit(main())
