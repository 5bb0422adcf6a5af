"""Whether the launcher, which engines call, exists and can be executed."""

from __future__ import annotations

import os
import stat
from functools import partial
from typing import TYPE_CHECKING

from runc_wrap.host import files
from runc_wrap.node.doctor import commands, package_commands
from runc_wrap.node.doctor.check_finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runc_wrap.node.paths import Places

NAME = "launcher"
# launcher.sh, line 1
_SHELL_SCRIPT = b"# The program that engines execute if launcher.c could not be compiled"
_BEGINNING = 16 * 1024  # bytes, which contain that line even with the longest prefix
_MODE, _EXECUTABLE = 0o755, 0o111
_FEW = 200  # characters of a reason


def find(places: Places) -> Iterator[Finding]:
    """Find a launcher that cannot be executed, or that is the shell script."""
    path = places.wrapper
    if not path.is_file():
        sentence = f"{path}, which engines call, does not exist"
        yield Finding(NAME, "error", sentence, commands.INSTALL_AGAIN, commands.install(places))
        return
    if path.is_symlink():  # by `uninstall` or a package's removal, while engines still call it
        sentence = (
            f"{path}, which engines call, leads to {path.readlink()}: containers are not confined"
        )
        yield Finding(NAME, "error", sentence, commands.INSTALL_AGAIN, commands.install(places))
        return
    if not os.access(path, os.X_OK):
        yield _not_executable(path)
    elif is_shell_script(path):
        yield _shell_script(places)


def _not_executable(path: Path) -> Finding:
    sentence = f"{path}, which engines call, cannot be executed (mode {_mode(path):04o})"
    remedy = "make it executable, or mount it without noexec"
    command = commands.line("chmod", f"{_MODE:04o}", path)
    fix = None if _mode(path) & _EXECUTABLE == _EXECUTABLE else partial(_make_executable, path)
    return Finding(NAME, "error", sentence, remedy, command, fix)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _make_executable(path: Path) -> None:
    descriptor = files.opened(path)
    try:
        os.fchmod(descriptor, _MODE)
    finally:
        os.close(descriptor)


def _shell_script(places: Places) -> Finding:
    """Return what the script costs, and why it is installed: `not-built` holds that and the log."""
    reason = places.prefix / "lib" / "current" / "not-built"
    try:
        with reason.open(errors="replace") as file:
            why = file.readline(_FEW).rstrip("\n")
            words = file.read(1)
    except OSError:
        why, words = "it could not be compiled", ""
    packages = package_commands.compiler_packages()
    again = f"then {commands.INSTALL_AGAIN}"
    remedy = f"install a C compiler ({packages}), {again}"
    return Finding(
        NAME,
        "note",
        f"the launcher is a shell script, as {why}: it adds 1.6 ms to each call of the runtime, "
        "including exec probes, while the compiled one adds 0.4 ms, and with musl 0.1 ms (medians "
        "of 1000 calls); and it never asks the agent",
        f"read the compiler's messages in {reason}, {again}" if words else remedy,
        f"{package_commands.compiler()} && {commands.install(places)}",
    )


def is_shell_script(path: Path) -> bool:
    """Tell whether a launcher is the one that install.sh makes without a compiler."""
    with path.open("rb") as file:
        return _SHELL_SCRIPT in file.read(_BEGINNING)
