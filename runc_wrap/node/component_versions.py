"""What an installation is made of, and what it works with on this node, for `version`."""

import os
import platform
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from runc_wrap.filters.kernel import libseccomp_version
from runc_wrap.host import program
from runc_wrap.node import installed_programs, runtime_loader
from runc_wrap.node.installed_programs import KINDS, InstalledRuntime, RuntimeNotUsable
from runc_wrap.node.paths import Places

Json = dict[str, Any]
_PACKAGES = ("click", "orjson", "psutil", "pyseccomp")


def gather(places: Places) -> Json:
    """Return the JSON of `version`."""
    return {
        "release": release(),
        "prefix": str(places.prefix),
        "directory": _directory(places),
        "launcher": {"path": str(places.wrapper), "kind": _kind_of(places.wrapper)},
        "python": _python(),
        "libseccomp": _libseccomp(),
        "packages": {name: metadata.version(name) for name in _PACKAGES},
        "runtimes": [*_runtimes(places)],
        "kernel": platform.release(),
        "machine": platform.machine(),
    }


def release() -> str:
    """Return the version of runc-wrap that runs."""
    return metadata.version("runc-wrap")


def _directory(places: Places) -> str | None:
    """Return the release in force, None if nothing is installed there."""
    current = places.prefix / "lib" / "current"
    return str(current.resolve()) if current.exists() else None


def _kind_of(launcher: Path) -> str | None:
    """Return "compiled", None if there is no launcher."""
    try:
        with launcher.open("rb") as file:
            return "compiled" if file.read(4) == b"\x7fELF" else None
    except OSError:
        return None


def _python() -> Json:
    """Return the interpreter that runs this; `own`: it came with the release."""
    own = (Path(sys.prefix) / "lib" / "private").is_dir()
    return {"version": platform.python_version(), "path": sys.executable, "own": own}


def _libseccomp() -> Json | None:
    found = libseccomp_version.loaded()
    return {"version": found[0], "path": found[1]} if found else None


def _runtimes(places: Places) -> Iterator[Json]:
    """Yield the real runtimes; the one in force comes first."""
    chosen = installed_programs.in_force(places.prefix)
    used = chosen["path"] if chosen else None
    here = [f"{place}/{kind}" for kind in KINDS for place in program.FIXED_PATH]
    seen: set[str] = set()
    for name in [used, *here] if used else here:
        path = os.path.realpath(name)
        if path not in seen and (runtime := _runtime(path)):
            seen.add(path)
            yield {
                "path": path,
                "kind": runtime.kind,
                "version": runtime.version,
                "libseccomp": runtime_loader.libseccomp(runtime.path),
                "in_force": bool(used) and path == os.path.realpath(str(used)),
            }


def _runtime(path: str) -> InstalledRuntime | None:
    try:
        return installed_programs.find_runtime([path])
    except (RuntimeNotUsable, OSError):
        return None
