"""A release: assembling its parts, putting it in force, and taking that back.

RELEASE/venv           the interpreter and packages; install.sh or an archive made it
RELEASE/hotpath        what runs at every create, so that nothing else can be imported
RELEASE/python         link to the interpreter
RELEASE/runc-wrap      the launcher
RELEASE/hooks share    OCI hooks; units; an archive has the manual and the completions there, too

At every moment a create finds either the complete old release or the complete new one. The release
before is kept for running creates. The launcher comes after its release: cold.py understands the
launcher of the release before. An installation is one change set, of which
PREFIX/lib/installing.json is there while it is not over; the next install.sh undoes it. Until then
the new release is in force, or still the one before: both start containers.
"""

import json
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from runc_wrap.failure import Failure
from runc_wrap.host import change_set, files, program, systemd

DEFAULT_PREFIX = "/opt/runc-wrap"
_SECONDS = 600.0  # of one program on a slow machine; sync waits for what others write, too
_LARGEST = 4 << 20  # bytes of a launcher
_START = "from runc_wrap.cli.entry_point import start"


def write_command(release: Path) -> None:
    """Write VENV/bin/runc-wrapctl: the script that pip writes would obey PYTHONPATH.

    By sh, as a first line cannot name an interpreter whose path is long or has blanks.
    """
    interpreter = release / "venv" / "bin" / "python"
    command = interpreter.with_name("runc-wrapctl")
    code = shlex.quote(f"import sys; sys.argv[:1] = []; {_START}; start()")
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(str(interpreter))} -I -c {code} "$0" "$@"\n')
    command.chmod(0o755)


def copy_hot_path(packages: Path, release: Path) -> None:
    """Copy what runs at every create; `packages` is the directory of the interpreter's packages."""
    target = release / "hotpath"
    package = packages / "runc_wrap"
    ignored = shutil.ignore_patterns("__pycache__")
    (target / "runc_wrap").mkdir(parents=True)
    shutil.copy(package / "launcher" / "cold.py", target)
    shutil.copy(package / "__init__.py", target / "runc_wrap")
    shutil.copytree(package / "hotpath", target / "runc_wrap" / "hotpath", ignore=ignored)
    shutil.copytree(packages / "orjson", target / "orjson", ignore=ignored)


def compile_hot_path(packages: Path, release: Path) -> None:
    """Compile and pack the hot path with the interpreter that will run it, which runs this."""
    own = (str(release / "venv" / "bin" / "python"), "-I")
    script = packages / "runc_wrap" / "launcher" / "pack_hotpath.py"
    hot = str(release / "hotpath")
    program.do(*own, "-m", "compileall", "-q", hot, seconds=_SECONDS)
    program.do(*own, "-S", "-B", "-X", "no_debug_ranges", str(script), hot, seconds=_SECONDS)
    (release / "python").symlink_to(Path(sys.executable).resolve())


def take_launcher(packages: Path, release: Path) -> str:
    """Copy the launcher that the build compiled; return why there is none, or ""."""
    made = packages / "runc_wrap" / "launcher"
    if not (made / "runc-wrap").is_file():
        return (made / "not-built").read_text()
    shutil.copy(made / "runc-wrap", release)
    return ""


def lay_hooks_and_units(checkout: Path, release: Path) -> None:
    """Copy hooks and units from a checkout, which has no manual: deploy/manual makes that."""
    shutil.copytree(checkout / "hooks", release / "hooks", ignore=shutil.ignore_patterns("__*"))
    units = release / "share" / "systemd"
    units.mkdir(parents=True)
    for unit in sorted((checkout / "deploy" / "systemd").glob("*.s*")):
        shutil.copy(unit, units)


def name_hooks(prefix: Path, release: Path) -> None:
    """Write this installation's path into the hooks' definitions. Raises OSError."""
    quoted = json.dumps(str(prefix))[1:-1]
    for path in release.glob("hooks/*.d/*.json"):
        path.write_text(path.read_text().replace(DEFAULT_PREFIX, quoted))


def in_force(prefix: Path) -> str | None:
    """Return the name of the release in force, None if there is none."""
    current = prefix / "lib" / "current"
    return current.readlink().name if current.is_symlink() else None


def check(prefix: Path) -> None:
    """Raise Failure if a directory has no installation, nor a package's."""
    if in_force(prefix) is None:
        raise Failure(missing(prefix))


def missing(prefix: Path) -> str:
    """Return what to do about a directory without one."""
    return f"{prefix} has no installation: give the one that has by --prefix"


def changes(prefix: Path, release: Path) -> Iterator[change_set.PathChange]:
    """Yield, in order, what puts a release in force. Raises OSError and ValueError.

    It is on the disk already: a power cut after the switch leaves no empty files.
    """
    program.do("sync", "-f", str(release), seconds=_SECONDS)
    for path, after in (
        (prefix / "lib" / "current", f"releases/{release.name}"),
        (prefix / "bin" / "runc-wrap", files.read(release / "runc-wrap", _LARGEST)),
        (prefix / "bin" / "runc-wrapctl", "../lib/current/venv/bin/runc-wrapctl"),
        (prefix / "hooks", "lib/current/hooks"),
    ):
        yield change_set.PathChange(path, change_set.content(path), after, 0o755, is_ours=True)


def remove_others(release: Path, before: str | None) -> None:
    """Remove the releases that are neither this one nor the one before."""
    for old in release.parent.glob("[0-9]*.??????"):
        if old.name not in (release.name, before):
            shutil.rmtree(old, ignore_errors=True)


def installing(prefix: Path) -> Path:
    """Return the path of the change set's record; its note is {new, ran}: names of units."""
    return prefix / "lib" / "installing.json"


def take_back(prefix: Path) -> list[str]:
    """Put back what it changed, and run the services that ran; return what somebody else changed.

    The caller holds the lock of installations. Raises OSError and DamagedRecord.
    """
    found = change_set.read(installing(prefix))
    note: dict[str, list[str]] = found.note if found else {}
    if new := note.get("new"):
        systemd.failure("disable", "--now", *new)
    left = change_set.undo(installing(prefix))
    if note:
        systemd.failure("daemon-reload")
    if ran := note.get("ran"):
        systemd.failure("restart", *ran)
    return left


def keep(prefix: Path) -> None:
    """Let it stay as it is: an uninstall takes away all that it has made. Raises OSError."""
    if installing(prefix).exists():
        change_set.close(installing(prefix))
    else:
        change_set.undo(installing(prefix))  # names that a kill before any change has left
