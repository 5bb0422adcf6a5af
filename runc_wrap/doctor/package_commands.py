"""Commands of the distribution's package manager: install, upgrade what a file is of, newer kernel.

Packages are named after who owns a file: what one distribution calls containerd is Docker's
containerd.io on the next node, and installing the one there would remove the other with the engine.
Compilers, boot loaders and kernels go by other names in each distribution, too.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

from runc_wrap.host import program

_SECONDS = 20
_USR = "/usr"  # before directories were merged into it, packages listed their files without
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]{0,100}(?::[a-z0-9-]{1,20})?")
_APKS_ANSWER = re.compile(r"is owned by (\S+)-[^-\s]+-r\d+$", re.MULTILINE)
_RELEASES = {
    "runc": "https://github.com/opencontainers/runc/releases",
    "crun": "https://github.com/containers/crun/releases",
    "containerd": "https://github.com/containerd/containerd/releases",
    "libseccomp": "https://github.com/seccomp/libseccomp/releases",
    "k3s": "https://github.com/k3s-io/k3s/releases",
    "rke2": "https://github.com/rancher/rke2/releases",
    "k0s": "https://github.com/k0sproject/k0s/releases",
}


class _Manager(NamedTuple):
    """How a package manager is told to do things; the names of packages follow, but for a kernel.

    `owner`: the program and words that print whose a file is.
    """

    install: str
    upgrade: str
    reinstall: str
    newer_kernel: str
    own_kernel: str
    owner: tuple[str, ...]


_RPM = ("rpm", "-qf", "--qf", "%{NAME}\\n")
_MANAGERS = {
    "apt-get": _Manager(
        "apt-get install", "apt-get update && apt-get install --only-upgrade",
        "apt-get install --reinstall", "apt-get full-upgrade",
        "apt-get install linux-image-generic",  # Ubuntu's; Debian's linux-image-ARCH provides it
        ("dpkg-query", "-S"),
    ),
    "dnf": _Manager(
        "dnf install", "dnf upgrade", "dnf reinstall", "dnf upgrade kernel", "dnf install kernel",
        _RPM,
    ),
    "zypper": _Manager(
        "zypper install", "zypper update", "zypper install --force",
        "zypper update kernel-default", "zypper install kernel-default", _RPM,
    ),
    "apk": _Manager(
        "apk add", "apk add -u", "apk fix", "apk upgrade", "apk add linux-lts",
        ("apk", "info", "--who-owns"),
    ),
    "pacman": _Manager(
        "pacman -S", "pacman -Syu", "pacman -S", "pacman -Syu", "pacman -S linux",
        ("pacman", "-Qqo"),
    ),
}  # fmt: skip
# the program that writes a boot loader's configuration -> the file to edit before, its words
_BOOT = {
    "update-grub": ("/etc/default/grub", ()),
    "grub2-mkconfig": ("/etc/default/grub", ("-o", "/boot/grub2/grub.cfg")),
    "update-extlinux": ("/etc/update-extlinux.conf", ()),
    "grub-mkconfig": ("/etc/default/grub", ("-o", "/boot/grub/grub.cfg")),
}


class Advice(NamedTuple):
    """What to do about a file, in words, and the command that does it or is the first step."""

    remedy: str
    command: str


def install(*names: str) -> str:
    """Return the command by which this distribution installs packages."""
    return f"{_manager().install} {shlex.join(names)}"


def upgrade(path: Path, program: str) -> Advice:
    """Return how to replace a file by that of a newer release.

    By its package, or by what the project releases: `program` is one of _RELEASES.
    """
    name = owner(path)
    if name:
        command = f"{_manager().upgrade} {shlex.quote(name)}"
        return Advice(f"upgrade the package {name}, which has {path}", command)
    return _released(path, program)


def upgrade_distribution(name: str) -> Advice:
    """Return how to upgrade what a distribution of Kubernetes brings: all of it at once."""
    if name not in _RELEASES:
        return Advice(f"upgrade the snap {name}", f"snap refresh {shlex.quote(name)}")
    page = _RELEASES[name]
    return Advice(f"upgrade {name} by a newer release from {page}", _newest(page))


def restore(path: Path, name: str) -> Advice:
    """Return how to get a program back that is missing or damaged, runc or crun.

    Another package's runtime is no help as long as it is there itself: to install that package
    again, or one that conflicts with it, would end the engine and bring nothing back.
    """
    if package := owner(path):
        return _again(package)
    found_in_order = [Path(place) / name for place in program.FIXED_PATH]
    is_one = any(path.parent == each.parent for each in found_in_order)
    if not is_one or path.exists() or any(each.exists() for each in found_in_order):
        return _released(path, name)
    package = owner(*found_in_order)
    return _again(package) if package else Advice("install it again", install(name))


def _again(name: str) -> Advice:
    command = f"{_manager().reinstall} {shlex.quote(name)}"
    return Advice(f"install the package {name} again, which has it", command)


def _released(path: Path, program: str) -> Advice:
    page = _RELEASES[program]
    words = f"no package has {path}: put a newer release from {page} in its place"
    return Advice(words, _newest(page))


def _newest(page: str) -> str:
    return f"curl -sIL -o /dev/null -w '%{{url_effective}}\\n' {page}/latest"


def owner(*paths: Path) -> str:
    """Return the installed package that has one of these files, "" if none has.

    As the package manager recorded it: the file itself may be gone.
    """
    asked = list(dict.fromkeys(str(name) for path in paths for name in _aliases(path)))
    manager, *words = _manager().owner
    printed = program.run(manager, *words, *asked, seconds=_SECONDS).printed
    names = _told(manager, printed, asked)
    return next((name for name in names if _NAME.fullmatch(name)), "")


def _told(program: str, printed: str, asked: list[str]) -> list[str]:
    """Return what may be a package's name in the answer of a package manager's database."""
    if program == "dpkg-query":
        return _by_dpkg(printed, asked)
    return _APKS_ANSWER.findall(printed) if program == "apk" else printed.splitlines()


def _aliases(path: Path) -> list[Path]:
    """Return the names by which a package may list a file."""
    found = [path, path.resolve()]
    bare = [Path(str(each).removeprefix(_USR)) for each in found if each.parts[1:2] == ("usr",)]
    return [*found, *bare]


def _by_dpkg(printed: str, asked: list[str]) -> list[str]:
    """Return the owners in the order of the names asked for: a name may have been a pattern."""
    lines = [line.rpartition(": ") for line in printed.splitlines()]
    owners = {path: names.partition(",")[0] for names, _, path in lines}
    return [owners[path] for path in asked if path in owners]


def newer_kernel() -> str:
    """Return the command that boots a newer kernel of this distribution."""
    return f"{_manager().newer_kernel} && reboot"


def own_kernel() -> str:
    """Return the command that boots this distribution's kernel, on a machine that has another."""
    return f"{_manager().own_kernel} && reboot"


def without_boot_option(option: str) -> str:
    """Return the command that takes an option from the kernel's command line, and boots."""
    if program.locate("grubby"):
        return f"grubby --update-kernel=ALL --remove-args={shlex.quote(option)} && reboot"
    for name, (file, words) in _BOOT.items():
        if program.locate(name):
            return f"${{EDITOR:-vi}} {file} && {shlex.join([name, *words])} && reboot"
    return "cat /proc/cmdline"


def _manager() -> _Manager:
    found = next((name for name in _MANAGERS if program.locate(name)), "apt-get")
    return _MANAGERS[found]
