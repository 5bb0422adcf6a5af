"""The very filter that a runtime loads for a block, made by this machine's libseccomp.

Nothing is loaded. For crun the bytes are those that the kernel has afterwards, if crun uses the
same libseccomp; runc puts its ENOSYS stub before them. Needed where libseccomp's own compiling
decides (runc_wrap.profiles.simulate), and as the proof that simulating and evaluating are right.
"""

import os
from typing import TYPE_CHECKING, Any

from runc_wrap.profiles import syscalls
from runc_wrap.profiles.loading import Added, Load
from runc_wrap.profiles.model import ProfileError

if TYPE_CHECKING:
    from collections.abc import Sequence

_OPTIMIZE = 8  # SCMP_FLTATR_CTL_OPTIMIZE
_BINARY_TREE = 2


def filter_bytes(load: Load) -> bytes:
    """Return the filter as struct sock_filter[], without runc's stub. Raises ProfileError."""
    try:
        import pyseccomp  # noqa: PLC0415 (importing it loads the library)
    except (ImportError, RuntimeError, OSError, AttributeError):
        raise ProfileError("libseccomp is not there, so no filter can be made") from None
    made = pyseccomp.SyscallFilter(load.default)
    native = syscalls.native()
    try:
        for abi in load.abis:
            if abi is not native:
                made.add_arch(abi.token)
        if load.optimized:
            made.set_attr(_OPTIMIZE, _BINARY_TREE)
        for rule in load.rules:
            made.add_rule(rule.code, rule.name, *_arguments(pyseccomp, rule))
        return _exported(made)
    except OSError as error:
        raise ProfileError(f"libseccomp refuses the profile: {error.strerror or error}") from None


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


def _exported(made: Any) -> bytes:  # noqa: ANN401 (pyseccomp ships no types)
    with os.fdopen(os.memfd_create("filter"), "r+b") as file:
        made.export_bpf(file)
        file.seek(0)
        return file.read()
