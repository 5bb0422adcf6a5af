"""Containers of real runtimes whose processes get one more filter."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.containers.bundles import Bundle
from harness.host.processes import wait_until
from runc_wrap.filters.kernel.filter_injection import FilterRequest
from runc_wrap.host import container_discovery
from runc_wrap.tighten import container_tightening
from runc_wrap.tighten.process_tightening import Members, ProcessOutcome, tighten_processes
from tests.runtime.conftest import Pair

KEYCTL, KEYCTL_32 = 250, 288
ERRNO = 77  # EBADFD: no call of these programs returns it


def denying(number: int, error: int = ERRNO) -> bytes:
    """Return a filter that answers one call's number with an error, and allows all others."""
    lines = [
        (0x20, 0, 0, 0),
        (0x15, 1, 0, number),
        (6, 0, 0, 0x7FFF0000),
        (6, 0, 0, 0x50000 | error),
    ]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


# What each thread's call returns, and its errno; all others return 0.
RETURNED = {
    "futex_timed": (-1, 110),
    "read_pipe": (1, 0),
    "recv": (1, 0),
    "recv_timed": (1, 0),
    "accept": (1, 0),
    "epoll_wait": (1, 0),
    "epoll_pwait": (1, 0),
    "poll_event": (1, 0),
    "timerfd": (8, 0),
    "sigtimedwait": (10, 0),
    "signalfd": (128, 0),
    "inotify": (1, 0),
    "msgrcv": (1, 0),
    "waitpid": (1, 0),
    "vfork": (1, 0),
    "pause": (-1, 4),
    "sigsuspend": (-1, 4),
}


def calls(text: str) -> dict[str, tuple[tuple[int, int], int, int]]:
    """Return, by the thread's name, what was returned, after how many ms, and keyctl's errno."""
    lines = [line.split() for line in text.splitlines() if len(line.split()) == 5]
    return {name: ((int(a), int(b)), int(c), int(d)) for name, a, b, c, d in lines}


DENY_KEYCTL = FilterRequest(denying(KEYCTL), set_no_new_privs=True)


def tightened(pid: int, request: FilterRequest = DENY_KEYCTL) -> list[ProcessOutcome]:
    """Add a filter to one process; return what came of it, nothing if it has ended."""
    outcomes = tighten_processes(Members(lambda: [pid], tuple), request, {})
    return [one for one in outcomes.values() if one]


@dataclass(frozen=True)
class Running:
    """A container that runs a program which writes into `out`."""

    bundle: Bundle
    pid: int
    out: Path

    def wait_for(self, text: str, seconds: float = 60) -> None:
        wait_until(lambda: self.out.exists() and text in self.out.read_text(), text, seconds)

    def tighten(self, request: FilterRequest = DENY_KEYCTL) -> list[ProcessOutcome]:
        found = container_discovery.find([str(self.bundle.path / "state")]).containers
        (place,) = [at for at, one in enumerate(found) if one.id == self.bundle.name]
        outcomes = container_tightening.tighten_container(found, place, request, bool, {})
        return [one for one in outcomes.values() if one]


@pytest.fixture
def start(
    pair: Pair, make_bundle: Callable[..., Bundle], built: Callable[[str], Path]
) -> Callable[..., Running]:
    """Start a container that executes `program /out WORDS...`, until it has written something."""

    def started(name: str | Path, *words: object, **linux: Any) -> Running:
        bundle = make_bundle(pair.kind, **linux)
        program = built(name) if isinstance(name, str) else name
        pid = bundle.running(program, "/out", *words).create(pair.bare)
        out = bundle.path / "rootfs" / "out"
        wait_until(lambda: out.exists() and bool(out.read_text()), "the program's first words")
        return Running(bundle, pid, out)

    return started
