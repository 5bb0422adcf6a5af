"""Starts the hot path. Launched by path and so compiled at every start: the work is in modules.

Those lie packed in one file (packing.py), which takes less time than to find each of them. Where
it is missing, damaged, or written for another version of Python, they are imported as they lie
there.
Without any words it ends well once all is imported: the launcher's question whether we start.
"""

import gc
import sys
from _frozen_importlib_external import MAGIC_NUMBER
from _imp import source_hash
from marshal import loads

HEAD = 12  # bytes: the magic number, and what the interpreter knows a source by (PEP 552)

gc.disable()  # nothing is long-lived here, and a profile's parsing alone would start it
directory = __file__.rpartition("/")[0]
sys.path.insert(0, directory)
try:
    with open(f"{directory}/hotpath.packed", "rb", 0) as file:
        text = file.read()
except OSError:
    text = b""
packed = memoryview(text)[HEAD:]  # not copied
if text[:HEAD] == MAGIC_NUMBER + source_hash(0, packed):
    code, entries = loads(packed)
    made = type(sys)("packed")
    exec(code, made.__dict__)
    made.unpack(entries, directory)

from runc_wrap.hotpath.main import main

main()
