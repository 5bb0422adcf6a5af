"""Assembles a release: the parts that its package does not have, as command, hot path and hooks.

RELEASE/venv           the interpreter and packages; install.sh or an archive made it
RELEASE/hotpath        what runs at every create, so that nothing else can be imported
RELEASE/python         link to the interpreter
RELEASE/runc-wrap      the launcher
RELEASE/hooks share    OCI hooks; units; an archive has the manual and the completions there, too
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from pathlib import Path

from runc_wrap.host import program

DEFAULT_PREFIX = "/opt/runc-wrap"
_SECONDS = 600.0  # of one program, on a slow machine
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
    """Write this installation's path into the hooks' definitions. Raises ValueError and OSError."""
    for path in release.glob("hooks/*.d/*.json"):
        try:
            definition = json.loads(path.read_text())
            program = definition["hook"]["path"].removeprefix(DEFAULT_PREFIX)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is no definition of a hook ({error})") from None
        definition["hook"]["path"] = f"{prefix}{program}"
        path.write_text(json.dumps(definition, indent=4) + "\n")
