"""The very filter that a runtime loads for a block, made by this machine's libseccomp.

Nothing is loaded. For crun the bytes are those that the kernel has afterwards, if crun uses the
same libseccomp; runc puts its ENOSYS stub before them. Needed where libseccomp's own compiling
decides (runc_wrap.filters.simulate), and as the proof that simulating and evaluating are right.
"""

import errno
import os
import signal
from typing import TYPE_CHECKING, Any, BinaryIO

from runc_wrap.filters.runtime_load import Added, Load
from runc_wrap.profiles import syscalls
from runc_wrap.profiles.model import ProfileError

if TYPE_CHECKING:
    from collections.abc import Sequence

SECONDS = 10  # far more than the largest profile takes
_OPTIMIZE = 8  # SCMP_FLTATR_CTL_OPTIMIZE
_BINARY_TREE = 2


def filter_bytes(load: Load) -> bytes:
    """Return the filter as struct sock_filter[], without runc's stub. Raises ProfileError.

    It is made in a process of its own: libseccomp 2.6.0 never comes to an end with some rules, two
    on one call for instance that have a SCMP_CMP_NE in common and differ in what they compare
    before.
    """
    try:
        import pyseccomp  # noqa: PLC0415 (importing it loads the library)
    except (ImportError, RuntimeError, OSError, AttributeError):
        raise ProfileError("libseccomp is not there, so no filter can be made") from None
    with os.fdopen(os.memfd_create("filter"), "r+b") as file:
        pid = os.fork()
        if not pid:
            os._exit(_made(pyseccomp, load, file))
        ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if ended == -signal.SIGALRM:
            raise ProfileError(f"libseccomp does not come to an end with it in {SECONDS} s")
        if ended:
            why = os.strerror(ended) if ended > 0 else f"it ended by signal {-ended}"
            raise ProfileError(f"libseccomp refuses the profile: {why}")
        file.seek(0)
        return file.read()


def _made(library: Any, load: Load, file: BinaryIO) -> int:  # noqa: ANN401 (no types)
    """Write the filter to a file within SECONDS; return 0, or the number of libseccomp's error."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(SECONDS)
    try:
        _make(library, load).export_bpf(file)
    except OSError as error:
        return error.errno or errno.EINVAL
    except BaseException:  # noqa: BLE001 - a fork of somebody's process: nothing may go on from here
        return errno.EINVAL
    return 0


def _make(library: Any, load: Load) -> Any:  # noqa: ANN401 (no types)
    made = library.SyscallFilter(load.default)
    native = syscalls.native()
    for abi in load.abis:
        if abi is not native:
            made.add_arch(abi.token)
    if load.optimized:
        made.set_attr(_OPTIMIZE, _BINARY_TREE)
    for rule in load.rules:
        made.add_rule(rule.code, rule.name, *_arguments(library, rule))
    return made


def _arguments(library: Any, rule: Added) -> "Sequence[Any]":  # noqa: ANN401 (no types)
    return [
        library.Arg(
            one.index,
            getattr(library, one.op.removeprefix("SCMP_CMP_")),
            one.value,
            one.value_two,
        )
        for one in rule.conditions
    ]
