"""Packs the hot path's modules into one file, which cold.py executes instead of finding each.

    python pack_hotpath.py DIR     DIR has cold.py and runc_wrap/; writes DIR/hotpath.packed

Finding, opening, checking and reading each module costs a create 1.5 ms more than one file does
(docs/measurements.md). install.sh runs it with the interpreter that will run the result: cold.py
accepts it only undamaged and of the same bytecode version, else it imports the modules themselves.

The file is that version's magic number, the digest of the rest, then marshal's form of
unpack_hotpath.py's code and of the list of (module's name, its directory if it is a package, else
"", code), in the order of their execution. Files have names relative to DIR, so that DIR may be
moved.
"""

import sys
from _imp import source_hash
from importlib import machinery
from importlib.util import MAGIC_NUMBER
from marshal import dumps
from pathlib import Path
from types import CodeType, ModuleType

ROOT = "runc_wrap"
MAIN = "runc_wrap.hotpath.main"
Entry = tuple[str, str, CodeType]


def main(directory: Path) -> None:
    """Write the packed file, atomically."""
    new = directory / "hotpath.packed.new"
    unpacking = _compiled(Path(__file__).parent, "unpack_hotpath.py")
    packed = dumps((unpacking, entries(directory)))
    new.write_bytes(MAGIC_NUMBER + source_hash(0, packed) + packed)
    new.rename(directory / "hotpath.packed")


def entries(directory: Path) -> list[Entry]:
    """Return the modules that a create imports, each after those that it imports itself."""
    ended = []

    class Recording(machinery.SourceFileLoader):
        def exec_module(self, module: ModuleType) -> None:
            super().exec_module(module)
            ended.append(module.__name__)

    finder = machinery.FileFinder.path_hook(
        (Recording, machinery.SOURCE_SUFFIXES),
        (machinery.ExtensionFileLoader, machinery.EXTENSION_SUFFIXES),
    )
    sys.path_hooks.insert(0, finder)
    sys.path.insert(0, str(directory))
    __import__(MAIN)
    return [_entry(name, directory) for name in ended if f"{name}.".startswith(f"{ROOT}.")]


def _entry(name: str, directory: Path) -> Entry:
    module = sys.modules[name]
    path = Path(str(module.__file__)).relative_to(directory)
    package = str(path.parent) if hasattr(module, "__path__") else ""
    return name, package, _compiled(directory, str(path))


def _compiled(directory: Path, name: str) -> CodeType:
    """Compile a file under its name relative to the directory, which may be moved later."""
    source = (directory / name).read_bytes()
    return compile(source, name, "exec", dont_inherit=True, optimize=2)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
