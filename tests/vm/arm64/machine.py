"""An emulated arm64 machine, which boots without an initial RAM disk."""

from pathlib import Path

from harness.host.processes import Run
from harness.node.guest import PATIENCE
from harness.node.requirements import program
from tests.vm.machine import Machine

NEEDS = tuple(
    """qemu-system-aarch64 qemu-aarch64-static qemu-img mmdebstrap mke2fs systemd-sysusers ssh
    ssh-keygen""".split()
)
# Debian's kernel has NVMe and ext4 built in. cortex-a72 runs 32-bit arm's programs, too.
HARDWARE = tuple(
    "-nodefaults -display none -machine virt -cpu cortex-a72 -smp 1 -m 1024 "
    "-accel tcg,tb-size=512".split()
)
# What costs an emulated start a fifth more (64 and 83 seconds of CPU) and is not what is tested.
_LEFT_OUT = "nokaslr kpti=off"
_SLOWER = 3  # than the x86 machines, which the limits of commands were made for


class Arm64Machine(Machine):
    """Speaks and behaves as the other virtual machines do."""

    def attempt(self, script: str, *words: str | Path, seconds: float = PATIENCE) -> Run:
        # A create took four minutes while two other machines had both processors.
        return super().attempt(script, *words, seconds=_SLOWER * seconds)

    def board(self, parameters: str, disk: str) -> list[str | Path]:
        return [
            program("qemu-system-aarch64"),
            *HARDWARE,
            *("-kernel", self.image.kernel),
            *("-append", f"root=/dev/nvme0n1 console=ttyAMA0 {_LEFT_OUT} {parameters}"),
            *("-drive", f"{disk},if=none,id=disk", "-device", "nvme,serial=guest,drive=disk"),
        ]
