"""How much memory the documents of all nodes may take."""

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from runc_wrap import safe_text
from runc_wrap.failure import Failure
from runc_wrap.report.merge.node_document import LONGEST_NODE

MOST_MEMORY = 300 << 20  # bytes that all documents may add to this process


@contextmanager
def bounded() -> Iterator[Callable[[str, int], None]]:
    """Read nodes' documents: yield what is called after each, with its node and its bytes.

    That raises Failure, which says which node to leave out, if they report more than fits. The
    search for circles of objects is paused: documents have none, and it takes a quarter.
    """
    before, largest = resident_memory(), (0, "")

    def check(node: str, size: int) -> None:
        nonlocal largest
        largest = max(largest, (size, node))
        if resident_memory() - before > MOST_MEMORY:
            name = safe_text.word(largest[1], LONGEST_NODE)
            much = f"the nodes' documents take more than {MOST_MEMORY >> 20} MiB of memory"
            advice = f"leave it out by --without {name}, or ask fewer nodes"
            raise Failure(f"{much}, most of all {name}: {advice}")

    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield check
    finally:
        if was_enabled:
            gc.enable()


def resident_memory() -> int:
    """Return how many bytes of memory this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
