"""An emulated arm64 Debian machine, which boots without an initial RAM disk; its disk and kernel.

Packages are only extracted, none is configured: that would run arm64's programs emulated, for a
quarter of an hour and more. What is needed of their scripts' work is done here, by programs of the
machine that makes the image.
"""

import shutil
from pathlib import Path

from harness.host.processes import Run, run
from harness.node.guest import PATIENCE
from harness.node.requirements import program
from tests.vm import image
from tests.vm.machine import Machine
from tests.worlds.debian import World, codename, settings, targets

SUITE = "trixie"
SIZE = "4G"  # of the disk, which is a sparse file
# Neither Python nor a compiler: an archive must not need them. An extraction has no essential
# packages of its own.
PACKAGES = tuple(
    """linux-image-cloud-arm64 systemd-sysv udev kmod dbus openssh-server iproute2 procps
    base-files base-passwd libc-bin bash coreutils dash diffutils findutils grep gzip hostname
    mount sed tar util-linux xz-utils busybox-static runc crun""".split()
)
FILES = {
    "etc/hostname": "guest\n",
    "etc/fstab": "/dev/nvme0n1 / ext4 defaults 0 0\n",
    "etc/machine-id": "",  # one is made at the first boot, which presets nothing
    "etc/systemd/network/guest.network": image.FILES["etc/systemd/network/guest.network"],
    "etc/ssh/sshd_config": "UsePAM no\nSubsystem sftp /usr/lib/openssh/sftp-server\n",
    "var/log/journal/.kept": "",  # on disk, so that it outlives a boot
}
COPIES = {  # what scripts of base-passwd and base-files copy
    "usr/share/base-passwd/passwd.master": "etc/passwd",
    "usr/share/base-passwd/group.master": "etc/group",
    "usr/share/base-files/profile": "etc/profile",
}
LINKS = {  # what openssh-server's script enables
    "etc/systemd/system/multi-user.target.wants/ssh.service": "/usr/lib/systemd/system/ssh.service"
}
COMMANDS = (  # each is told the root directory
    ("systemd-sysusers", "--root"),
    ("systemctl", "enable", "--quiet", "systemd-networkd", "--root"),
)
# With these, systemd takes what it makes of /usr (users, hardware's names) for up to date.
UPDATED = ("etc/.updated", "var/.updated")


def arm64_image() -> image.Image:
    """Return the image; make it unless there is one of exactly these ingredients."""
    world = World(SUITE, PACKAGES, variant="extract")
    recipe = world.recipe(codename(), targets(), settings())
    made_of = repr((recipe, FILES, COPIES, LINKS, COMMANDS, SIZE))
    return image.kept(f"{SUITE}-arm64", SUITE, made_of, lambda directory: _make(directory, recipe))


def _make(directory: Path, recipe: list[str]) -> None:
    root = directory / "root"
    front = recipe.index(SUITE) + 1
    words = [program("mmdebstrap"), "--quiet", "--arch=arm64", *recipe[:front]]
    run([*words, root, *recipe[front:]], seconds=1200)
    _configure(root)
    (kernel,) = (root / "boot").glob("vmlinuz-*")
    shutil.move(kernel, directory / "vmlinuz")
    run([program("mke2fs"), "-q", "-t", "ext4", "-d", root, directory / "disk.img", SIZE])
    shutil.rmtree(root)


def _configure(root: Path) -> None:
    """Do what the packages' scripts would have done."""
    for name, text in FILES.items():
        _parent(root, name).write_text(text)
    for name, to in COPIES.items():
        shutil.copy(root / name, _parent(root, to))
    for name, target in LINKS.items():
        _parent(root, name).symlink_to(target)
    for command, *words in COMMANDS:
        run([program(command), *words, root])
    key = root / "etc/ssh/ssh_host_ed25519_key"
    run([program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key])
    _index_modules(root)
    for name in UPDATED:
        (root / name).touch()


def _index_modules(root: Path) -> None:
    """Let the network's module be found. The machine's own depmod: this one may have none."""
    (modules,) = (root / "usr/lib/modules").iterdir()
    depmod: list[str | Path] = [root / "usr/sbin/depmod", "-b", root, modules.name]
    run([program("qemu-aarch64-static"), "-L", root, *depmod], seconds=300)


def _parent(root: Path, name: str) -> Path:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    return root / name


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
