"""Merges several sources with copies of the same records into one stream, in time order.

Records are the same if stamp (time in ms and serial), process and call are: serials start anew at
every boot, stamps do not recur. Memory is bounded: sources are sorted within a window, and the last
SEEN records are remembered as hashes.
"""

import heapq
from collections.abc import Iterable, Iterator
from itertools import islice
from operator import itemgetter

from runc_wrap.evidence.sightings import LossSpan, Sighting
from runc_wrap.evidence.sources import Unavailable

WINDOW = 4096  # records by which one source may be out of order
SEEN = 131072  # records by which copies may lie apart, at least

_order = itemgetter(0, 1)
_same = itemgetter(0, 1, 2, 7, 8)  # time, serial, pid, number, code


def gather(
    sources: Iterable[Iterable[Sighting | LossSpan]], since: float, missing: list[str]
) -> Iterator[Sighting | LossSpan]:
    """Yield the sources' records from `since` on, once each, in time order, and losses.

    Why a source cannot be read is appended to `missing`. A record more than WINDOW others too late
    is not left out, but comes out of order.
    """
    streams = (_ordered(_read(source, missing)) for source in sources)
    for item in _once(heapq.merge(*streams, key=_order)):
        if item.time >= since or (item.time == 0 and isinstance(item, LossSpan)):
            yield item


def _read(
    source: Iterable[Sighting | LossSpan], missing: list[str]
) -> Iterator[Sighting | LossSpan]:
    try:
        yield from source
    except Unavailable as error:
        missing.append(str(error))


def _ordered(items: Iterator[Sighting | LossSpan]) -> Iterator[Sighting | LossSpan]:
    """Yield one source's items in order; holds at most 2 * WINDOW of them."""
    held: list[Sighting | LossSpan] = []
    while more := list(islice(items, WINDOW)):
        held = sorted(held + more, key=_order)
        yield from held[:-WINDOW]
        del held[:-WINDOW]
    yield from held


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
