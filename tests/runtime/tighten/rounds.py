"""Programs that work in rounds, and write a line at the end of each."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.host.processes import wait_until

ERRNO = 77  # EBADFD, "File descriptor in bad state": no call of these programs returns it
ARCHITECTURES = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
SECONDS = 300
UNUSED = ("mq_open", "mq_unlink")  # the engines' profiles allow them
MKDIR, RENAME = ("mkdir", "mkdirat"), ("rename", "renameat", "renameat2")


def profile(calls: Sequence[str]) -> str:
    """Return a profile that denies these calls only."""
    rule = {"names": calls, "action": "SCMP_ACT_ERRNO", "errnoRet": ERRNO}
    allowing = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ARCHITECTURES}
    return json.dumps({**allowing, "syscalls": [rule]})


def lines(file: Path) -> list[str]:
    """Return what was written at the end of each round so far."""
    *whole, _ = file.read_text().split("\n") if file.exists() else [""]
    return [" ".join(line.split()) for line in whole]


def wait_for_rounds(files: Sequence[Path], number: int) -> list[int]:
    """Wait until each program has ended so many rounds more; return how many it had before."""
    had = [len(lines(one)) for one in files]

    def late() -> list[list[str]]:
        each = zip(files, had, strict=True)
        return [lines(one)[-2:] for one, before in each if len(lines(one)) < before + number]

    wait_until(lambda: not late(), f"{number} rounds more, {late()}", SECONDS, pause=0.1)
    return had


def denied_while_it_works(
    files: Sequence[Path],
    deny: Callable[[Sequence[str]], object],
    used: Sequence[str],
    allowed: str,
    denied: str,
) -> None:
    """Deny a call that the programs do not use, which changes nothing, then calls that they use.

    Each round writes `allowed` before, and `denied` from the first that began afterwards.
    """
    wait_for_rounds(files, 1)
    deny(UNUSED)
    wait_for_rounds(files, 2)
    before = [lines(one) for one in files]
    deny(used)
    begun = wait_for_rounds(files, 2)
    assert {line for found in before for line in found} == {allowed}
    after = [lines(one)[at + 1 :] for one, at in zip(files, begun, strict=True)]
    assert {line for found in after for line in found} == {denied}
