"""A Debian virtual machine's disk, kernel and initial RAM disk, from the machine's apt sources.

Kept between runs, outside the checkout, and made anew when its ingredients change.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.worlds.debian import World, WorldError, alone, codename, settings, targets, with_docker

KEPT = Path(os.environ.get("RUNC_WRAP_MACHINES") or "/var/cache/runc-wrap-machines")
SUITE = os.environ.get("RUNC_WRAP_SUITE") or "trixie"
SIZE = "8G"  # of the disk, which is a sparse file
USER = "tester"
STAMP = "made-of"
# Neither Python nor a compiler: an archive must not need them.
PACKAGES = tuple(
    """linux-image-cloud-amd64 initramfs-tools systemd-sysv udev kmod dbus dbus-user-session
    libpam-systemd openssh-server iproute2 procps xz-utils rsyslog auditd apparmor containerd
    docker.io podman buildah runc crun uidmap slirp4netns passt fuse-overlayfs netavark
    aardvark-dns iptables nftables busybox-static""".split()
)
FILES = {
    "etc/hostname": "guest\n",
    "etc/fstab": "/dev/vda / ext4 defaults 0 1\n",
    "etc/systemd/network/guest.network": "[Match]\nName=eth0\n[Network]\nDHCP=ipv4\n",
    f"var/lib/systemd/linger/{USER}": "",  # the user's own systemd starts with the machine
    "var/log/journal/.kept": "",  # on disk, so that it outlives a boot
}
# Of Debian's timers, because they would disturb what is measured and find no network.
MASKED = (
    "apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer "
    "e2scrub_reap.service fstrim.timer"
).split()
# AppArmor's profiles that this machine's programs have. Debian brings a hundred for others, which
# an emulated machine would compile for half of its first boot.
PROFILES = frozenset(
    "buildah busybox crun rootlesskit runc slirp4netns unix-chkpwd unprivileged_userns "
    "usr.bin.passt usr.bin.pasta".split()
)
COMMANDS = (  # each is told the root directory
    ("systemctl", "enable", "--quiet", "systemd-networkd"),
    ("systemctl", "mask", "--quiet", *MASKED),
    ("useradd", "--create-home", "--shell", "/bin/bash", USER),
)


@dataclass(frozen=True)
class Image:
    """A directory of a suite's, with disk.img, vmlinuz and initrd."""

    path: Path
    suite: str

    @property
    def disk(self) -> Path:
        """A raw disk with one ext4 file system: to be read only, as a backing file."""
        return self.path / "disk.img"

    @property
    def kernel(self) -> Path:
        return self.path / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.path / "initrd"


def image(suite: str) -> Image:
    """Return the suite's; make it unless there is one of exactly these ingredients."""
    if os.geteuid():
        raise WorldError(f"a virtual machine of {suite} is made by root; try: as root")
    recipe = World(suite, with_docker(suite, PACKAGES)).recipe(codename(), targets(), settings())
    made_of = repr((recipe, FILES, COMMANDS, SIZE, sorted(PROFILES)))
    return kept(suite, suite, made_of, lambda directory: _make(directory, recipe, suite))


def kept(name: str, suite: str, made_of: str, make: Callable[[Path], None]) -> Image:
    """Return the image of this name; make it in an empty directory unless `made_of` is the same."""
    directory = KEPT / name
    with alone(KEPT / f"{name}.lock"):
        stamp = directory / STAMP
        if not stamp.is_file() or stamp.read_text() != made_of:
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir(parents=True)
            make(directory)
            stamp.write_text(made_of)
    return Image(directory, suite)


def _make(directory: Path, recipe: list[str], suite: str) -> None:
    root = directory / "root"
    front = recipe.index(suite) + 1
    _run("mmdebstrap", "--quiet", *recipe[:front], root, *recipe[front:])
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for profile in (root / "etc/apparmor.d").iterdir():
        if profile.is_file() and profile.name not in PROFILES:
            profile.unlink()
    for name, *words in COMMANDS:
        _run(name, "--root", root, *words)
    for name in ("vmlinuz", "initrd"):
        (found,) = (root / "boot").glob(f"{name}*")
        shutil.copy(found, directory / name)
    _run("mke2fs", "-q", "-t", "ext4", "-d", root, directory / "disk.img", SIZE)
    shutil.rmtree(root)


def _run(*words: str | Path) -> None:
    done = subprocess.run(words, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise WorldError(f"{words[0]} ended with {done.returncode}: {' '.join(map(str, words))}")
