"""Starts the hot path. Started by path and so compiled at every start: the work is in modules.

They are packed in one file (pack_hotpath.py), which takes less time than finding each of them. If
it is missing, damaged, or written for another version of Python, the modules themselves are
imported. Without arguments it exits with 0 once everything is imported: the launcher's check
whether Python starts.
"""

import gc
import sys
from _frozen_importlib_external import MAGIC_NUMBER
from _imp import source_hash
from marshal import loads

HEAD = 12  # bytes: the magic number, and the interpreter's hash of a source (PEP 552)

gc.disable()  # nothing here lives long, and parsing a profile would already trigger it
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
