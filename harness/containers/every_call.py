"""Making every system call once inside a container, and reading each result.

The program is denials.c. With a sentinel errno in the profile (SENTINEL), four outcomes differ:
denied by us, denied by the kernel, allowed, and no such call.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from runc_wrap.profiles import syscall_names
from runc_wrap.profiles.abis import ABIS, X32_BIT, Abi

SENTINEL = 133  # EHWPOISON: no call returns this for invalid arguments
SENTINEL_RULE = 132  # ERFKILL: the same for rules with their own errno
SIGSYS = 31
LAST = 480  # past the newest call known
# The words by which denials.c knows ABIs
WORDS = {"x86_64": "native", "x32": "x32", "x86": "i386"}
# vfork's child would share the parent's stack; the others reach beyond the container
UNSAFE = ("vfork", "sync", "vhangup", "reboot")


@dataclass(frozen=True)
class Result:
    """The result of one call: `kind` is errno, ok, signal, hung or skipped; `value` its number."""

    abi: Abi
    number: int
    kind: str
    value: int = 0

    @property
    def name(self) -> str:
        return syscall_names.name_of(self.abi, self.number)

    @property
    def is_denied(self) -> bool:
        """Return whether the filter denied it: an errno of ours, or a kill."""
        ours = self.kind == "errno" and self.value in (SENTINEL, SENTINEL_RULE)
        return ours or (self.kind == "signal" and self.value == SIGSYS)


def words(abi: Abi) -> tuple[str, ...]:
    """Return the program's arguments for all calls of an ABI except the unsafe ones."""
    numbers = syscall_names.numbers(abi)
    unsafe = [numbers[name] & ~X32_BIT for name in UNSAFE if name in numbers]
    return (WORDS[abi.name], "0", str(LAST), ",".join(map(str, unsafe)))


def parse(text: str) -> list[Result]:
    """Return the results that the program printed; it must have finished."""
    found = list(_results(text))
    assert len(found) == LAST + 1, text[-200:]
    return found


def _results(text: str) -> Iterator[Result]:
    abis = {word: ABIS[name] for name, word in WORDS.items()}
    for line in text.splitlines():
        word, number, kind, *value = line.split()
        abi = abis[word]
        bit = X32_BIT if abi is ABIS["x32"] else 0
        yield Result(abi, int(number) | bit, kind, int(value[0]) if value else 0)


def with_sentinels(block: dict[str, Any]) -> dict[str, Any]:
    """Return a block whose denials have errnos that the kernel itself does not answer."""
    rules = [
        {**rule, "errnoRet": SENTINEL_RULE} if rule["action"] == "SCMP_ACT_ERRNO" else rule
        for rule in block["syscalls"]
    ]
    return {**block, "defaultErrnoRet": SENTINEL, "syscalls": rules}
