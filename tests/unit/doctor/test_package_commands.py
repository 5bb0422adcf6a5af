"""doctor: the package manager's commands, named after who owns a file."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runc_wrap.doctor import package_commands
from runc_wrap.host import program
from tests.unit.node import machine

if TYPE_CHECKING:
    from tests.unit.cli.ctl import Node

RPM_HAS = "echo containerd.io"
RPM_HAS_NOT = 'echo "file /usr/bin/runc is not owned by any package"; exit 1'
APK_HAS = "echo /usr/bin/runc is owned by runc-doc-1.1.4-r0"
DPKG_HAS = "echo containerd.io: /usr/bin/runc; exit 1"  # other names are not found
DPKG_HAS_NOT = "exit 1"
RUNC = Path("/usr/bin/runc")
RELEASES = "github.com/opencontainers/runc/releases"
DOCKERS = "containerd.io"  # Docker's package, which has runc and conflicts with that package


@pytest.mark.parametrize(
    ("manager", "database", "answer", "command"),
    [
        ("apt-get", "dpkg-query", DPKG_HAS, f"apt-get install --only-upgrade {DOCKERS}"),
        ("apt-get", "dpkg-query", DPKG_HAS_NOT, RELEASES),
        ("apt-get", "dpkg-query", "echo diversion by x from: /usr/bin/runc", RELEASES),
        ("apt-get", "dpkg-query", "echo a, b: /usr/bin/runc", "--only-upgrade a"),
        ("apt-get", "dpkg-query", "echo a:amd64: /usr/bin/runc", "--only-upgrade a:amd64"),
        ("apt-get", "dpkg-query", "echo a: /usr/bin/runc2", RELEASES),
        ("apt-get", "dpkg-query", "echo 'a;reboot: /usr/bin/runc'", RELEASES),
        ("dnf", "rpm", RPM_HAS, f"dnf upgrade {DOCKERS}"),
        ("dnf", "rpm", RPM_HAS_NOT, RELEASES),
        ("zypper", "rpm", RPM_HAS, f"zypper update {DOCKERS}"),
        ("zypper", "rpm", RPM_HAS_NOT, RELEASES),
        ("apk", "apk", APK_HAS, "apk add -u runc-doc"),
        ("apk", "apk", "echo 'ERROR: Could not find owner package'; exit 1", RELEASES),
        ("pacman", "pacman", "echo runc", "pacman -Syu runc"),
        ("pacman", "pacman", "echo error: No package owns it >&2; exit 1", RELEASES),
    ],
)
def test_an_upgrade_names_the_package_that_owns_the_file_or_else_the_projects_releases(
    node: Node, manager: str, database: str, answer: str, command: str
) -> None:
    machine.fake(node.programs, manager, "exit 1")
    machine.fake(node.programs, database, answer)
    advice = package_commands.upgrade(RUNC, "runc")
    assert command in advice.command
    assert ("no package has" in advice.remedy) is (command == RELEASES)
    assert shlex.split(advice.command)


def test_the_package_manager_is_asked_for_the_file_by_the_names_it_may_have(node: Node) -> None:
    """As Debian's packages list /bin and /lib, where these are links to /usr/bin and /usr/lib."""
    target = machine.fake(node.programs / "versions", "runc-1.3", "true")
    (node.programs / "linked").symlink_to(target)
    machine.fake(node.programs, "dpkg-query", f'echo "$*" >> {node.programs}/asked')
    assert package_commands.owner(node.programs / "linked", Path("/usr/bin/none-such")) == ""
    asked = (node.programs / "asked").read_text().split()
    linked = [f"{node.programs}/linked", str(target)]
    assert asked == ["-S", *linked, "/usr/bin/none-such", "/bin/none-such"]


@pytest.mark.parametrize(
    ("owned", "path", "command"),
    [
        ("/usr/bin/runc", "/usr/bin/runc", f"apt-get install --reinstall {DOCKERS}"),
        ("{machine}/runc", "{local}/runc", f"apt-get install --reinstall {DOCKERS}"),
        ("{machine}/runc", "/srv/runc", RELEASES),
        ("", "{machine}/runc", "apt-get install runc"),
        ("", "/srv/runc", RELEASES),
    ],
)
def test_a_runtime_that_is_gone_is_taken_from_where_it_came(
    node: Node, monkeypatch: pytest.MonkeyPatch, owned: str, path: str, command: str
) -> None:
    (node.programs / "runc").unlink()
    local = node.programs / "local"
    monkeypatch.setattr(program, "FIXED_PATH", (str(local), str(node.programs)))
    owned, path = (each.format(machine=node.programs, local=local) for each in (owned, path))
    machine.fake(node.programs, "apt-get", "true")
    machine.fake(node.programs, "dpkg-query", f"echo {DOCKERS}: {owned}; exit 1")
    assert command in package_commands.restore(Path(path), "runc").command


@pytest.mark.parametrize("is_damaged", [False, True])
def test_a_package_that_has_another_runtime_is_not_installed_again_for_one_that_it_has_not(
    node: Node, monkeypatch: pytest.MonkeyPatch, *, is_damaged: bool
) -> None:
    """That would restart the engine, and Debian's runc would replace Docker's package."""
    local = node.programs / "local"
    local.mkdir()
    if is_damaged:
        (local / "runc").touch()
    monkeypatch.setattr(program, "FIXED_PATH", (str(local), str(node.programs)))
    machine.fake(node.programs, "dpkg-query", f"echo {DOCKERS}: {node.programs}/runc; exit 1")
    assert RELEASES in package_commands.restore(local / "runc", "runc").command


@pytest.mark.parametrize(
    ("manager", "newer_kernel", "own_kernel"),
    [
        (
            "apt-get",
            "apt-get full-upgrade && reboot",
            "apt-get install linux-image-generic && reboot",
        ),
        ("dnf", "dnf upgrade kernel && reboot", "dnf install kernel && reboot"),
        (
            "zypper",
            "zypper update kernel-default && reboot",
            "zypper install kernel-default && reboot",
        ),
        ("apk", "apk upgrade && reboot", "apk add linux-lts && reboot"),
        ("pacman", "pacman -Syu && reboot", "pacman -S linux && reboot"),
    ],
)
def test_kernels_have_their_names_in_each_distribution(
    node: Node, manager: str, newer_kernel: str, own_kernel: str
) -> None:
    machine.fake(node.programs, manager, "true")
    assert package_commands.newer_kernel() == newer_kernel
    assert package_commands.own_kernel() == own_kernel


@pytest.mark.parametrize(
    ("program", "command"),
    [
        ("update-grub", "${EDITOR:-vi} /etc/default/grub && update-grub && reboot"),
        ("grubby", "grubby --update-kernel=ALL --remove-args=audit && reboot"),
        ("grub2-mkconfig", "grub2-mkconfig -o /boot/grub2/grub.cfg && reboot"),
        ("grub-mkconfig", "grub-mkconfig -o /boot/grub/grub.cfg && reboot"),
        ("update-extlinux", "/etc/update-extlinux.conf && update-extlinux && reboot"),
        ("", "cat /proc/cmdline"),
    ],
)
def test_an_option_is_taken_from_the_kernels_command_line_by_the_boot_loaders_program(
    node: Node, program: str, command: str
) -> None:
    if program:
        machine.fake(node.programs, program, "true")
    assert package_commands.without_boot_option("audit").endswith(command)


def test_debians_database_and_rpms_answer_as_the_fakes_do() -> None:
    """With the real programs: a file of a package, and one that none has."""
    if not program.locate("dpkg-query"):
        pytest.skip("dpkg-query is not installed")
    assert package_commands.owner(Path("/usr/bin/dpkg-query")) == "dpkg"
    assert package_commands.owner(Path("/usr/bin/sh"), Path("/usr/bin/dpkg")) in ("dash", "dpkg")
    assert package_commands.owner(Path("/usr/bin/runc*")) == ""
    assert package_commands.owner(Path("/nowhere")) == ""
    if program.locate("rpm"):
        said = program.run("rpm", *package_commands._RPM[1:], "/usr/bin/sh", seconds=20)  # noqa: SLF001
        assert package_commands._told("rpm", said.printed, []) == [  # noqa: SLF001
            "file /usr/bin/sh is not owned by any package"
        ]
