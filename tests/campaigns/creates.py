"""One create under one fault, and its result, with the config as the runtime read it.

The runtime is witness.c, which starts nothing, so that a create costs only our own part.
"""

import contextlib
import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.containers import bundles
from harness.host.processes import attempt
from harness.node.install import Installed

Json = dict[str, Any]

# Results of a create; the last three must never occur. KILLED: by the fault, or by a failed
# allocation within orjson, which ends in SIGSEGV.
STARTED, REFUSED, KILLED = "started", "refused", "killed"
# CPython may never end if it has no memory for its own imports (seen with 4 MB), until its engine's
# timeout. Under any other fault that is a lost create.
HUNG = "hung"
UNCONFINED, LOST, HALF = "unconfined by mistake", "lost", "half a file"
WRONG = (UNCONFINED, LOST, HALF)

_SECONDS = 20
_LEFT_BESIDE = ".config.json.runc-wrap."
# A container's own settings, and whether the policy's profile is injected.
VARIANTS: dict[str, tuple[Json, Json, bool]] = {
    "plain": ({}, {}, True),
    "opted out": ({"runc-wrap/seccomp": "unconfined"}, {}, False),
    "own profile": ({}, {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}}, False),
    "large": ({f"filler/{number}": "x" * 1000 for number in range(60)}, {}, True),
}


@dataclass(frozen=True)
class Fault:
    """A fault: inject.c's AT and WHAT; words in front of the command."""

    at: int = 0
    what: str = "none"
    before: tuple[str, ...] = ()

    @property
    def may_refuse(self) -> bool:
        """Return whether a refusal is the right answer to this fault."""
        return bool(self.at or self.before)


@dataclass(frozen=True)
class Result:
    """A create's result, and the reason in words; `calls` are those that inject.c counted."""

    name: str
    outcome: str
    why: str
    calls: int = 0
    is_faulty: bool = False


@dataclass(frozen=True)
class Creator:
    """Makes creates of one installation in one directory, one after the other.

    `blocks` are the values of linux.seccomp that policies in force may give.
    """

    installed: Installed
    directory: Path
    inject: Path
    witness: Path
    blocks: list[Json] = field(default_factory=list)

    def create(self, name: str, variant: str, fault: Fault) -> Result:
        """Run one create and return its result."""
        before = self._prepare(name, variant)
        try:
            done = attempt(self._argv(name, fault), seconds=_SECONDS)
        except subprocess.TimeoutExpired:
            return Result(name, HUNG if fault.before else LOST, f"no end in {_SECONDS} s")
        calls, status, is_faulty = _told(done.stdout)
        outcome, why = self._judged(before, variant, fault, status, done.stderr)
        return Result(name, outcome, why, calls, is_faulty)

    @property
    def config(self) -> Path:
        return self.directory / "config.json"

    @property
    def seen(self) -> Path:
        """The runtime's input, by another name."""
        return self.directory / "seen.json"

    @property
    def log(self) -> Path:
        return self.directory / "log.json"

    def _prepare(self, name: str, variant: str) -> bytes:
        for path in (self.seen, self.config, self.log, *self.directory.glob(f"{_LEFT_BESIDE}*")):
            path.unlink(missing_ok=True)
        annotations, linux, _ = VARIANTS[variant]
        text = json.dumps(bundles.config(name, annotations, **linux)).encode()
        self.config.write_bytes(text)
        return text

    def _argv(self, name: str, fault: Fault) -> list[str]:
        state = ["--root", str(self.directory / "state"), "--log", str(self.log)]
        return [
            *(str(self.inject), str(fault.at), fault.what, str(self.witness), *fault.before),
            *(str(self.installed.wrapper), *state, "--log-format", "json", "create"),
            *("--bundle", str(self.directory), name),
        ]

    def _judged(
        self, before: bytes, variant: str, fault: Fault, status: int, told: str
    ) -> tuple[str, str]:
        after = self.config.read_bytes()
        if after != before and not self._is_confined(before, after):
            return HALF, f"config.json is neither the old one nor confined: {after[:200]!r}"
        if self.seen.exists():
            return self._judged_seen(before, self.seen.read_bytes(), variant)
        if os.WIFSIGNALED(status) and fault.may_refuse:
            return KILLED, f"signal {os.WTERMSIG(status)}"  # which its engine tells
        reason = self._reason(told)
        if not status or not reason:
            return LOST, f"wait status {status}, reason {reason!r}"
        if not fault.may_refuse:
            return LOST, f"nothing was wrong, and it was refused: {reason!r}"
        return REFUSED, reason

    def _reason(self, told: str) -> str:
        """Return why a create failed: the last line in the engine's log, or on stderr."""
        logged = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        for line in reversed(logged):
            with contextlib.suppress(ValueError, KeyError, TypeError):
                return str(json.loads(line)["msg"])
        return (told.strip().splitlines() or [""])[-1]

    def _judged_seen(self, before: bytes, seen: bytes, variant: str) -> tuple[str, str]:
        is_injected = VARIANTS[variant][2]
        if is_injected and not self._is_confined(before, seen):
            return UNCONFINED, f"the runtime was given {seen[:200]!r}"
        if not is_injected and seen != before:
            return HALF, f"a config that is left alone was changed: {seen[:200]!r}"
        return STARTED, ""

    def _is_confined(self, before: bytes, now: bytes) -> bool:
        """Return whether a config is the old one with one of the blocks in it, and nothing else."""
        try:
            found = json.loads(now)
            block = found["linux"].pop("seccomp")
        except (ValueError, KeyError, TypeError):
            return False
        return block in self.blocks and found == json.loads(before)

    def block_in_force(self) -> Json:
        """Return the block that the policy in force injects into a plain config."""
        self._prepare("first", "plain")
        done = attempt(self._argv("first", Fault()))
        assert self.seen.exists(), done.stderr
        block: Json = json.loads(self.seen.read_bytes())["linux"]["seccomp"]
        return block


def _told(text: str) -> tuple[int, int, bool]:
    """Return the calls, the wait status and whether a fault occurred, as inject.c reports.

    If inject.c itself could not start, as under a memory limit, it reports nothing: status 1.
    """
    with contextlib.suppress(ValueError):
        calls, status, went_wrong = map(int, text.split())
        return calls, status, bool(went_wrong)
    return 0, 1 << 8, True
