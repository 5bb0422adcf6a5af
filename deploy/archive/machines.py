"""The kinds of machine that there is an archive for, and their names in each world."""

import platform
from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    """One kind of machine: `debian` is its architecture's name there, `kernel` is uname's."""

    debian: str
    kernel: str
    loader: str  # glibc's dynamic loader

    @property
    def libraries(self) -> str:
        """Return where Debian has its libraries."""
        return f"usr/lib/{self.kernel}-linux-gnu"

    @property
    def compiler(self) -> str:
        """Return the C compiler for it."""
        return f"{self.kernel}-linux-gnu-gcc"


MACHINES = {
    "amd64": Machine("amd64", "x86_64", "ld-linux-x86-64.so.2"),
    "arm64": Machine("arm64", "aarch64", "ld-linux-aarch64.so.1"),
}


def here() -> Machine:
    """Return this machine's kind. Raises SystemExit if there is no archive for it."""
    for machine in MACHINES.values():
        if machine.kernel == platform.machine():
            return machine
    raise SystemExit(f"{platform.machine()} is none of {', '.join(MACHINES)}; build on one of them")
