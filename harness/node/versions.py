"""The versions of engines and runtimes on this machine, so that tests assume none."""

import re

from harness.host.processes import run
from harness.node.requirements import program


def installed_version(name: str, *words: str) -> str:
    """Return a program's or package's own version, as numbers and dots."""
    said = run([program(name), *(words or ["--version"])]).stdout
    found = re.search(r"\d+\.\d+\.\d+", said)
    assert found, said
    return found[0]
