"""Proves the profiles of all modes on both runtimes once, for all copies of an installation.

python -m harness.node.proofs PREFIX: without it, each copy's first `apply` takes five seconds.
"""

import shutil
import sys
from pathlib import Path

from harness.host.processes import short_directory
from harness.node.install import Installed, copy_of

_PROVED = Path("var", "policy.2", "proved.json")


def main(prefix: Path) -> None:
    """Put what was proved in a copy, where every mode was in force, into the installation."""
    with short_directory("proofs") as place:
        copy = copy_of(Installed(prefix), place / "p")
        for kind in ("runc", "crun"):
            for mode in ("enforce", "audit", "observe"):
                copy.configure(f'runtime = ["{kind}"]\n[default]\nmode = "{mode}"\n')
        shutil.copy(copy.prefix / _PROVED, prefix / _PROVED)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
