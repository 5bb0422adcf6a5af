"""Whether placing a probe on a function's return kills programs in containers, or a denial is void.

On a kernel that asks filters about uretprobe(2) (node.uretprobe_probe), a program is killed if its
profile lacks that call. On a kernel that exempts it, a denial has no effect. `apply` says so by the
releases of Linux; here the kernel that runs was asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.doctor import commands
from runc_wrap.doctor.check_finding import Finding
from runc_wrap.doctor.policy_checks import profiles_in_force
from runc_wrap.node import uretprobe_probe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.hotpath.compiled_policy import CompiledProfile
    from runc_wrap.node.paths import Places

NAME = "uretprobe"
_CALL = "uretprobe"


def find(places: Places) -> Iterator[Finding]:
    """Find a kernel that asks filters, with a profile that denies uretprobe, or a void denial."""
    profiles = [*profiles_in_force.enforced(places)]
    denying = [each["name"] for each in profiles if _denies(each)]
    answer = uretprobe_probe.ask() if denying else None
    if answer == "filtered":
        yield _killing(denying[0])
    naming = [each["name"] for each in profiles if _CALL in profiles_in_force.names(each).denied]
    if answer == "exempt" and naming:
        yield _void(places, naming[0])


def _killing(name: str) -> Finding:
    return Finding(
        NAME,
        "warning",
        f"this kernel asks filters about uretprobe, and {name} denies it: a program in a "
        "container is killed when somebody places a probe on a function's return in it",
        "upgrade the kernel (Linux 6.14, 6.13.3 and 6.12.14 ask no filter about it), or place "
        "no such probes (bpftrace, perf, profilers)",
    )


def _void(places: Places, name: str) -> Finding:
    return Finding(
        NAME,
        "note",
        f"this kernel asks no filter about uretprobe, which {name} denies by its name or by the "
        "overlay: the denial has no effect",
        "leave it out, or do nothing: the call works only where the kernel itself placed a probe",
        commands.policy(places),
    )


def _denies(profile: CompiledProfile) -> bool:
    names = profiles_in_force.names(profile)
    is_open = profile["block"]["defaultAction"] in profiles_in_force.ALLOWING
    return _CALL in names.denied if is_open else _CALL not in names.allowed
