"""What an installation is made of, and what it works with on this node, for `version`."""

import contextlib
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
from runc_wrap.node.paths import Places

Json = dict[str, Any]
_PACKAGES = ("click", "orjson", "psutil", "pyseccomp")


def gather(places: Places) -> Json:
    """Return the JSON of `version`.

    `directory` is the release in force; the interpreter is `own` if it came with the release.
    """
    current, loaded = places.prefix / "lib" / "current", libseccomp_version.loaded()
    own = (Path(sys.prefix) / "lib" / "private").is_dir()
    return {
        "release": metadata.version("runc-wrap"),
        "prefix": str(places.prefix),
        "directory": str(current.resolve()) if current.exists() else None,
        "launcher": {"path": str(places.wrapper), "kind": _kind_of(places.wrapper)},
        "python": {"version": platform.python_version(), "path": sys.executable, "own": own},
        "libseccomp": {"version": loaded[0], "path": loaded[1]} if loaded else None,
        "packages": {name: metadata.version(name) for name in _PACKAGES},
        "runtimes": [*_runtimes(places)],
        "kernel": platform.release(),
        "machine": platform.machine(),
    }


def _kind_of(launcher: Path) -> str | None:
    """Return "compiled", None if there is no launcher."""
    try:
        with launcher.open("rb") as file:
            return "compiled" if file.read(4) == b"\x7fELF" else None
    except OSError:
        return None


def _runtimes(places: Places) -> Iterator[Json]:
    """Yield the real runtimes; the one in force comes first."""
    chosen = installed_programs.in_force(places.prefix)
    used = chosen["path"] if chosen else None
    here = [f"{place}/{kind}" for kind in installed_programs.KINDS for place in program.FIXED_PATH]
    seen: set[str] = set()
    for name in [used, *here] if used else here:
        path = os.path.realpath(name)
        if path in seen:
            continue
        with contextlib.suppress(installed_programs.RuntimeNotUsable, OSError):
            runtime = installed_programs.find_runtime([path])
            seen.add(path)
            yield {
                "path": path,
                "kind": runtime.kind,
                "version": runtime.version,
                "libseccomp": runtime_loader.libseccomp(runtime.path),
                "in_force": bool(used) and path == os.path.realpath(str(used)),
            }
