"""Merges several sources with copies of the same records into one stream, in time order.

Records are the same if stamp (time in ms and serial), process and call are: serials start anew at
every boot, stamps do not recur. Memory is bounded: sources are sorted within a window, and the last
SEEN records are remembered as hashes.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from math import inf
from operator import itemgetter

from runc_wrap.evidence.sightings import LossSpan, Sighting
from runc_wrap.evidence.sources import Unavailable

WINDOW = 4096  # records by which one source may be out of order
SEEN = 131072  # records by which copies may lie apart, at least

_time = itemgetter(0)
_order = itemgetter(0, 1)
_same = itemgetter(0, 1, 2, 7, 8)  # time, serial, pid, number, code


def gather(
    sources: Iterable[Iterable[Sighting | LossSpan]], since: float, missing: list[str]
) -> Iterator[Sighting | LossSpan]:
    """Yield the sources' records from `since` on, once each, in time order, and losses.

    Why a source cannot be read is appended to `missing`. A record more than WINDOW others too late
    is not left out, but comes out of order.
    """
    streams = [_Stream(_read(source, missing)) for source in sources]
    settled = iter(lambda: _settled(streams), [])
    for item in _once(chain.from_iterable(settled)):
        if item.time >= since or (item.time == 0 and isinstance(item, LossSpan)):
            yield item


def _read(
    source: Iterable[Sighting | LossSpan], missing: list[str]
) -> Iterator[Sighting | LossSpan]:
    try:
        yield from source
    except Unavailable as error:
        missing.append(str(error))


class _Stream:
    """One source; holds at most some 3 * WINDOW items, in order."""

    def __init__(self, items: Iterator[Sighting | LossSpan]) -> None:
        self._items = items
        self._held: list[Sighting | LossSpan] = []
        self._ended = False

    def settled(self) -> float:
        """Return the time up to which nothing more is expected."""
        while not self._ended and len(self._held) < 2 * WINDOW:
            more = list(islice(self._items, 2 * WINDOW))
            self._ended = not more
            self._held += more
            self._held.sort(key=_order)
        return inf if self._ended else self._held[-WINDOW].time

    def take(self, until: float) -> list[Sighting | LossSpan]:
        """Return and drop what is not later than that."""
        end = bisect_right(self._held, until, key=_time)
        taken = self._held[:end]
        del self._held[:end]
        return taken


def _settled(streams: list[_Stream]) -> list[Sighting | LossSpan]:
    until = min((stream.settled() for stream in streams), default=inf)
    items = [item for stream in streams for item in stream.take(until)]
    items.sort(key=_order)
    return items


def _once(items: Iterable[Sighting | LossSpan]) -> Iterator[Sighting | LossSpan]:
    """Yield the items that have not come before.

    Two generations remember SEEN to 2 * SEEN of the last, in some 16 MB.
    """
    newer: set[int] = set()
    older: set[int] = set()
    for item in items:
        key = hash(_same(item) if isinstance(item, Sighting) else item)
        if key in newer or key in older:
            continue
        newer.add(key)
        if len(newer) >= SEEN:
            older, newer = newer, set()
        yield item
