"""Runtimes for tests: one that records what the engine wrote, one that runs before the wrapper.

Both are POSIX sh, find the bundle as `--bundle DIR` (all engines write it so), and leave every
command but create and run to the runtime behind them.
"""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.host.processes import script

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


def in_front(path: Path, act: str, behind: str | Path, after: str = ":") -> Path:
    """Write a runtime which, around create, runs shell texts `act` and `after` in the bundle.

    They can use $bundle and $log. A CRI sandbox is exempt, so that its pod starts.
    """
    text = f"""{FIND_BUNDLE}behind={shlex.quote(str(behind))}
if [ -z "$command" ] || grep -q {shlex.quote(SANDBOX)} "$bundle/config.json"; then
    exec "$behind" "$@"
fi
(cd "$bundle" && {act}) </dev/null >/dev/null 2>&1
"$behind" "$@"
status=$?
(cd "$bundle" && {after}) </dev/null >/dev/null 2>&1
exit $status
"""
    return script(path, text)


def spoils_config(path: Path, behind: str | Path) -> Path:
    """Truncate config.json, then exec the wrapper."""
    return in_front(path, 'printf \'{"ociVersion": "1.2.0", "proc\' >config.json', behind)


def fills_disk(path: Path, behind: str | Path) -> Path:
    """Fill the bundle's file system, then exec the wrapper; afterwards free the space.

    The engine's log gets its one block first, so that only the wrapper's write fails.
    """
    act = 'if [ -n "$log" ]; then echo >>"$log"; fi; cat /dev/zero >filler'
    return in_front(path, act, behind, after="rm -f filler")


def refusing_recorder(directory: Path, name: str, behind: str) -> Recorder:
    """Record each config.json and fail; `behind` runs CRI sandboxes, so that pods start."""
    seen = directory / f"{name}.seen"
    seen.mkdir(parents=True)
    text = f"""{FIND_BUNDLE}if [ -n "$command" ]; then
    kept=$(mktemp {shlex.quote(str(seen))}/XXXXXX)
    cat "$bundle/config.json" >"$kept" && mv "$kept" "$kept.json"
    if ! grep -q {shlex.quote(SANDBOX)} "$kept.json"; then
        [ -z "$log" ] || printf '{{"level":"error","msg":"%s"}}\\n' {shlex.quote(REFUSAL)} >>"$log"
        echo {shlex.quote(REFUSAL)} >&2
        exit 1
    fi
fi
exec {shlex.quote(behind)} "$@"
"""
    return Recorder(script(directory / name, text), seen)
