"""Starts the hot path. Launched by path and so compiled at every start: the work is in modules.

Those lie packed in one file (packing.py), which takes less time than to find each of them. Where
it is missing, or was written for another version of Python, they are imported as they lie there.
Without any words it ends well once all is imported: the launcher's question whether we start.
"""

import sys
from _frozen_importlib_external import MAGIC_NUMBER
from marshal import loads


def unpack(path: str) -> None:
    """Execute the packed modules, if there are any for this interpreter."""
    try:
        with open(path, "rb", 0) as file:
            text = file.read()
        packed = loads(text[len(MAGIC_NUMBER) :]) if text.startswith(MAGIC_NUMBER) else ()
    except (OSError, EOFError, ValueError, TypeError):
        return
    for name, package, code in packed:
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
