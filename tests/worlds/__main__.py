"""Run a command in another Debian release: its programs, this kernel, this checkout (at /src).

    python -m tests.worlds SUITE PACKAGE... -- COMMAND...

Standard library only: it runs before any virtual environment is made.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.worlds.debian import World, WorldError

SOURCE = Path(__file__).resolve().parents[2]
ENTER = Path(__file__).with_name("enter.sh")
# How the machine resolves names and reaches its package registry: copied at each run.
MACHINES = """
/etc/resolv.conf /etc/hosts /etc/ssl/certs/ca-certificates.crt /etc/pip.conf /etc/xdg/pip
~/.config/pip ~/.pip
""".split()
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
WORLD = "RUNC_WRAP_WORLD"  # its suite, for questions that only arise there
# What this process got from make, a virtual environment or another world's toolchain.
OTHERS = ("MAKE", "MFLAGS", "PYTHON", "VIRTUAL_ENV", "PYENV", "CC", "OTHER_PYTHON")


def main(words: list[str]) -> int:
    """Return the command's exit status."""
    front = words.index("--")
    suite, *packages = words[:front]
    root = World(suite, packages).root()
    equip(root)
    with tempfile.TemporaryDirectory(prefix=f"{suite}-", dir="/var/tmp") as scratch:
        Path(scratch).chmod(0o1777)
        private = ["unshare", "--mount", "--propagation", "private"]
        places = map(str, (ENTER, root, SOURCE, scratch))
        entered = [*private, *places, *words[front + 1 :]]
        return subprocess.run(entered, check=False, env=environment(suite)).returncode


def equip(root: Path) -> None:
    """Copy the machine's own file, if it exists."""
    for name in MACHINES:
        source = Path(name).expanduser()
        target = root / (f"root{name[1:]}" if name.startswith("~") else name[1:])
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        elif source.is_file():
            target.unlink(missing_ok=True)
            shutil.copy(source, target)


def environment(suite: str) -> dict[str, str]:
    """Return the environment without what belongs to this world's tools."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OTHERS)}
    return {**kept, "PATH": PATH, "HOME": "/root", "LC_ALL": "C.UTF-8", WORLD: suite}


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except WorldError as error:
        sys.exit(f"tests.worlds: {error}")
