"""This node's architecture and kernel, in the terms that `compile` takes."""

import platform
import re
import sys

from runc_wrap.profiles.source_profile import Kernel, ProfileError

# uname -m -> GOARCH, where the kernel's name is sufficient
_GOARCH = {name: name for name in "ppc ppc64 ppc64le riscv64 s390 s390x".split()} | {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "loongarch64": "loong64",
}


def goarch(machine: str = "") -> str:
    """Return GOARCH for a machine name of uname(2), this node's by default.

    Raises ProfileError for a machine for which no engine is built.
    """
    name = machine or platform.machine()
    if name in _GOARCH:
        return _GOARCH[name]
    if name in {"mips", "mips64"}:
        return name + ("le" if sys.byteorder == "little" else "")
    if re.fullmatch(r"i[3-6]86", name):
        return "386"
    if re.fullmatch(r"armv[5-8]\w*", name):
        return "arm"
    raise ProfileError(f"the machine {name!r} is not known; name its architecture as Go does")


def kernel(release: str = "") -> Kernel:
    """Return (version, major revision) of a kernel release, this node's by default.

    Profiles use only these two: "6.18.44-fc" is (6, 18). Raises ProfileError.
    """
    text = release or platform.release()
    match = re.match(r"(\d+)\.(\d+)", text)
    if match is None:
        raise ProfileError(f"the kernel release {text!r} does not begin like 6.12")
    return int(match[1]), int(match[2])
