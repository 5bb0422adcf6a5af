"""The runtimes and engines installed on this node, and their versions."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

FIXED_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_SECONDS = 10
_MARK = b"runc-wrapctl apply"  # stands in every launcher of ours, compiled or shell
_READ_AT_MOST = 4 * 1024 * 1024


class RuntimeNotUsable(ValueError):
    """No real runtime under the names that policy gives; the message says what was found."""


@dataclass(frozen=True)
class Runtime:
    """A low-level OCI runtime: absolute path, kind ("runc" or "crun") and version."""

    path: Path
    kind: str
    version: str


def find_runtime(names: list[str]) -> Runtime:
    """Return the first that exists; a name without a slash is looked up in FIXED_PATH.

    Raises RuntimeNotUsable.
    """
    for name in names:
        path = _locate(name)
        if path is not None:
            return _identified(path)
    raise RuntimeNotUsable(
        f"none of the runtimes {', '.join(names)} is found; names are looked up in "
        f"{':'.join(FIXED_PATH)}. Install one, or name another in config.toml."
    )


def _locate(name: str) -> Path | None:
    candidates = [Path(name)] if "/" in name else [Path(place) / name for place in FIXED_PATH]
    return next((path for path in candidates if os.access(path, os.X_OK) and path.is_file()), None)


def _identified(path: Path) -> Runtime:
    with path.open("rb") as file:
        if _MARK in file.read(_READ_AT_MOST):
            raise RuntimeNotUsable(
                f"the runtime {path} is runc-wrap itself. Name the real one in config.toml."
            )
    said = _version_text(path)
    found = re.match(r"(?P<kind>\S+) version (?P<version>\S+)", said)
    if not found:
        raise RuntimeNotUsable(
            f"{path} --version said {said[:80]!r}, not `runc version ...` or `crun version ...`."
        )
    kind = "crun" if found["kind"] == "crun" else "runc"
    return Runtime(path.resolve(), kind, found["version"])


def engine_versions() -> dict[str, str]:
    """Return {"containerd" | "docker" | "crio" | "podman": version} of what is installed."""
    found = {}
    for engine, program in _PROGRAMS.items():
        path = _locate(program)
        version = re.search(r"(\d+\.\d+(?:\.\d+)?)", _version_text(path)) if path else None
        if version:
            found[engine] = version[1]
    return found


_PROGRAMS = {"containerd": "containerd", "docker": "dockerd", "crio": "crio", "podman": "podman"}


def _version_text(path: Path) -> str:
    """Return the first bytes of what `path --version` says, "" if it fails or takes too long."""
    try:
        done = subprocess.run(
            [path, "--version"], capture_output=True, timeout=_SECONDS, check=False, text=True
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return ""
    return done.stdout[:4096] if done.returncode == 0 else ""
