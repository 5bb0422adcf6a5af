"""A machine of its own for an installation in /opt/runc-wrap: a mount namespace.

It has a stand-in for systemd, which records its calls and fails where the test says so. What
systemd itself does is tested where it runs: tests/vm.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.manual.__main__ import write
from harness.host.namespaces import MountNamespace, private_mounts
from harness.host.processes import Run, attempt, environment, run
from harness.node.requirements import requires

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.node.install import Installed

PREFIX = Path("/opt/runc-wrap")
PLACES = {"opt": "/opt", "local": "/usr/local", "units": "/etc/systemd/system"}
INSTALLER = "runc_wrap.installation.installer"
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_SYSTEMCTL = """#!/bin/sh
# {place}/state/UNIT is what is-active says; {place}/fails holds a verb whose next call fails,
# {place}/ends one whose next call ends the caller, {place}/dead a unit that never becomes active.
place={place}
echo "$*" >> "$place/calls"
verb=$1
shift
if [ "$verb" = is-active ]; then
    cat "$place/state/$1" 2>/dev/null || echo inactive
    exit
fi
if [ "$(cat "$place/fails" 2>/dev/null)" = "$verb" ]; then
    rm "$place/fails"
    echo "Job for it failed." >&2
    exit 1
fi
if [ "$(cat "$place/ends" 2>/dev/null)" = "$verb" ]; then
    rm "$place/ends"
    kill -TERM "$PPID"
    sleep 10
fi
for unit in "$@"; do
    case $verb$unit in
        *--now) ;;
        disable*) echo inactive > "$place/state/$unit" ;;
        enable* | restart*) echo active > "$place/state/$unit" ;;
    esac
    if [ "$(cat "$place/dead" 2>/dev/null)" = "$unit" ]; then
        rm "$place/dead"
        echo failed > "$place/state/$unit"
    fi
done
"""


@dataclass(frozen=True)
class Machine:
    """Its /opt, /usr/local and units are directories here."""

    directory: Path
    space: MountNamespace

    @property
    def prefix(self) -> Path:
        """Return the installation's directory as seen from outside."""
        return self.directory / "opt" / "runc-wrap"

    def run(self, *words: str | Path, seconds: float = 120) -> Run:
        """Run a program on it; a failure is returned."""
        return attempt([*self.space.prefix, *words], env=environment(PATH=_PATH), seconds=seconds)

    def ctl(self, *words: str | Path) -> Run:
        """Run runc-wrapctl; a failure is returned."""
        return self.run(PREFIX / "bin" / "runc-wrapctl", *words)

    def calls(self) -> list[str]:
        """Return the calls of systemctl so far, without questions, and forget them."""
        log = self.directory / "calls"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return [line for line in lines if not line.startswith("is-active")]

    def tell(self, name: str, value: str) -> None:
        """Tell the stand-in what to fail at."""
        (self.directory / name).write_text(value)

    def is_active(self, unit: str) -> bool:
        """Tell whether the stand-in says so."""
        path = self.directory / "state" / unit
        return path.exists() and path.read_text() == "active\n"

    def listing(self, *, without: tuple[str, ...] = ()) -> dict[str, tuple[int, object]]:
        """Return {path: (mode, content or target)} of everything in its places."""
        files = [path for place in PLACES for path in (self.directory / place).rglob("*")]
        named = {str(path.relative_to(self.directory)): path for path in files}
        return {
            name: (path.lstat().st_mode, _content(path))
            for name, path in sorted(named.items())
            if not any(part in name for part in without)
        }

    def new_release(self, installed: Installed, name: str) -> Path:
        """Make a release as installer.py finds it, with an archive's manual."""
        for part in ("bin", "etc/conf.d", "etc/profiles", "lib/releases", "var"):
            (self.prefix / part).mkdir(parents=True, exist_ok=True)
        release = PREFIX / "lib" / "releases" / f"20260101{name}.abcdef"
        made = self.directory / "opt" / release.relative_to("/opt")
        shutil.copytree(installed.release, made, symlinks=True)
        write(made / "share", "", 0)
        code = (
            "import pathlib, sys; from runc_wrap.installation import release_parts; "
            "release_parts.write_command(pathlib.Path(sys.argv[1]))"
        )
        done = self.run(release / "venv/bin/python", "-I", "-c", code, release)
        assert done.returncode == 0, done.stderr
        return release

    def install(self, release: Path, *words: str) -> Run:
        """Run installer.py; remove the release if it is not in force, as install.sh does."""
        python = release / "venv/bin/python"
        where = ["--prefix", str(PREFIX), "--release", str(release)]
        done = self.run(python, "-I", "-m", INSTALLER, *where, *words)
        current = self.prefix / "lib" / "current"
        if not current.is_symlink() or current.readlink().name != release.name:
            shutil.rmtree(self.directory / "opt" / release.relative_to("/opt"))
        return done


def _content(path: Path) -> object:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return str(path.readlink())
    return path.read_bytes() if stat.S_ISREG(mode) else None


@contextlib.contextmanager
def machine(directory: Path) -> Iterator[Machine]:
    """Yield one whose places are empty, but for /usr/local/bin."""
    requires("systemctl", "runc", "nsenter", root=True)
    for name in (*PLACES, "state", "local/bin"):
        (directory / name).mkdir()
    stand_in = directory / "systemctl"
    stand_in.write_text(_SYSTEMCTL.format(place=json.dumps(str(directory))[1:-1]))
    stand_in.chmod(0o755)
    with private_mounts(directory, {}) as space:
        one = Machine(directory, space)
        for name, place in PLACES.items():
            run([*space.prefix, "mount", "--bind", directory / name, place])
        run([*space.prefix, "mount", "--bind", stand_in, "/usr/bin/systemctl"])
        run([*space.prefix, "mkdir", "-p", "/run/systemd/system"])
        yield one
