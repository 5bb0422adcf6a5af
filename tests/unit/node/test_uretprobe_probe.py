"""Whether the kernel asks filters about uretprobe."""

from __future__ import annotations

import errno
import platform
import signal

import pytest

from runc_wrap.node import uretprobe_probe
from runc_wrap.profiles import platform as this

GETPID, NONE = 39, 999
ILL, DENIED = -signal.SIGILL, 77


@pytest.mark.parametrize(
    ("free", "filtered", "answer"),
    [
        (ILL, ILL, "exempt"),
        (ILL, DENIED, "filtered"),
        (ILL, 255, None),
        (ILL, -signal.SIGSYS, None),
        (errno.ENOSYS, DENIED, "absent"),
        (errno.EPERM, errno.EPERM, "absent"),
        (0, DENIED, "absent"),
    ],
)
def test_how_the_children_end_tells(free: int, filtered: int, answer: str | None) -> None:
    assert uretprobe_probe.judged(free, filtered) == answer


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers are x86_64's")
def test_the_filter_denies_any_other_call() -> None:
    ended = uretprobe_probe._ended  # noqa: SLF001 - a real filter, on calls whose outcome is known
    assert ended(GETPID, is_filtered=False) == 0
    assert ended(GETPID, is_filtered=True) == DENIED
    assert ended(NONE, is_filtered=False) == errno.ENOSYS


@pytest.mark.skipif(platform.machine() != "x86_64", reason="only x86_64 has the call")
def test_this_kernel_answers() -> None:
    answers = {"exempt"} if this.kernel() >= (6, 14) else {"exempt", "filtered", "absent"}
    if this.kernel() < (6, 11):
        answers = {"absent"}
    assert uretprobe_probe.ask() in answers


def test_other_machines_do_not_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert uretprobe_probe.ask() == "absent"
