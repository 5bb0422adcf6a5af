"""How much memory the documents of all nodes may take, and reading them without the collector."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runc_wrap import safe_text
from runc_wrap.failure import Failure
from runc_wrap.report.merge.node_document import LONGEST_NODE

MOST_MEMORY = 300 << 20  # bytes that all documents may add to this process


class MemoryBound:
    """What the nodes' documents add to the memory of this process."""

    def __init__(self) -> None:
        self._before = resident_memory()
        self._largest = (0, "")  # the bytes of a document, and of which node

    def check(self, node: str, size: int) -> None:
        """Look after the document of a node was taken.

        Raises Failure, which says which node to leave out, if the nodes report more than fits.
        """
        self._largest = max(self._largest, (size, node))
        if resident_memory() - self._before > MOST_MEMORY:
            name = safe_text.word(self._largest[1], LONGEST_NODE)
            raise Failure(
                f"what the nodes report takes more than {MOST_MEMORY >> 20} MiB of memory; most "
                f"comes from {name}: leave it out by --without {name}, or ask fewer nodes at once"
            )


def resident_memory() -> int:
    """Return how many bytes of memory this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


@contextmanager
def without_collector() -> Iterator[None]:
    """Pause the search for circles of objects: documents have none, and it takes a quarter."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
