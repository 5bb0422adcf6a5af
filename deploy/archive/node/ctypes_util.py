"""Takes ctypes.util's place: the libraries that there are lie beside the interpreter.

The original would run ldconfig or a compiler, which a node need not have, to find the node's own.
"""

import os
import sys


def find_library(name: str) -> str | None:
    """Return the name by which the loader finds a library, None if it is not in the archive."""
    beginning = f"lib{name}.so."
    for found in os.listdir(f"{sys.prefix}/lib/private"):  # noqa: PTH208 - pathlib costs more
        if found.startswith(beginning):
            return found
    return None
