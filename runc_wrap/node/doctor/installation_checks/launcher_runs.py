"""Whether the launcher, which engines call, exists and can be executed."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from runc_wrap.node.doctor import commands, package_commands
from runc_wrap.node.doctor.check_finding import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from runc_wrap.node.paths import Places

NAME = "launcher"
# launcher.sh, line 1
_SHELL_SCRIPT = b"# The program that engines execute if launcher.c could not be compiled"
_BEGINNING = 16 * 1024  # bytes, which contain that line even with the longest prefix
_EXECUTABLE = 0o111
_MODE = 0o755  # as install.sh and the packages give it
_FEW = 200  # characters of a reason


def find(places: Places) -> Iterator[Finding]:
    """Find a launcher that cannot be executed, or that is the shell script."""
    path = places.wrapper
    again = f"install again {commands.where_to_install(places)}"
    if _has_no_mode(path):
        sentence = f"{path}, which engines call, cannot be executed, by its mode"
        command = commands.line("chmod", "755", path)
        yield Finding(NAME, "error", sentence, "let it be executed", command, _executable(path))
        return
    if not os.access(path, os.X_OK) or not path.is_file():
        sentence = f"{path}, which engines call, does not exist or cannot be executed"
        yield Finding(NAME, "error", sentence, again, commands.install(places))
        return
    if path.is_symlink():  # by `uninstall` or a package's removal, while engines still call it
        sentence = (
            f"{path}, which engines call, leads to {path.readlink()}: containers are not confined"
        )
        yield Finding(NAME, "error", sentence, again, commands.install(places))
        return
    if is_shell_script(path):
        yield _shell_script(places)


def _has_no_mode(path: Path) -> bool:
    """Tell whether it is a file of ours, and nobody may execute it."""
    try:
        found = path.lstat()
    except OSError:
        return False
    is_ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()
    return is_ours and not found.st_mode & _EXECUTABLE


def _executable(path: Path) -> Callable[[], None]:
    def act() -> None:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path, flags)
        try:
            os.fchmod(descriptor, _MODE)
        finally:
            os.close(descriptor)

    return act


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
    again = f"then run install.sh again, {commands.where_to_install(places)}"
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
