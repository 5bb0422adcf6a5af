"""Makes modules of the packed code. Compiled by pack_hotpath.py, once and not at every start."""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType

    Entry = tuple[str, str, CodeType]


def unpack(entries: "list[Entry]", directory: str) -> None:
    """Execute the modules in their order; pack_hotpath.py says what an entry is."""
    for name, package, code in entries:
        module = sys.modules[name] = type(sys)(name)
        module.__file__ = f"{directory}/{code.co_filename}"
        module.__package__ = name if package else name.rpartition(".")[0]
        if package:
            module.__path__ = [f"{directory}/{package}"]
        exec(code, module.__dict__)
