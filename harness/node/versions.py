"""Which versions of engines and runtimes this machine has: tests ask, and assume none."""

import re

from harness.host.processes import run
from harness.node.requirements import program


def installed_version(name: str, *words: str) -> str:
    """Return the version that a program or package says it has, as numbers and dots."""
    said = run([program(name), *(words or ["--version"])]).stdout
    found = re.search(r"\d+\.\d+\.\d+", said)
    assert found, said
    return found[0]
