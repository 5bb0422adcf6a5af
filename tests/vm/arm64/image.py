"""An arm64 Debian machine's disk and kernel: packages are only extracted, none is configured.

Configuring them would run arm64's programs emulated, for a quarter of an hour and more. What is
needed of their scripts' work is done here, by programs of the machine that makes the image.
"""

import shutil
from pathlib import Path

from harness.host.processes import run
from harness.node.requirements import program
from tests.vm import image
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
    "etc/systemd/system/multi-user.target.wants/ssh.service": "/usr/lib/systemd/system/ssh.service",
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
