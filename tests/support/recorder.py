"""Runtimes made for a test: one that notes what the engine wrote, one that stands in front.

Both are POSIX sh, find the bundle as `--bundle DIR` (all engines write it so), and leave every
command but create and run to the runtime behind them.
"""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SANDBOX = '"io.kubernetes.cri.container-type":"sandbox"'
REFUSAL = "the recorder refuses on purpose"

FIND_BUNDLE = """#!/bin/sh
command= bundle= log= previous=
for word; do
    case $previous in --bundle | -b) bundle=$word ;; --log) log=$word ;; esac
    case $word in create | run) command=$word ;; --log=*) log=${word#--log=} ;; esac
    previous=$word
done
"""


@dataclass(frozen=True)
class Recorder:
    """`path` is the runtime to register; each create leaves one more file in `directory`."""

    path: Path
    directory: Path

    def taken(self) -> list[dict[str, Any]]:
        """Return and forget the configs seen so far: config.json objects, oldest first."""
        files = sorted(self.directory.glob("*.json"), key=lambda file: file.stat().st_mtime_ns)
        configs = [json.loads(file.read_text()) for file in files]
        for file in files:
            file.unlink()
        return configs


def refusing_recorder(directory: Path, name: str, behind: str) -> Recorder:
    """Note each config.json and fail, except CRI sandboxes: those go to `behind`, so pods start."""
    return _recorder(directory, name, behind, refuse=True)


def passing_recorder(directory: Path, name: str, behind: str) -> Recorder:
    """Note each config.json and then exec `behind`."""
    return _recorder(directory, name, behind, refuse=False)


def in_front(path: Path, act: str, behind: str | Path) -> Path:
    """Write a runtime which, at create, runs shell text `act` in the bundle, then execs `behind`.

    `act` sees $bundle; it is how a test spoils config.json or fills the disk at the last moment.
    """
    return _script(
        path,
        f'{FIND_BUNDLE}if [ -n "$command" ]; then\n(cd "$bundle" && {act}) </dev/null >&2\nfi\n'
        f'exec {shlex.quote(str(behind))} "$@"\n',
    )


def _recorder(directory: Path, name: str, behind: str, *, refuse: bool) -> Recorder:
    seen = directory / f"{name}.seen"
    seen.mkdir(parents=True)
    text = f"""{FIND_BUNDLE}if [ -n "$command" ]; then
    kept=$(mktemp {shlex.quote(str(seen))}/XXXXXX)
    cat "$bundle/config.json" >"$kept" && mv "$kept" "$kept.json"
    if {"true" if refuse else "false"} && ! grep -q {shlex.quote(SANDBOX)} "$kept.json"; then
        [ -z "$log" ] || printf '{{"level":"error","msg":"%s"}}\\n' {shlex.quote(REFUSAL)} >>"$log"
        echo {shlex.quote(REFUSAL)} >&2
        exit 1
    fi
fi
exec {shlex.quote(behind)} "$@"
"""
    return Recorder(_script(directory / name, text), seen)


def _script(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path
