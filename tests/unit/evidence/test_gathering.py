from __future__ import annotations

import random
import subprocess
import sys
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import runc_wrap
from runc_wrap.evidence import gathering, records
from runc_wrap.evidence.model import AUDIT, Lost, Sighting
from runc_wrap.evidence.sources import Unavailable
from tests.support.audit import line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import SupportsWrite


class Fixed:
    """A source of these items; `reason` makes it one that is not available."""

    def __init__(self, *items: Sighting | Lost, reason: str = "") -> None:
        self._items = items
        self._reason = reason

    def read(self, since: float, until: float) -> Iterator[Sighting | Lost]:
        assert since <= until
        if self._reason:
            raise Unavailable(self._reason)
        yield from self._items


def sighting(number: int, **changes: int) -> Sighting:
    found = records.parse(line(number, **changes))
    assert found is not None
    return found


def test_copies_of_a_record_count_once() -> None:
    one, two, three = (sighting(number) for number in (1, 2, 3))
    found = gathering.gather([Fixed(one, two), Fixed(two, three), Fixed(two)], 0, inf)
    assert list(found) == [one, two, three]


@pytest.mark.parametrize(
    "changes", [{"time": 5.0}, {"serial": 9}, {"pid": 9}, {"number": 9}, {"code": 0}]
)
def test_records_that_differ_are_no_copies(changes: dict[str, float]) -> None:
    one = sighting(1)
    other = one._replace(**changes)
    assert len(list(gathering.gather([Fixed(one), Fixed(other)], 0, inf))) == 2


def test_the_same_serial_in_another_boot_is_another_record() -> None:
    first = sighting(1)
    second = first._replace(time=first.time + 60)
    assert list(gathering.gather([Fixed(first, second)], 0, inf)) == [first, second]


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 4))
def test_any_split_with_copies_and_disorder_comes_out_whole(
    chance: random.Random, count: int
) -> None:
    whole = [sighting(number) for number in range(200)]
    parts: list[list[Sighting | Lost]] = [[] for _ in range(count)]
    for item in whole:
        for part in chance.sample(parts, chance.randint(1, count)):
            part.insert(max(0, len(part) - chance.randint(0, 5)), item)
    assert list(gathering.gather([Fixed(*part) for part in parts], 0, inf)) == whole


def test_disorder_within_the_window_and_over_many_windows_comes_in_order() -> None:
    whole = [sighting(number) for number in range(5 * gathering.WINDOW)]
    chance = random.Random(5)  # noqa: S311 - any order will do
    mixed = sorted(whole, key=lambda item: item.serial + chance.uniform(0, gathering.WINDOW))
    assert mixed != whole
    assert list(gathering.gather([Fixed(*mixed), Fixed(*whole[::3])], 0, inf)) == whole


def test_what_comes_later_than_the_window_is_not_left_out() -> None:
    whole = [sighting(number) for number in range(4 * gathering.WINDOW)]
    late = [*whole[1:], whole[0]]
    found = list(gathering.gather([Fixed(*late), Fixed(*whole[:1])], 0, inf))
    assert sorted(found, key=lambda item: item.time) == whole


def test_only_the_time_asked_for_is_told() -> None:
    whole = [sighting(number) for number in range(10)]
    found = gathering.gather([Fixed(*whole)], whole[3].time, whole[7].time)
    assert list(found) == whole[3:7]


def test_losses_are_told_once_if_two_sources_say_the_same_and_within_the_time() -> None:
    one = sighting(1)
    lost = Lost(one.time, 5, AUDIT, "dropped")
    undated, before = lost._replace(time=0.0), lost._replace(time=1.0)
    found = gathering.gather([Fixed(before, one, lost), Fixed(undated, lost)], one.time, inf)
    assert sorted(found, key=len) == [undated, lost, one]


def test_a_source_that_is_missing_is_named_and_the_others_read() -> None:
    missing: list[str] = []
    sources = [Fixed(reason="no journal"), Fixed(sighting(1))]
    assert list(gathering.gather(sources, 0, inf, missing)) == [sighting(1)]
    assert missing == ["no journal"]


def test_nothing_to_read_at_all_is_said() -> None:
    with pytest.raises(Unavailable, match="^no journal; no file$"):
        list(gathering.gather([Fixed(reason="no journal"), Fixed(reason="no file")], 0, inf))
    assert list(gathering.gather([], 0, inf)) == []


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "SEEN", 100)
    seen = gathering._Seen()  # noqa: SLF001 - the bound is what is tested
    for number in range(1000):
        assert list(seen.new([sighting(number)])) == [sighting(number)]
        assert list(seen.new([sighting(max(0, number - 90))])) == []
        assert len(seen._newer) + len(seen._older) <= 200  # noqa: SLF001 - likewise


# This process' own peak in KiB: ru_maxrss would begin with that of the process that started it.
_PEAK = """
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
"""
# Reads the same file with one fixed expression line by line, and as records in order; interleaved.
_READING = _PEAK + r"""
import re, sys, time
from math import inf
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from runc_wrap.evidence.gathering import gather
from runc_wrap.evidence.sources.files import Log
path = Path(sys.argv[1])
plain = re.compile(rb"type=SECCOMP msg=audit\((\d+)\.(\d+):(\d+)\).* pid=(\d+) .* syscall=(\d+)")
ours = theirs = 0.0
before = peak()
for _ in range(3):
    start = time.process_time()
    found = sum(1 for _ in gather([Log(path)], 0, inf))
    middle = time.process_time()
    with path.open("rb") as file:
        matched = sum(1 for line in file if plain.match(line))
    ours, theirs = ours + middle - start, theirs + time.process_time() - middle
print(found, matched, ours / 3, theirs / 3, peak() - before)
"""


def other(number: int) -> bytes:
    return line(number).replace(b"SECCOMP", b"SYSCALL") + b" tty=(none) items=1 key=(null)"


@pytest.mark.parametrize("share", [1, 2], ids=["all SECCOMP", "half of them"])
def test_a_million_lines_are_read_fast_and_in_bounded_memory(tmp_path: Path, share: int) -> None:
    log, count = tmp_path / "audit.log", 1_000_000
    with log.open("wb") as file:
        _fill(file, count, share)
    root = str(Path(runc_wrap.__file__).parents[1])
    argv = [sys.executable, "-c", _READING, log, root]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=250, check=True)
    found, matched, ours, theirs, grown = map(float, done.stdout.split())
    print(f"{count / ours:,.0f} lines/s of CPU time, {grown / 1024:.0f} MiB")
    assert found == matched == count / share
    assert grown < 64 * 1024, "in KiB; a million records as objects are some 300 MiB"
    assert ours < 12 * theirs


def _fill(file: SupportsWrite[bytes], count: int, share: int) -> None:
    for first in range(0, count, 1000):
        numbers = range(first, first + 1000)
        lines = [line(number) if number % share == 0 else other(number) for number in numbers]
        file.write(b"\n".join(lines) + b"\n")


_KEEPING = _PEAK + """
import sys
sys.path.insert(0, sys.argv[1])
from runc_wrap.evidence.model import Sighting
before = peak()
kept = [Sighting(n + .5, n, n, 0, "a", "b", 1, 2, 3, None, "audit") for n in range(1_000_000)]
print(peak() - before)
"""


def test_the_measure_of_memory_would_show_a_million_records_kept() -> None:
    argv = [sys.executable, "-c", _KEEPING, str(Path(runc_wrap.__file__).parents[1])]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True)
    assert int(done.stdout) > 64 * 1024
