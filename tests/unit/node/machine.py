"""A simulated machine: fake programs in the only directory that is searched."""

from pathlib import Path
from typing import Any

import pytest

from runc_wrap.host import program
from runc_wrap.profiles.json_profiles import profile_files


def fake(directory: Path, name: str, script: str) -> Path:
    """Write a program that runs a line of sh."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def empty(tmp_path: Path, patch: pytest.MonkeyPatch) -> Path:
    """Search for programs only in an empty directory; no system profile."""
    directory = tmp_path / "machine"
    directory.mkdir()
    patch.setattr(program, "FIXED_PATH", (str(directory),))
    patch.setattr(profile_files, "SYSTEM_FILES", ())
    return directory


def registered(config: str, *handlers: dict[str, Any]) -> dict[str, Any]:
    """Return the state of a registration with containerd, as `engine add` writes it."""
    state = {"format": 2, "engine": "containerd", "config": config, "facts": {}}
    return {**state, "handlers": [*handlers], "files": {}, "dirs": []}
