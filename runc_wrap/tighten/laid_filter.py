"""What is laid on containers: the overlay as a filter of its own, or a profile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from runc_wrap.filters import runtime_filter
from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.hotpath import overlay
from runc_wrap.hotpath.json_codec import digest
from runc_wrap.profiles import abis, block_merge, syscall_names

if TYPE_CHECKING:
    from runc_wrap.hotpath.compiled_policy import Overlay

Json = dict[str, Any]
OVERLAY = "overlay"
_SOCKETCALL = "socketcall"


class LaidFilter(NamedTuple):
    """A block by its name, and the filter (struct sock_filter[]) that a runtime makes of it.

    `over` is the compiled overlay if that is what the block denies.
    """

    name: str
    block: Json
    program: bytes
    over: Overlay | None = None

    @property
    def digest(self) -> str:
        """The filter's name in the ledger and in var/tightened."""
        return digest(self.program)

    def merged_with(self, block: Json | None) -> Json:
        """Return one block that does what another and this do. Raises ProfileError, Refusal."""
        if not block:
            return self.block
        if self.over:
            return overlay.with_overlay(block, self.over)
        return block_merge.merged(block, self.block)


def of_overlay(over: Overlay) -> LaidFilter:
    """Return the overlay's denials, which let all else through, on every ABI that may run here.

    socketcall passes, unless the overlay names it: its family is in memory, and 32-bit C libraries
    make all sockets by it. A block can only say that by logging it. Raises ProfileError.
    """
    listed = [abi.oci for abi in abis.runnable(syscall_names.native())]
    passes = bool(over["deny_sockets"]) and _SOCKETCALL not in over["deny"]
    rules = [{"names": [_SOCKETCALL], "action": "SCMP_ACT_LOG"}] if passes else []
    nothing = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": listed, "syscalls": rules}
    block = overlay.with_overlay(nothing, over)
    program = runtime_filter.installed(block, Loader("crun"))
    before = runtime_filter.passing(_SOCKETCALL) if passes else b""
    return LaidFilter(OVERLAY, block, before + program, over)


def of_block(name: str, block: Json, loader: Loader) -> LaidFilter:
    """Return a resolved profile. Raises ProfileError."""
    return LaidFilter(name, block, runtime_filter.installed(block, loader))
