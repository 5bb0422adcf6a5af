"""Starts the hot path. Launched by path and so compiled at every start: the work is in modules.

Those lie packed in one file (packing.py), which takes less time than to find each of them. Where
it is missing, damaged, or written for another version of Python, they are imported as they lie
there.
Without any words it ends well once all is imported: the launcher's question whether we start.
"""

import sys
from _frozen_importlib_external import MAGIC_NUMBER
from _imp import source_hash
from marshal import loads

DIGEST = 8  # bytes: what the interpreter itself knows a source file by (PEP 552)


def unpack(path: str) -> None:
    """Execute the packed modules, if there are any for this interpreter."""
    try:
        with open(path, "rb", 0) as file:
            text = file.read()
    except OSError:
        return
    head = len(MAGIC_NUMBER) + DIGEST
    packed = text[head:]
    if text[:head] != MAGIC_NUMBER + source_hash(0, packed):
        return
    for name, package, code in loads(packed):
        module = sys.modules[name] = type(sys)(name)
        module.__file__ = code.co_filename
        module.__package__ = name if package else name.rpartition(".")[0]
        if package:
            module.__path__ = [package]
        exec(code, module.__dict__)


directory = __file__.rpartition("/")[0]
sys.path.insert(0, directory)
unpack(f"{directory}/hotpath.packed")

from runc_wrap.hotpath.main import main

main()
