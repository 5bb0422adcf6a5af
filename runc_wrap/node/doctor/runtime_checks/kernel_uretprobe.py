"""Whether placing a probe on a function's return kills programs in containers.

On a kernel that asks filters about uretprobe(2) (node.uretprobe_probe), it does if their profile
lacks that call. On a kernel that exempts it, a profile that denies it has no effect: `apply` and
the check of the sources say so where a profile or the overlay names it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.node import uretprobe_probe
from runc_wrap.node.doctor import package_commands
from runc_wrap.node.doctor.check_finding import Finding
from runc_wrap.node.doctor.policy_checks import profiles_in_force

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.hotpath.compiled_policy import CompiledProfile
    from runc_wrap.node.paths import Places

NAME = "uretprobe"
_CALL = "uretprobe"


def find(places: Places) -> Iterator[Finding]:
    """Find a kernel that asks filters, with a profile that denies uretprobe."""
    denying = [each["name"] for each in profiles_in_force.enforced(places) if _denies(each)]
    if denying and uretprobe_probe.ask() == "filtered":
        yield Finding(
            NAME,
            "warning",
            f"this kernel asks filters about uretprobe, and {denying[0]} denies it: a program in a "
            "container is killed when somebody places a probe on a function's return in it",
            "upgrade the kernel (Linux 6.14, 6.13.3 and 6.12.14 ask no filter about it), or place "
            "no such probes (bpftrace, perf, profilers)",
            package_commands.newer_kernel(),
        )


def _denies(profile: CompiledProfile) -> bool:
    names = profiles_in_force.names(profile)
    is_open = profile["block"]["defaultAction"] in profiles_in_force.ALLOWING
    return _CALL in names.denied if is_open else _CALL not in names.allowed
