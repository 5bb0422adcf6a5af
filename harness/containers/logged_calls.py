"""Calls made in a container by a static program, and their audit records."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.containers.bundles import Bundle
from harness.kernel import kernel_log
from harness.node.requirements import unmet

PROGRAM = "calls"
INIT = "runc:[2:INIT]"
_ARCH = {"x86_64": "c000003e", "x86": "40000003", "x32": "c000003e"}


def make(bundle: Bundle, runtime: Path | str, program: Path, *calls: str) -> dict[str, str]:
    """Run a container that makes these calls ("ABI:NUMBER:ARGUMENT..."); return what each got."""
    if platform.machine() != "x86_64":
        unmet("needs x86_64: the calls are written for it")
    done = bundle.running(program, *calls, name=PROGRAM).call(runtime, "run")
    assert done.returncode == 0, done.stdout
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())


def number(call: str) -> tuple[str, int]:
    """Return a call as in audit records: (arch, number)."""
    abi, word = call.split(":")[:2]
    return _ARCH[abi], int(word) | (0x40000000 if abi == "x32" else 0)


@contextmanager
def audited(comm: str = PROGRAM) -> Iterator[set[tuple[str, int, str]]]:
    """Collect the seccomp records of our program: {(arch, number, code)} once the block ends.

    Or of INIT: what runc is between loading a filter and executing the container's program.
    """
    found: set[tuple[str, int, str]] = set()
    with kernel_log.told() as told:
        yield found
    assert not told.overruns
    ours = (one for one in told.records if one.comm == f'"{comm}"')
    found.update((f"{one.arch:x}", one.number, f"{one.code:x}") for one in ours)
