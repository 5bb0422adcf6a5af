"""The exact filter that a runtime loads for a block, made by this machine's libseccomp.

Nothing is loaded. For crun the bytes are those that the kernel has afterwards, if crun uses the
same libseccomp; runc puts its ENOSYS stub before them. Needed where the result depends on how
libseccomp compiles (runc_wrap.filters.evaluate.block_evaluation), and to prove that simulation and
evaluation are right.
"""

import errno
import os
import signal
from collections.abc import Sequence
from typing import Any, BinaryIO

from runc_wrap.filters.evaluate.libseccomp_input import Added, Load
from runc_wrap.hotpath.operators import PREFIX
from runc_wrap.profiles import syscall_names
from runc_wrap.profiles.sibling_calls import MULTIPLEXED
from runc_wrap.profiles.source_profile import ProfileError

SECONDS = 10  # of CPU, far more than the largest profile needs; a busy node is no reason
_OPTIMIZE = 8  # SCMP_FLTATR_CTL_OPTIMIZE
_BINARY_TREE = 2
_WHOLE = 'allow or deny the call whole, or write abis = "native"'


def filter_bytes(load: Load) -> bytes:
    """Return the filter as struct sock_filter[], without runc's stub. Raises ProfileError.

    It is made in a child process, since libseccomp 2.6.0 loops forever on some rules: for instance,
    on two rules of one call that share a SCMP_CMP_NE and differ in the comparisons before it.
    """
    library = syscall_names.required()
    with os.fdopen(os.memfd_create("filter"), "r+b") as file:
        pid = os.fork()
        if not pid:
            os._exit(_made(library, load, file))
        ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        file.seek(0)
        made = file.read()
        if ended == -signal.SIGPROF:
            raise ProfileError(f"libseccomp did not compile the profile within {SECONDS} s of CPU")
        if ended:
            name, why = made.decode(), f"ended by signal {-ended}"
            if ended > 0:
                why = _conflict(name, load) if ended == errno.EEXIST else os.strerror(ended)
            place = name and f" at a rule of {name}"
            raise ProfileError(f"libseccomp refuses the profile{place}: {why}")
        return made


def _conflict(name: str, load: Load) -> str:
    """Return that rules of a call contradict each other, and what to try if no text shows it."""
    listed = [one.oci for one in load.abis]
    named = [one for one, calls in MULTIPLEXED.items() if name in calls]
    ways = [one for one in named if syscall_names.having(one, listed)]
    more = f", for {' '.join(ways)}, which makes {name} too, compares no arguments; {_WHOLE}"
    return f"another rule gives the same calls another action{more if ways else ''}"


def _made(library: Any, load: Load, file: BinaryIO) -> int:  # noqa: ANN401 (no types)
    """Write the filter to a file within SECONDS, or the rule in error; return 0 or the errno."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        _make(library, load, file).export_bpf(file)
    except OSError as error:
        return error.errno or errno.EINVAL
    except BaseException:  # noqa: BLE001 - in a fork of the caller, which must not continue as it
        return errno.EINVAL
    return 0


def _make(library: Any, load: Load, file: BinaryIO) -> Any:  # noqa: ANN401 (no types)
    made = library.SyscallFilter(load.default)
    native = syscall_names.native()
    for abi in load.abis:
        if abi is not native:
            made.add_arch(abi.token)
    if load.optimized:
        made.set_attr(_OPTIMIZE, _BINARY_TREE)
    for rule in load.rules:
        try:
            made.add_rule(rule.code, rule.name, *_arguments(library, rule))
        except OSError:
            file.write(rule.name.encode())
            file.flush()
            raise
    return made


def _arguments(library: Any, rule: Added) -> "Sequence[Any]":  # noqa: ANN401 (no types)
    return [
        library.Arg(
            one.index,
            getattr(library, one.op.removeprefix(PREFIX)),
            one.value,
            one.value_two,
        )
        for one in rule.conditions
    ]
