"""What a test needs from the machine: present, or the test is skipped with the reason.

RUNC_WRAP_REQUIRE_ALL=1 (set in CI) turns every such skip into a failure.
"""

import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

REQUIRE_ALL = "RUNC_WRAP_REQUIRE_ALL"
SEARCH = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"


def program(name: str) -> str:
    """Return the absolute path of an installed program, or skip the test."""
    found = shutil.which(name, path=SEARCH)
    if found is None:
        unmet(f"needs the program {name}, which is not installed")
    return str(Path(found).absolute())


def requires(*needs: str, root: bool = False) -> None:
    """Skip unless every need is met: a program's name, or a file's absolute path."""
    for reason in _missing(needs, root=root):
        unmet(reason)


def is_there(*needs: str) -> bool:
    """Return whether every need of `requires` is met."""
    return not any(_missing(needs, root=False))


def unmet(reason: str) -> NoReturn:
    """Skip the running test with this reason; fail it if nothing may be skipped."""
    if os.environ.get(REQUIRE_ALL) == "1":
        pytest.fail(f"{reason} ({REQUIRE_ALL}=1 forbids skipping)", pytrace=False)
    pytest.skip(reason)


def _missing(needs: tuple[str, ...], *, root: bool) -> Iterator[str]:
    if root and os.geteuid() != 0:
        yield "needs root"
    for need in needs:
        if need.startswith("/"):
            if not Path(need).exists():
                yield f"needs the file {need}, which does not exist"
        elif shutil.which(need, path=SEARCH) is None:
            yield f"needs the program {need}, which is not installed"


def machine(name: str) -> None:
    """Skip unless the machine has this architecture, by uname's name."""
    if platform.machine() != name:
        unmet(f"needs {name}")
